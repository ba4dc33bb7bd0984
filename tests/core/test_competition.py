"""A competition can have its own name, and the four published competitions keep their names."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from soundsright.core.competition import PUBLISHED, Competition, Task, competition_by_id
from soundsright.core.errors import UsageError

WEIGHTS = {"ESTOI": 1.0}


def named(name: str) -> Competition:
    return Competition(Task.DENOISING, 16_000, WEIGHTS, 10.0, 3.0, name)


def test_the_published_names_are_task_and_rate() -> None:
    assert [c.id for c in PUBLISHED] == [
        "DENOISING_16000HZ",
        "DEREVERBERATION_16000HZ",
        "DENOISING_48000HZ",
        "DEREVERBERATION_48000HZ",
    ]
    assert [c.name for c in PUBLISHED] == [c.id for c in PUBLISHED]
    assert [c.title for c in PUBLISHED][:2] == ["Denoising, 16 kHz", "Dereverberation, 16 kHz"]


def test_a_given_name_is_the_id_and_is_in_the_title() -> None:
    summer = named("summer-2030")
    assert (summer.id, summer.title) == ("summer-2030", "Denoising, 16 kHz (summer-2030)")
    assert summer != named("winter_2030")
    assert pickle.loads(pickle.dumps(summer)) == summer
    assert named("DENOISING_16000HZ") == named("")


@pytest.mark.parametrize("name", ["a b", "a/b", "..", "a:b", "é", "a" * 65, "a\n", "<b>", "-h", "_a"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 letters, digits"):
        named(name)


@pytest.mark.parametrize(
    "change", [{"sample_rate_hz": 44_100}, {"metric_weights": {}}, {"max_score": -1.0}, {"remainder": -1.0}]
)
def test_numbers_out_of_range_are_refused(change: dict[str, Any]) -> None:
    facts: dict[str, Any] = {
        "task": Task.DENOISING,
        "sample_rate_hz": 16_000,
        "metric_weights": WEIGHTS,
        "max_score": 1.0,
    }
    with pytest.raises(ValueError, match=r"\S"):
        Competition(**({"remainder": 1.0} | facts | change))


def test_a_competition_is_found_in_upper_and_lower_case() -> None:
    offered = (named("Summer"), named("winter"))
    assert competition_by_id("summer", offered) is offered[0]
    assert competition_by_id("WINTER", offered) is offered[1]
    with pytest.raises(UsageError, match="Choose one of Summer, winter"):
        competition_by_id("autumn", offered)
