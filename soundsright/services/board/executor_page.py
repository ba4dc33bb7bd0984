"""The content of the page `executor/`: the table of the last round, its charts, and the scores over the rounds.

Times are in seconds, memory in GB, energy in joules per second of audio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soundsright.core.executor_rules import REAL_TIME_S
from soundsright.core.images import NO_SCORE, ImageRow
from soundsright.core.profiles import Profile
from soundsright.services.drawing import MAX_SERIES, CostPoint, Series, cost_plot, history_plot
from soundsright.services.records import (
    ExecutorHistory,
    ExecutorRound,
    Explanation,
    explained_image,
    image_label,
    image_state,
    material_sentence,
)

MOST_EXPLAINED = 10
"""The images for which the page says what a change would be worth."""
MOST_ROUNDS = 24
"""The rounds of the chart over rounds: the latest ones."""


@dataclass(frozen=True)
class ShownImage:
    """A row of the page. `label` is the image without the registry's host, `state` a word for what became of it."""

    rank: int | None
    row: ImageRow
    label: str
    state: str


def shown_executor(history: ExecutorHistory) -> dict[str, Any]:
    """The values of the page `executor.html.j2`. Its drawings are markup: their labels are escaped already."""
    from markupsafe import Markup

    latest = history.latest
    if latest is None:
        return {"table": None, "problems": history.problems}
    shown = [ShownImage(rank, row, image_label(row), image_state(row)) for rank, row in latest.ranked]
    recent = history.rounds[-MOST_ROUNDS:]
    return {
        "table": latest,
        "problems": history.problems,
        "material": material_sentence(latest.material),
        "rows": shown,
        "has_real_time": latest.rules.profile is Profile.SOUNDSRIGHT,
        "real_time_s": REAL_TIME_S,
        "has_energy": any(row.metrics.energy_j_per_s is not None for row in latest.rows),
        "explained": _explained(latest, shown),
        "costs": Markup(_costs(latest, shown)),
        "over_rounds": Markup(_over_rounds(recent, shown)),
        "rounds": recent,
        "scores": _scores(recent, shown),
    }


def _explained(table: ExecutorRound, shown: Sequence[ShownImage]) -> list[tuple[ShownImage, Explanation]]:
    paid = [each for each in shown if each.rank is not None][:MOST_EXPLAINED]
    return [
        (each, explained_image(table, each.row.submission.hotkey))
        for each in paid
        if each.row.metrics.peak_vram_gb is not None and each.row.metrics.inference_time_sec is not None
    ]


def _costs(table: ExecutorRound, shown: Sequence[ShownImage]) -> str:
    """The chart of quality over time, or an empty text if no image was measured."""
    uses_factor = table.rules.profile is Profile.SOUNDSRIGHT
    points = []
    for each in shown:
        metrics = each.row.metrics
        time = metrics.real_time_factor if uses_factor else metrics.inference_time_sec
        if metrics.error is not None or time is None or metrics.peak_vram_gb is None:
            continue
        energy = "" if metrics.energy_j_per_s is None else f", {metrics.energy_j_per_s:.3g} J per s of audio"
        unit = "real-time factor {:.3g}" if uses_factor else "{:.3g} s"
        rank = "no rank" if each.rank is None else f"rank {each.rank}"
        words = (
            f"{each.label}, {rank}: quality {metrics.quality_score:.3f}, {unit.format(time)}, "
            f"{metrics.peak_vram_gb:.3g} GB{energy}"
        )
        mark = "–" if each.rank is None else str(each.rank)
        points.append(
            CostPoint(
                mark, words, metrics.quality_score, time, metrics.peak_vram_gb, each.rank == 1, metrics.unsteady
            )
        )
    if not points:
        return ""
    x_title = (
        "real-time factor: s per s of audio (left is faster)"
        if uses_factor
        else "time of a run, s (left is faster)"
    )
    return cost_plot(points, title="Quality (0 to 1) over time", x_title=x_title)


def _over_rounds(rounds: Sequence[ExecutorRound], shown: Sequence[ShownImage]) -> str:
    """The chart of the best images' scores over the rounds, or an empty text before the second round."""
    if len(rounds) < 2:
        return ""
    series = []
    for each in shown[:MAX_SERIES]:
        scores = _scores_of(rounds, each)
        points = [(float(at), score) for at, score in enumerate(scores) if score is not None]
        if points:
            series.append(Series(each.label, tuple(x for x, _ in points), tuple(y for _, y in points)))
    if not series:
        return ""
    return history_plot(series, [each.round_id for each in rounds], title="Final score over rounds", unit="")


def _scores(
    rounds: Sequence[ExecutorRound], shown: Sequence[ShownImage]
) -> list[tuple[ShownImage, list[float | None]]]:
    return [(each, _scores_of(rounds, each)) for each in shown if each.row.metrics.final_score != NO_SCORE]


def _scores_of(rounds: Sequence[ExecutorRound], image: ShownImage) -> list[float | None]:
    """The final score of a hotkey in each round; None if it has none there."""
    return [_score_in(_by_hotkey(each), image.row.submission.hotkey) for each in rounds]


def _by_hotkey(table: ExecutorRound) -> Mapping[str, ImageRow]:
    return {row.submission.hotkey: row for row in table.rows}


def _score_in(rows: Mapping[str, ImageRow], hotkey: str) -> float | None:
    row = rows.get(hotkey)
    return None if row is None or row.metrics.final_score == NO_SCORE else row.metrics.final_score
