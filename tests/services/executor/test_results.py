"""The signed results of a round have all that its scores and its order follow from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import EngineUnavailable, InfrastructureFault, RequestRefused, UsageError
from soundsright.core.images import Challenge, ImageMetrics, ImageRow, MeasuredImage, ScoringRun
from soundsright.core.results import ClipResult, Failure
from soundsright.core.rulesets import SOUNDSRIGHT_V3
from soundsright.services.executor.context import JudgedSet
from soundsright.services.executor.judging import ImageJudge
from soundsright.services.executor.participants import MAX_PARTICIPANTS
from soundsright.services.executor.publishing import Table
from soundsright.services.executor.recomputing import recomputed
from soundsright.services.executor.results import MeasuredEntry, RoundResults, open_results, signed_results
from soundsright.services.executor.rounds import MAX_SCORES
from soundsright.services.records import EXECUTOR_RESULTS, executor_round, sign_document
from tests.services.executor.world import COMPETITION, RULES, Account, Judge, World, entry, valid_signature

A, B, C = entry("Aa", 80, time_s=2), entry("Bb", 60), entry("Cc", 40)


@pytest.fixture
def raw(tmp_path: Path) -> bytes:
    """The results of a second round: a holder, a new image, and one that failed."""
    world = World(tmp_path)
    world.play(A)
    world.meter.failures["Cc"] = Failure("timeout", "too slow")
    world.play(A, B, C)
    results = world.service.results("images-20")
    assert results is not None
    return results


def _without_a_clip(document: dict[str, Any]) -> None:
    entry = document["entries"][1]
    name = entry["runs"][0]["clip_ids"].pop(0)
    del entry["scores"][name]


def opened(raw: bytes) -> RoundResults:
    return open_results(raw, valid_signature=valid_signature)


def changed(raw: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The document with a change, signed again by the same executor."""
    document = json.loads(json.loads(raw)["document"])
    change(document)
    return sign_document(EXECUTOR_RESULTS, document, Account()).encode()


def test_the_same_scores_and_order_follow_from_the_document(raw: bytes) -> None:
    results = opened(raw)
    again = recomputed(results, Judge)
    assert again.differences == ()
    assert [row.submission.hotkey for row in again.rows] == ["Aa", "Bb", "Cc"]
    assert results.signer == Account.address
    assert (results.round_id, results.holder, results.machine) == ("images-20", A.entry_id, {"cpu": "fake"})
    assert results.judged.ruleset == SOUNDSRIGHT_V3


def test_the_readers_of_tables_read_the_same_rows(tmp_path: Path) -> None:
    """The document has each score once. Readers find the runs and scores of a row again."""
    world = World(tmp_path, judge_of=ImageJudge, clips=24)
    world.meter.failures["Cc"] = Failure("timeout", "too slow")
    world.play(A, B, C)
    raw = world.service.results("images-10") or b""
    table = executor_round(raw, valid_signature=valid_signature)
    assert table.rows == world.service.table().rows
    assert [len(row.metrics.challenge_metrics) for row in table.rows] == [2, 2, 0]
    assert table.round_id == "images-10"
    assert table.rules == opened(raw).judged.rules


@pytest.mark.parametrize("fails", [False, True])
def test_validators_can_read_the_largest_round(fails: bool) -> None:
    """Models can write into the detail of their failures, also what takes many bytes in JSON."""
    results, table = largest_round(Failure("crashed", "\x01\u20ac" * 2_000) if fails else None)
    assert len(results.entries) == MAX_PARTICIPANTS
    raw = signed_results(results, table, Account()).encode()
    assert len(opened(raw).entries) == MAX_PARTICIPANTS


def test_results_that_no_validator_could_read_are_not_signed() -> None:
    results, table = largest_round(None, clips=900)
    with pytest.raises(InfrastructureFault, match=r"No validator could read .* at most 8000000 bytes"):
        signed_results(results, table, Account())
    results, table = largest_round(None, clips=1)
    with pytest.raises(InfrastructureFault, match="machine"):
        signed_results(replace(results, machine={f"part {n}": "x" for n in range(60)}), table, Account())


def largest_round(
    failure: Failure | None, clips: int = MAX_SCORES // MAX_PARTICIPANTS
) -> tuple[RoundResults, Table]:
    """A round of one metric with as many images as there may be, and as many clips as their number allows."""
    names = [f"{number:06}" for number in range(clips)]
    scored = tuple(ClipResult(name, scores={"PESQ_WB": 1.2345678901234567}) for name in names)
    runs = tuple(ScoringRun(n, tuple(names[n::5]), 6.123456789, 24.123456789, 10**9) for n in range(5))
    one = MeasuredImage(runs, scored)
    if failure is not None:
        one = replace(one, clips=tuple(ClipResult(name, failure=failure) for name in names), failure=failure)
    judged = JudgedSet(RULES, SOUNDSRIGHT_V3, {"PESQ_WB": 1.0}, scored)
    challenge = Challenge("images-10", 10, "0x" + "5" * 64, COMPETITION.id, clips, "c" * 64)
    metrics = Judge(judged).metrics(one) if failure else ImageMetrics(0.123456789, 0.123456789)
    rows = tuple(ImageRow(entry("5" + f"{n:047}".replace("0", "A"), 50), metrics) for n in range(MAX_PARTICIPANTS))
    entries = tuple(MeasuredEntry(row, one) for row in rows)
    results = RoundResults(challenge, judged, {"cpu": "test"}, "d" * 64, "", entries)
    return results, Table(rows, tuple(row.submission.entry_id for row in rows), ())


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda d: d["entries"][0]["scores"]["clip-0000"].update(ESTOI=0.9), "Aa: final_score"),
        (lambda d: d["entries"][0]["runs"][0].update(time_s=20.0), "Aa: efficiency_factor"),
        (lambda d: d["entries"][1].update(failure={"code": "crashed", "detail": "it ended"}), "Bb: error"),
        (lambda d: d["rows"].reverse(), "Aa has rank 1"),
        (lambda d: d["rows"][2]["metrics"].update(error=None), "Cc: error"),
        (lambda d: d["entries"].pop(0), "Aa: error"),
        (lambda d: d["entries"][0]["scores"].pop("clip-0000"), "Aa: the clips with scores"),
        (lambda d: d["entries"][1]["runs"].pop(), "Bb: the clips with scores"),
        (_without_a_clip, "Bb: its scores are of other clips than those of Aa"),
    ],
)
def test_a_changed_document_differs_from_what_follows_from_it(
    raw: bytes, change: Callable[[dict[str, Any]], object], difference: str
) -> None:
    again = recomputed(opened(changed(raw, change)), Judge)
    assert any(sentence.startswith(difference) for sentence in again.differences), again.differences


def test_a_document_that_somebody_else_signed_is_refused(raw: bytes) -> None:
    envelope = json.loads(raw)
    envelope["document"] = envelope["document"].replace("images-20", "images-21")
    with pytest.raises(RequestRefused) as refused:
        opened(json.dumps(envelope).encode())
    assert refused.value.code == "bad_signature"


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("rules"),
        lambda d: d.update(rules_digest="0" * 64),
        lambda d: d["rules"].update(carry_over="many"),
        lambda d: d["rules"].update(unknown=1),
        lambda d: d["rules"].update(profile="free"),
        lambda d: d.update(round="images-30"),
        lambda d: d["challenge"].update(clips=0),
        lambda d: d["entries"][0]["runs"][0].update(audio_s=0),
        lambda d: d["entries"][0].update(scores={"clip-0000": {"ESTOI": "good"}}),
        lambda d: d["rows"].append(d["rows"][0]),
        lambda d: d.update(groups={"clip_ids": ["a", "b"], "factors": {"noise": ["1"]}}),
        lambda d: d.update(machine=[]),
        lambda d: d["rows"][0].pop("metrics"),
    ],
)
def test_a_malformed_document_is_refused(raw: bytes, change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(RequestRefused) as refused:
        opened(changed(raw, change))
    assert refused.value.code == "malformed"


def test_another_ruleset_is_not_used(raw: bytes) -> None:
    with pytest.raises(UsageError, match="another digest"):
        open_results(raw, valid_signature=valid_signature, ruleset=replace(SOUNDSRIGHT_V3, alpha=0.01))
    with pytest.raises(UsageError, match="does not ship"):
        opened(changed(raw, lambda d: d.update(ruleset="house-rules")))


def test_an_image_that_could_not_be_run_has_a_row_without_measurements(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.meter.faults["Bb"] = [EngineUnavailable("no GPU")] * 9
    world.play(A, B)
    results = opened(world.service.results("images-10") or b"")
    assert [(each.row.metrics.error, each.measured is None) for each in results.entries] == [
        (None, False),
        ("not_evaluated", True),
    ]
    assert recomputed(results, Judge).differences == ()


def test_the_real_judge_decides_the_same_from_the_document(tmp_path: Path) -> None:
    world = World(tmp_path, judge_of=ImageJudge, clips=24)
    world.play(A)
    faster = entry("Bb", 80, time_s=1)
    world.play(A, faster, C)
    results = opened(world.service.results("images-20") or b"")
    assert [each.row.submission.hotkey for each in results.entries] == ["Bb", "Aa", "Cc"]
    assert recomputed(results).differences == ()
    unmeasured = opened(changed(world.service.results("images-20") or b"", lambda d: d["entries"].pop(0)))
    assert recomputed(unmeasured).differences[0].startswith("Aa: final_score is -1")
    runs = recomputed(results).rows[0].metrics.challenge_metrics
    assert [len(run["scores"]) for run in runs] == [12, 12]
