"""Rows of signed results get their runs from the measurements, whatever a stranger wrote there."""

from __future__ import annotations

from typing import Any

import pytest

from soundsright.core.images import ImageMetrics, ImageRow, SubmittedImage
from soundsright.core.sources import ImageRef
from soundsright.services.records.executor_runs import rows_with_runs

ROW = ImageRow(SubmittedImage(7, "5F", ImageRef("lab/gate", "0" * 64)), ImageMetrics(0.5, 0.5))
RUN = {"number": 1, "clip_ids": ["a", "b"], "time_s": 2.0, "audio_s": 4.0, "memory_bytes": 10**9, "energy_j": None}
ENTRY = {
    "hotkey": "5F",
    "submit_time": 7,
    "runs": [RUN],
    "scores": {"a": {"ESTOI": 0.5}},
    "failures": {"b": {"code": "silent", "detail": ""}},
    "failure": None,
}


def runs(*entries: object, weights: dict[str, float] | None = None) -> tuple[Any, ...]:
    weights = {"ESTOI": 1.0} if weights is None else weights
    return rows_with_runs((ROW,), list(entries), weights)[0].metrics.challenge_metrics


def test_a_clip_that_failed_has_the_floor() -> None:
    (run,) = runs(ENTRY)
    assert run["scores"] == {"a": {"ESTOI": 0.5}, "b": {"ESTOI": -1.0}}
    assert (run["run"], run["time_sec"], run["audio_sec"], run["peak_gb"]) == (1, 2.0, 4.0, 1.0)


def test_the_memory_of_a_gpu_counts_where_there_is_one() -> None:
    assert runs(ENTRY | {"runs": [RUN | {"gpu_memory_bytes": 3 * 10**9}]})[0]["peak_gb"] == 3.0


def test_an_image_that_failed_has_no_scores() -> None:
    assert runs(ENTRY | {"failure": {"code": "crashed", "detail": ""}})[0]["scores"] == {}


def test_another_submission_of_the_hotkey_gives_no_runs() -> None:
    assert runs(ENTRY | {"submit_time": 8}) == ()


def test_runs_that_a_row_has_stay() -> None:
    row = ImageRow(ROW.submission, ImageMetrics(0.5, 0.5, challenge_metrics=({"run": 9},)))
    assert rows_with_runs((row,), [ENTRY], {}) == (row,)


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {"hotkey": ["5F"], "submit_time": 7},
        ENTRY | {"runs": 3},
        ENTRY | {"runs": [3, {}]},
        ENTRY | {"scores": [], "failures": 7},
        ENTRY | {"runs": [RUN | {"clip_ids": [["a"], 3], "memory_bytes": "many"}]},
    ],
)
def test_what_has_another_form_is_left_out(entry: object) -> None:
    assert all(not run["scores"] for run in runs(entry))


def test_a_metric_that_this_program_lacks_has_no_floor() -> None:
    (run,) = runs(ENTRY, weights={"Unheard": 1.0})
    assert run["scores"] == {"a": {"ESTOI": 0.5}, "b": {}}
