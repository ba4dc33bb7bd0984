"""Whom a validator pays by the executor's table, and which tables it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soundsright.core.errors import PeerUnavailable
from soundsright.core.executor_rules import ExecutorRules, executor_rules
from soundsright.core.images import ImageRow, PublishedTable, SubmittedImage
from soundsright.core.profiles import Profile
from soundsright.services.executor import Reading, order_of_rows, payees_of
from tests.services.executor.images import submitted
from tests.services.executor.rows import RULES, row

A, B, C = submitted("A", 10), submitted("B", 11), submitted("C", 12)
DOC = executor_rules(Profile.DOC)


def paid(
    *rows: ImageRow,
    registered: str = "ABC",
    standing: tuple[SubmittedImage, ...] = (A, B, C),
    burn_ratio: float = 0.0,
    rules: ExecutorRules = RULES,
) -> dict[str, float]:
    table = PublishedTable("7", rows, "v")
    return payees_of(Reading(standing, burn_ratio, table, order_of_rows(table, rules)), set(registered))


def test_the_best_image_takes_all_wherever_its_row_is() -> None:
    worst, best, middle = row(A, 0.3), row(B, 0.8), row(C, 0.5)
    assert paid(worst, best, middle) == paid(middle, worst, best) == {"B": 1.0}


def test_a_burn_ratio_of_30_percent_leaves_70() -> None:
    assert paid(row(A, 0.8), burn_ratio=0.3) == pytest.approx({"A": 0.7})
    assert paid(row(A, 0.8), burn_ratio=1.0) == {}


def test_an_image_that_cannot_be_paid_leaves_the_prize_to_the_next() -> None:
    rows = (row(A, 0.9), row(B, 0.8), row(C, 0.7))
    assert paid(*rows, registered="BC") == {"B": 1.0}
    assert paid(*rows, standing=(submitted("A", 99, "f"), B, C)) == {"B": 1.0}
    assert paid(*rows, standing=(submitted("A", 99), B, C)) == {"B": 1.0}
    failed = replace(rows[0].metrics, error="timeout", final_score=0.0, quality_score=0.0)
    assert paid(replace(rows[0], metrics=failed), *rows[1:]) == {"B": 1.0}


def test_nobody_is_paid_if_no_image_has_a_positive_score() -> None:
    assert paid() == paid(row(A, 0.0), ImageRow(B)) == paid(row(A, 0.5), registered="") == {}


def test_scores_within_the_tolerance_are_ordered_by_time_memory_and_submission() -> None:
    fast = replace(RULES, tie_eps=1.0)
    assert paid(row(A, 0.9), row(B, 0.5, time_s=5.0), rules=fast) == {"B": 1.0}
    assert paid(row(A, 0.9), row(B, 0.5, memory_gb=4.0), rules=fast) == {"B": 1.0}
    assert paid(row(B, 0.9), row(A, 0.5), rules=fast) == {"A": 1.0}


def test_the_document_counts_seconds_and_soundsright_the_real_time_factor() -> None:
    of_document = row(A, 0.8, time_s=12.0, rules=DOC)
    assert paid(of_document, rules=DOC) == {"A": 1.0}
    with pytest.raises(PeerUnavailable, match="without a time"):
        paid(of_document)


def test_the_original_program_scores_an_image_without_a_time() -> None:
    code = executor_rules(Profile.CODE)
    silent = replace(row(A, 0.8).metrics, inference_time_sec=None, final_score=0.8)
    assert paid(ImageRow(A, silent), rules=code) == {"A": 1.0}


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("has the score", {"final_score": 0.75}),
        ("has the score", {"real_time_factor": 0.01}),
        ("the quality 1.5", {"quality_score": 1.5}),
        ("the quality -0.5", {"quality_score": -0.5}),
        ("negative time", {"real_time_factor": -1.0}),
        ("negative time", {"peak_vram_gb": -1.0}),
        ("without a time", {"peak_vram_gb": None}),
        ("above the limit", {"peak_vram_gb_worst": 10.5}),
    ],
)
def test_a_score_that_contradicts_its_row_pays_nobody(fault: str, changes: dict[str, Any]) -> None:
    honest = row(A, 0.7)
    lie = replace(honest, metrics=replace(honest.metrics, **changes))
    with pytest.raises(PeerUnavailable, match=fault) as caught:
        paid(lie, row(B, 0.6))
    assert caught.value.code == "bad_table"


def test_a_run_above_a_limit_must_be_marked() -> None:
    marked = row(A, 0.7, memory_gb=10.5)
    assert paid(marked, row(B, 0.1)) == {"B": 1.0}
    slow = row(A, 0.7, time_s=31.0, rules=DOC)
    unmarked = replace(slow, metrics=replace(slow.metrics, cap_violation=False))
    with pytest.raises(PeerUnavailable, match="mean time 31"):
        paid(unmarked, rules=DOC)


def test_a_hotkey_has_one_row() -> None:
    with pytest.raises(PeerUnavailable, match="A has two rows"):
        paid(row(A, 0.7), row(A, 0.7))


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), True, "0.3"])
def test_a_burn_ratio_outside_its_range_is_the_coordinators_fault(ratio: Any) -> None:
    with pytest.raises(PeerUnavailable, match="burn ratio"):
        paid(row(A, 0.7), burn_ratio=ratio)
