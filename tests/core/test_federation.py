"""The types of a federation: what they refuse, and the bytes that all validators must share."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from soundsright.core.federation import JudgedRow, StatedMaterial, Verdict, View, allowlist_json, rounded_means
from soundsright.core.sources import ModelRef

DIGEST = "ab" * 32
MODEL = ModelRef("lab", "gate", "0" * 40)
ROW = JudgedRow("DENOISING_16000HZ", "5Miner", 3, MODEL, 100, True, 0, {"PESQ_WB": 2.5}, DIGEST)
VERDICT = Verdict(
    12,
    "5Lab",
    1_204,
    "0xab",
    DIGEST,
    DIGEST,
    {"DENOISING_16000HZ": DIGEST},
    {"DENOISING_16000HZ": {"PESQ_WB": 2.0}},
    (ROW, replace(ROW, hotkey="5Other")),
)
VIEW = View(1_260, "5Lab", DIGEST, DIGEST, {12: {"5Lab": DIGEST}})


@pytest.mark.parametrize(
    "change",
    [
        {"means": {"PESQ_WB": math.nan}},
        {"means": {"PESQ_WB": math.inf}},
        {"means": {"PESQ_WB": 1e300}},
        {"means": {"PESQ_WB": True}},
        {"means": {"PESQ_WB": 2.123456789}},
        {"failures": -1},
        {"failures": 1.5},
        {"uid": True},
        {"block": 2**80},
        {"passed": 1},
        {"hotkey": ""},
        {"hotkey": "5" * 1_000},
        {"answers": "AB" * 32},
        {"answers": ""},
    ],
)
def test_a_row_refuses_values_that_no_honest_validator_publishes(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is|digest"):
        replace(ROW, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"material": StatedMaterial(DIGEST, ("DEREVERBERATION_16000HZ",))},
        {"rows": (ROW, ROW)},
        {"rows": VERDICT.rows[::-1]},
        {"rows": (replace(ROW, competition="DEREVERBERATION_16000HZ"),)},
        {"unprocessed": {}},
        {"unprocessed": {"DENOISING_16000HZ": {"PESQ_WB": math.nan}}},
        {"allowlist": "none"},
        {"previous": "first"},
        {"task": -1},
    ],
)
def test_a_verdict_refuses_values_that_no_honest_validator_publishes(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        replace(VERDICT, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"verdicts": {-1: {"5Lab": DIGEST}}},
        {"verdicts": {12: {"5Lab": "short"}}},
        {"evidence": {12: {"": DIGEST}}},
        {"verdicts": {12: {f"5Lab{n}": DIGEST for n in range(1_000)}}},
        {"winners": {"DENOISING_16000HZ": ""}},
        {"epoch_block": -180},
    ],
)
def test_a_view_refuses_values_that_no_honest_validator_publishes(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        replace(VIEW, **change)


def test_rounded_means_are_accepted_and_have_no_negative_zero() -> None:
    means = rounded_means({"PESQ_WB": 2 / 3, "SI_SDR": -1e-12})
    assert replace(ROW, means=means).means == {"PESQ_WB": 0.666667, "SI_SDR": 0.0}
    assert math.copysign(1, means["SI_SDR"]) == 1
    with pytest.raises(ValueError, match="not finite"):
        rounded_means({"PESQ_WB": math.nan})


def test_an_allowlist_has_the_same_bytes_in_any_order() -> None:
    assert allowlist_json(["5B", "5A"], 100) == allowlist_json(["5A", "5B"], 100)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "ab"},
        {"public": ("A", "A")},
        {"public": ("",)},
        {"committed_block": -1},
        {"speech": {"a": "b" * 101}},
    ],
)
def test_a_statement_on_recordings_refuses_values_that_no_honest_validator_publishes(
    change: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match=r"digest|twice|name|whole"):
        replace(StatedMaterial(DIGEST), **change)


def test_columns_have_the_rows_of_each_competition() -> None:
    other = replace(ROW, hotkey="5Other", passed=False, means={"ESTOI": 0.5})
    columns = replace(VERDICT, rows=(ROW, other)).columns["DENOISING_16000HZ"]
    assert columns.hotkeys == ("5Miner", "5Other")
    assert columns.passed.tolist() == [True, False]
    assert columns.metrics == ("PESQ_WB",)
    assert columns.means[0, 0] == 2.5
    assert math.isnan(columns.means[0, 1])
    assert len(set(columns.models)) == 2
