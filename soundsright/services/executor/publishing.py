"""The table after a round: its images from best to last, and the other submissions with why they are not in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.images import ImageMetrics, ImageRow, SubmittedImage
from soundsright.core.profiles import Profile
from soundsright.ranking import RankedImage, ranked_images
from soundsright.services.executor.executor_steps import ParticipantsStep, PublishedStep

OUTRANKED = "outranked"
"""The error of an image that was too far behind to be in the round. It waits for a new submission."""
BLACKLISTED = "blacklisted"
"""The error of an image whose hotkey the organiser has banned."""


@dataclass(frozen=True)
class Table:
    """The rows of a table, and the entry ids of those that took part in its round and those that were dropped."""

    rows: tuple[ImageRow, ...]
    participants: tuple[str, ...]
    dropped: tuple[str, ...]


def ranked_rows(
    rows: Sequence[ImageRow], rules: ExecutorRules, winner: Callable[[Sequence[str]], str | None]
) -> tuple[ImageRow, ...]:
    """The rows of a round from best to last; those with an error are at the end.

    In the profile `soundsright`, `winner` says which of the images that can be paid is first. It gets their entry
    ids, best first.
    """
    by_hotkey = {row.submission.hotkey: row for row in rows}
    scored = [row for row in rows if row.metrics.error is None]
    places = ranked_images([_ranked(row, rules) for row in scored], rules.tie_eps)
    order = [by_hotkey[hotkey] for hotkey in places]
    failed = sorted((row for row in rows if row.metrics.error is not None), key=lambda row: row.submission)
    if rules.profile is Profile.SOUNDSRIGHT:
        first = winner([row.submission.entry_id for row in order if row.is_winner_candidate])
        order = sorted(order, key=lambda row: row.submission.entry_id != first)
    return (*order, *failed)


def table_of(
    ranked: Iterable[ImageRow],
    chosen: ParticipantsStep,
    last: PublishedStep | None,
    standing: Collection[SubmittedImage],
) -> Table:
    """The whole table of a round with these ranked rows, of images that still stand. A hotkey has one row.

    The results of other images are dropped: their hotkeys submitted another one, or left the list.
    """
    standing, rows = frozenset(standing), tuple(ranked)
    dropped = {entry.entry_id for entry in chosen.entries if entry not in standing}
    took_part = {row.submission for row in rows}
    banned = [ImageRow(entry, _banned()) for entry in chosen.banned if entry in standing]
    others = [
        _earlier(row)
        for row in (() if last is None else last.rows)
        if row.submission in standing - took_part - set(chosen.banned)
    ]
    return Table((*rows, *others, *banned), tuple(row.submission.entry_id for row in rows), tuple(sorted(dropped)))


def _ranked(row: ImageRow, rules: ExecutorRules) -> RankedImage:
    metrics = row.metrics
    time = metrics.real_time_factor if rules.profile is Profile.SOUNDSRIGHT else metrics.inference_time_sec
    return RankedImage(
        row.submission.hotkey,
        metrics.final_score,
        float("inf") if time is None else time,
        float("inf") if metrics.peak_vram_gb is None else metrics.peak_vram_gb,
        row.submission.submitted_s,
    )


def _earlier(row: ImageRow) -> ImageRow:
    """The row of an earlier round, without its clips. Its score cannot be compared with those of another set."""
    if row.metrics.error is not None:
        return replace(row, metrics=replace(row.metrics, challenge_metrics=()))
    detail = "Its last score was too far behind to run again. Submit a new image to take part."
    metrics = replace(row.metrics, challenge_metrics=(), error=OUTRANKED, detail=detail)
    return replace(row, metrics=metrics)


def _banned() -> ImageMetrics:
    return ImageMetrics(error=BLACKLISTED, detail="The organiser has banned the hotkey.")
