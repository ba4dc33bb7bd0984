"""An entry's scores as metadata of a model card: the `model-index` that model hubs read.

Values are means over all clips of the set with the ends of their 95 % interval. A failed clip counts as the
metric's floor. The digest identifies the set.
"""

from __future__ import annotations

from typing import Any

from soundsright.core.errors import UsageError
from soundsright.services.drawing import metric_name
from soundsright.services.records import EstimateDoc, Run, RunCompetition, RunEntry

SOURCE_NAME = "SoundsRight"


def entries_named(run: Run, label: str) -> list[tuple[RunCompetition, RunEntry]]:
    """The entry `namespace/name` in each competition that it took part in.

    Raises:
        UsageError: the run has no results, or no such entry.
    """
    run.finished()
    entries = [(c, entry) for c in run.competitions for entry in c.entries if entry.label == label]
    if not entries:
        names = sorted({entry.label for c in run.competitions for entry in c.entries})
        raise UsageError(f"The round has no entry {label!r}", f"Choose from {', '.join(names)[:500]}.")
    return entries


def model_index(run: Run, label: str, *, dataset: str = "", dataset_url: str = "") -> list[dict[str, Any]]:
    """The metadata of an entry: one result per competition, with all metrics.

    If the round was pushed to a hub as a data set, `dataset` is its name and `dataset_url` its page.

    Raises:
        UsageError: the run has no results, or no such entry.
    """
    doc = run.finished()
    results = []
    for c, entry in entries_named(run, label):
        result: dict[str, Any] = {
            "task": {"type": "audio-to-audio", "name": c.doc.title},
            "dataset": {
                "type": dataset or "soundsright",
                "name": f"SoundsRight round {doc.round.id}, {c.doc.title}",
                "config": c.doc.id,
                "split": "test",
                "revision": c.doc.set_digest,
            },
            "metrics": [
                {
                    "type": name.lower(),
                    "name": metric_name(name),
                    "value": round(estimate.mean, 6),
                    "args": {
                        **_interval(estimate),
                        "clips": estimate.n,
                        **(
                            {}
                            if estimate.effective_n is None
                            else {"effective_clips": round(estimate.effective_n, 1)}
                        ),
                        "failed_clips": sum(entry.row.failures.values()),
                        "model_revision": (entry.row.model or "").rpartition("@")[2],
                    },
                }
                for name, estimate in entry.row.metrics.items()
            ],
        }
        if dataset_url:
            result["source"] = {"name": SOURCE_NAME, "url": dataset_url}
        results.append(result)
    return [{"name": label.rpartition("/")[2], "results": results}]


def _interval(estimate: EstimateDoc) -> dict[str, float]:
    """The ends of the interval; empty without one."""
    ends = {"low": estimate.low, "high": estimate.high}
    return {name: round(end, 6) for name, end in ends.items() if end is not None}
