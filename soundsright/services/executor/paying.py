"""Which image a validator pays: the best one in the executor's table whose hotkey and submission still stand.

Times are in seconds, memory in GB. A validator never trusts the order of the rows. It computes each score again
from the time and memory of its row, and ranks the images by these scores. A table that contradicts itself counts as
one that cannot be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from soundsright.core.errors import PeerUnavailable
from soundsright.core.executor_rules import REAL_TIME_S, ExecutorRules
from soundsright.core.images import ImageMetrics, ImageRow, PublishedTable, SubmittedImage
from soundsright.core.profiles import Profile
from soundsright.ranking import SCORE_TOLERANCE, RankedImage, efficiency_score, ranked_images
from soundsright.services.executor.seen_rounds import PayableOrder

ImageOrder = Callable[[PublishedTable], tuple[str, ...]]
"""The hotkeys of the images that can be paid, best first. It raises PeerUnavailable if the table is not valid."""


@dataclass(frozen=True)
class Reading:
    """A validator's reading at one time: standing submissions, the part that burns, the table and its order.

    Raises:
        PeerUnavailable: `bad_burn_ratio`, if the part is not from 0 to 1.
    """

    submissions: tuple[SubmittedImage, ...]
    burn_ratio: float
    table: PublishedTable
    order: tuple[str, ...]

    def __post_init__(self) -> None:
        ratio = self.burn_ratio
        if type(ratio) not in (int, float) or not (math.isfinite(ratio) and 0 <= ratio <= 1):
            raise PeerUnavailable(
                f"The coordinator's burn ratio is {str(ratio)[:60]!r}",
                "Ask the organiser to set BURN_RATIO to a number from 0 to 1.",
                code="bad_burn_ratio",
            )

    @property
    def hotkeys(self) -> tuple[str, ...]:
        """The hotkeys that can be paid, best first: those that have submitted nothing else since."""
        rows = {row.submission.hotkey: row.submission for row in self.table.rows}
        standing = {submission.hotkey: submission for submission in self.submissions}
        return tuple(hotkey for hotkey in self.order if standing.get(hotkey) == rows[hotkey])


def payees_of(reading: Reading, registered: Collection[str]) -> dict[str, float]:
    """The payees of a validator: 1 - burn ratio to the best image, and nothing if no image can be paid.

    An image can be paid if its hotkey is `registered` and has submitted nothing else since.
    """
    return PayableOrder(0, 1, reading.burn_ratio, reading.hotkeys).payees(registered)


def order_of_rows(table: PublishedTable, rules: ExecutorRules) -> tuple[str, ...]:
    """The hotkeys of the rows with a positive score and no error, best first, by scores that are computed again.

    Raises:
        PeerUnavailable: `bad_table`, if a hotkey has two rows, or a score is not that of its row's measurements.
    """
    check_hotkeys(table)
    candidates = [row for row in table.rows if row.is_winner_candidate]
    return ranked_images([_ranked(row, rules) for row in candidates], rules.tie_eps)


def check_hotkeys(table: PublishedTable) -> None:
    """Check that each hotkey has one row. A second one could name an image that no round measured.

    Raises:
        PeerUnavailable: `bad_table`, if a hotkey has two.
    """
    seen: set[str] = set()
    for row in table.rows:
        if row.submission.hotkey in seen:
            raise bad_table(f"{row.submission.hotkey} has two rows")
        seen.add(row.submission.hotkey)


def bad_table(fault: str) -> PeerUnavailable:
    """The error that the executor's table contradicts itself."""
    return PeerUnavailable(
        f"The executor's table is not valid: {fault}",
        "Nothing is paid on it. Ask the organiser, and check EXECUTOR_API_URL.",
        code="bad_table",
    )


def _ranked(row: ImageRow, rules: ExecutorRules) -> RankedImage:
    """The row's image with the score that its measurements give."""
    hotkey, metrics = row.submission.hotkey, row.metrics
    time_s = _time_s(metrics, rules)
    if not 0 <= metrics.quality_score <= 1:
        raise bad_table(f"{hotkey} has the quality {metrics.quality_score:g}")
    if rules.profile is Profile.CODE and (time_s is None or metrics.peak_vram_gb is None):
        # The original program scores an image that tells no time or memory without a factor for it.
        return RankedImage(
            hotkey, metrics.final_score, time_s or 0.0, metrics.peak_vram_gb or 0.0, row.submission.submitted_s
        )
    if time_s is None or metrics.peak_vram_gb is None:
        raise bad_table(f"{hotkey} has a score without a time and memory")
    if time_s < 0 or metrics.peak_vram_gb < 0:
        raise bad_table(f"{hotkey} has a negative time or memory")
    _check_limits(hotkey, metrics, rules)
    one = efficiency_score(metrics.quality_score, [time_s], [metrics.peak_vram_gb], rules)
    score = one.quality * one.factor * (rules.cap_factor if metrics.cap_violation else 1.0)
    if abs(score - metrics.final_score) > SCORE_TOLERANCE:
        raise bad_table(f"{hotkey} has the score {metrics.final_score:.7g}, and its measurements give {score:.7g}")
    return RankedImage(hotkey, score, time_s, metrics.peak_vram_gb, row.submission.submitted_s)


def _time_s(metrics: ImageMetrics, rules: ExecutorRules) -> float | None:
    """The time that counts: the mean of a run, or of 30 s of audio in the profile `soundsright`."""
    if rules.profile is not Profile.SOUNDSRIGHT:
        return metrics.inference_time_sec
    return None if metrics.real_time_factor is None else metrics.real_time_factor * REAL_TIME_S


def _check_limits(hotkey: str, metrics: ImageMetrics, rules: ExecutorRules) -> None:
    """Check that a run above a limit is marked as one.

    In the profile `soundsright` the longest time of a run does not say its real-time factor, so there only the
    memory and the mean time can be checked.
    """
    worst: Mapping[str, tuple[float | None, float]] = {
        "memory": (metrics.peak_vram_gb_worst, rules.max_memory_gb),
        "mean memory": (metrics.peak_vram_gb, rules.max_memory_gb),
        "mean time": (_time_s(metrics, rules), rules.max_time_s),
    }
    if rules.profile is not Profile.SOUNDSRIGHT:
        worst = {**worst, "time": (metrics.inference_time_sec_worst, rules.max_time_s)}
    for name, (value, limit) in worst.items():
        if value is not None and value > limit and not metrics.cap_violation:
            raise bad_table(f"{hotkey} has the {name} {value:g} above the limit {limit:g}, and is not marked so")
