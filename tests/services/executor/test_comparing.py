"""Two executors agree on qualities to 1e-6; their times are compared in units of the reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest

from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import executor_rules
from soundsright.core.images import SubmittedImage
from soundsright.core.sources import ImageRef
from soundsright.rules import organiser_of_toml
from soundsright.services.executor.comparing import Comparison, compared, differences_from_rules
from soundsright.services.executor.executor_steps import MeasuredStep
from soundsright.services.executor.results import RoundResults, open_results
from soundsright.services.records import EXECUTOR_RESULTS, sign_document
from tests.services.executor.signed_rounds import signed_round

EXECUTOR, OTHER = Hotkey.of_seed("executor"), Hotkey.of_seed("other")
A, B, C = (SubmittedImage(n, f"5{name}", ImageRef("lab/gate", f"{n:064x}")) for n, name in enumerate("ABC", 1))


def results(
    qualities: Mapping[SubmittedImage, float],
    *,
    key: Hotkey = EXECUTOR,
    change: Callable[[dict[str, Any]], object] = lambda _document: None,
    **machine: Any,
) -> RoundResults:
    """The results of a round. `change` changes the document before it is signed."""
    raw = signed_round(qualities, key, **machine)[1]
    document = json.loads(json.loads(raw)["document"])
    change(document)
    return open_results(sign_document(EXECUTOR_RESULTS, document, key).encode(), valid_signature=valid_signature)


def against(other: RoundResults) -> Comparison:
    return compared(results({A: 0.8, B: 0.6}, reference_s=0.5), other)


def test_a_slower_machine_agrees_and_its_times_are_those_of_the_reference() -> None:
    comparison = against(results({A: 0.8, B: 0.6}, key=OTHER, speed=0.5, reference_s=1.0))
    assert (comparison.differences, comparison.lone) == ((), ())
    assert [time.hotkey for time in comparison.times] == ["5A", "5B"]
    for time in comparison.times:
        assert time.times_s == (6.0, 12.0)
        assert time.ratio == pytest.approx(1.0)


def test_without_a_reference_times_have_no_ratio() -> None:
    comparison = against(results({A: 0.8, B: 0.6}, key=OTHER))
    assert comparison.differences == ()
    assert [time.ratio for time in comparison.times] == [None, None]


def test_the_time_of_the_reference_is_kept_and_older_states_have_none() -> None:
    (first, *_) = results({A: 0.8}, reference_s=0.5).entries
    assert first.measured is not None
    step = MeasuredStep(replace(first.measured, clips=()))
    facts = step.facts()
    assert MeasuredStep.of(facts) == step
    assert step.measured.reference_s == 0.5
    del facts["reference_s"]
    assert MeasuredStep.of(facts).measured.reference_s is None


def test_another_quality_is_a_difference_beyond_a_millionth() -> None:
    assert against(results({A: 0.8 + 5e-7, B: 0.6}, key=OTHER)).differences == ()
    (difference,) = against(results({A: 0.8 + 3e-6, B: 0.6}, key=OTHER)).differences
    assert difference.startswith("5A: quality is 0.80")


def test_the_quality_that_counts_is_that_of_the_clips_and_not_of_the_row() -> None:
    def lie(document: dict[str, Any]) -> None:
        for row in document["rows"]:
            row["metrics"]["quality_score"] = 1.0

    assert against(results({A: 0.8, B: 0.6}, key=OTHER, change=lie)).differences == ()


def test_an_image_that_failed_on_one_machine_is_a_difference() -> None:
    def fail(document: dict[str, Any]) -> None:
        document["entries"][1]["failure"] = {"code": "crashed", "detail": "it ended"}

    (difference,) = against(results({A: 0.8, B: 0.6}, key=OTHER, change=fail)).differences
    assert difference == "5B: error is none in the first and crashed in the second"


def test_images_that_only_one_of_them_ran_are_named() -> None:
    comparison = against(results({A: 0.8, C: 0.6}, key=OTHER))
    assert comparison.differences == ()
    assert comparison.lone == (
        f"5B: only the first results have {B.image}",
        f"5C: only the second results have {C.image}",
    )


def test_another_set_is_a_difference() -> None:
    other = results({A: 0.8}, key=OTHER, change=lambda d: d.update(set_digest="e" * 64))
    (difference,) = against(other).differences
    assert difference.startswith("the two results have different set")


def test_results_of_different_rounds_are_not_compared() -> None:
    other = results({A: 0.8}, key=OTHER, change=lambda d: d["challenge"].update(block_hash=f"0x{1:064x}"))
    with pytest.raises(UsageError, match="different rounds"):
        against(other)


def organiser() -> CompetitionRules:
    published = files("soundsright").joinpath("rulesets/published.toml").read_text()
    return organiser_of_toml(published, source="published.toml", now_s=0.0)


def test_results_follow_the_organisers_rules_or_the_difference_is_named() -> None:
    own, found = organiser(), results({A: 0.8})
    assert differences_from_rules(found, own) == ()
    (rules,) = differences_from_rules(found, replace(own, executor=executor_rules(time_weight=0.2)))
    assert "other rules than [executor]" in rules
    (lacking,) = differences_from_rules(found, replace(own, competitions=own.competitions[1:]))
    assert "the organiser's file lacks" in lacking
    weighed = results({A: 0.8}, change=lambda d: d.update(metric_weights={"ESTOI": 1.0}))
    (weights,) = differences_from_rules(weighed, own)
    assert "weigh the metrics otherwise" in weights
