"""The scoring runs of an executor's signed results, in the form that its table shows.

The signed results have the scores of each clip once, with the measurement of its image. Rows of the table name them
by run. Values come from strangers: what has another form is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.images import ImageRow


def rows_with_runs(
    rows: tuple[ImageRow, ...], entries: object, metric_weights: Mapping[str, float]
) -> tuple[ImageRow, ...]:
    """The rows, each with the `challenge_metrics` that follow from the measurement of its image.

    `entries` are those of the signed results. Rows that have runs already, and images without a measurement, stay
    as they are.
    """
    by_image = {
        (entry.get("hotkey"), entry.get("submit_time")): entry
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, Mapping)
        and isinstance(entry.get("hotkey"), str)
        and isinstance(entry.get("submit_time"), int)
    }
    floors = _floors(metric_weights)
    shown = []
    for row in rows:
        entry = by_image.get((row.submission.hotkey, row.submission.submitted_s))
        if entry is not None and not row.metrics.challenge_metrics:
            row = replace(row, metrics=replace(row.metrics, challenge_metrics=_runs(entry, floors)))
        shown.append(row)
    return tuple(shown)


def _runs(entry: Mapping[str, Any], floors: Mapping[str, float]) -> tuple[Mapping[str, Any], ...]:
    scores, failures = (_mapping(entry.get(name)) for name in ("scores", "failures"))
    has_failed = entry.get("failure") is not None
    runs = []
    for run in _list(entry.get("runs")):
        if not isinstance(run, Mapping):
            continue
        clip_ids = [each for each in _list(run.get("clip_ids")) if isinstance(each, str)]
        known = [each for each in clip_ids if not has_failed and (each in scores or each in failures)]
        memory, gpu_memory = run.get("memory_bytes"), run.get("gpu_memory_bytes")
        peak = memory if gpu_memory is None else gpu_memory
        runs.append(
            {
                "run": run.get("number"),
                "clip_ids": clip_ids,
                "time_sec": run.get("time_s"),
                "audio_sec": run.get("audio_s"),
                "peak_gb": peak / 1e9 if isinstance(peak, int | float) else None,
                "energy_j": run.get("energy_j"),
                "scores": {each: {**floors, **_mapping(scores.get(each))} for each in known},
            }
        )
    return tuple(runs)


def _floors(metric_weights: Mapping[str, float]) -> dict[str, float]:
    """The floors of the metrics that this program knows: a clip that failed has them."""
    from soundsright.metrics import floors

    known: dict[str, float] = {}
    for name in metric_weights:
        try:
            known |= floors((name,))
        except UsageError:
            continue
    return known


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
