"""Why an image has its score, from a table alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import executor_rules
from soundsright.core.profiles import Profile
from soundsright.services.records import ExecutorRound, explained_image, metric_means, scored_time_s
from tests.services.records.executor_rows import WEIGHTS, hotkey, scored, usual_rows

TABLE = ExecutorRound("7", usual_rows(), metric_weights=WEIGHTS)


def test_the_terms_give_the_published_score() -> None:
    why = explained_image(TABLE, hotkey("B"))
    assert why.agrees
    assert why.quality_agrees
    assert why.terms.score == pytest.approx(why.row.metrics.final_score, abs=1e-9)
    assert [term.metric for term in why.quality_terms] == ["PESQ_WB", "ESTOI"]


def test_the_time_is_the_real_time_factor_for_thirty_seconds() -> None:
    row = scored("A", "ann/gate", 2.6, 0.82, 0.4, 5.0)
    assert scored_time_s(row, executor_rules()) == pytest.approx(12.0)
    assert scored_time_s(row, executor_rules(Profile.DOC)) == pytest.approx(9.6)


def test_the_worked_example_is_explained() -> None:
    why = explained_image(replace(TABLE, rows=(scored("A", "ann/gate", 2.6, 0.82, 0.4, 5.0),)), "5A")
    assert why.terms.quality == pytest.approx(0.6022857, abs=1e-7)
    assert why.terms.score == pytest.approx(0.5328457, abs=1e-7)
    assert why.rank == 1
    assert why.first_place.less_time_s == 0.0


def test_the_step_of_a_lean_image_is_a_tenth_of_what_it_needs() -> None:
    why = explained_image(TABLE, "5C")
    assert why.time_step.amount == pytest.approx(0.03)
    assert why.memory_step.amount == pytest.approx(0.02)
    assert why.time_step.worth.gain > 0


def test_a_quality_of_zero_that_its_metrics_do_not_give_is_noticed() -> None:
    row = scored("A", "ann/gate", 2.6, 0.82, 0.4, 5.0)
    beaten = replace(row, metrics=replace(row.metrics, quality_score=0.0, final_score=0.0))
    why = explained_image(replace(TABLE, rows=(beaten,)), "5A")
    assert (why.agrees, why.quality_agrees, why.rank) == (True, False, None)


def test_other_rules_than_those_of_the_score_are_noticed() -> None:
    table = replace(TABLE, rules=executor_rules(time_weight=0.3))
    assert not explained_image(table, "5B").agrees


def test_without_weights_the_quality_has_no_terms() -> None:
    assert explained_image(replace(TABLE, metric_weights={}), "5B").quality_terms == ()


def test_means_ignore_what_is_not_a_finite_score() -> None:
    row = usual_rows()[0]
    runs: tuple[dict[str, Any], ...] = (
        {"scores": {"a": {"ESTOI": 0.5, "PESQ_WB": None}, "b": 3}},
        {"scores": []},
        {},
    )
    assert metric_means(replace(row, metrics=replace(row.metrics, challenge_metrics=runs))) == {"ESTOI": 0.5}


@pytest.mark.parametrize(
    ("start", "fault"), [("5F", "failed, so its score is 0"), ("5G", "no score yet"), ("5", "not exactly one")]
)
def test_an_image_without_a_score_has_no_explanation(start: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        explained_image(TABLE, start)
