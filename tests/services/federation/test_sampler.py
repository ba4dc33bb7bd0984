"""A validator's turn: it judges, publishes the verdict last, and steps in only for one that is certainly silent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import BucketUnavailable, EngineUnavailable, ModelCrashed, UsageError
from soundsright.core.profiles import Profile
from soundsright.core.sources import ModelRef
from soundsright.core.submission import CommitmentKind, FetchedModel, Reveal
from soundsright.services.federation.sampler import sole_sampler
from soundsright.services.rounds import Cancelled
from soundsright.testing import Behaviour, FakeSandbox, MemoryState, VirtualClock
from tests.services.federation.samplers import RULES, Federation, bucket_content


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path)


def test_the_validator_whose_turn_it_is_publishes_a_verdict_on_every_admitted_miner(federation: Federation) -> None:
    federation.reach(61)  # Task 3, whose first validator is v0.
    validators = [federation.validator(name) for name in federation.names]
    for validator in validators:
        validator.tick()

    assert [validator.published for validator in validators] == [[3], [], []]
    verdict = validators[0].verdict(3)
    assert (verdict.task, verdict.block, verdict.block_hash) == (3, 61, federation.chain.block_hash(60))
    assert [row.hotkey for row in verdict.rows] == ["alice", "bob"]
    assert {row.passed for row in verdict.rows} == {True}
    assert verdict.rows[0].means["ESTOI"] > verdict.rows[1].means["ESTOI"] > 0
    assert verdict.rules == federation.settings().rules_digest
    assert federation.allowlist is not None
    assert verdict.allowlist == federation.allowlist.digest


def test_entries_whose_text_is_on_the_chain_are_admitted(federation: Federation) -> None:
    federation.organiser = replace(federation.organiser, commitment=CommitmentKind.PLAIN)
    for hotkey, reveal in federation.reveals.items():
        assert isinstance(reveal, Reveal)
        federation.chain.publish(hotkey, reveal.text(hotkey))
    federation.reach(61)
    validator = federation.validator("v0")
    validator.tick()
    assert [row.hotkey for row in validator.verdict(3).rows] == ["alice", "bob"]


def test_the_verdict_states_its_recordings_and_which_of_them_are_public(federation: Federation) -> None:
    federation.reach(61)
    validator = federation.validator("v0")
    validator.tick()
    material = validator.verdict(3).material
    assert material is not None
    assert material.public == tuple(c.id for c in federation.organiser.competitions[:2])
    assert material.committed_block is None


def test_the_bucket_has_the_audio_of_inputs_and_answers_under_numbers(federation: Federation) -> None:
    federation.reach(61)
    federation.validator("v0").tick()
    keys = set(bucket_content(federation.folder / "buckets" / "v0"))
    stems = {key.rpartition(".")[0] for key in keys}
    assert {f"3/original/{n:03d}" for n in range(8)} < stems
    assert {f"3/generated/{name}/{n:03d}" for name in ("alice", "bob") for n in range(4)} < stems
    assert {"3/metadata.json", "3/evaluation_results/v0.json"} < keys


def test_the_verdict_is_written_after_all_other_files(federation: Federation) -> None:
    federation.reach(61)
    written: list[str] = []
    bucket = federation.buckets.of("v0")
    federation.validator("v0", bucket=_Listening(bucket, written)).tick()
    assert written[-2:] == ["3/metadata.json", "3/evaluation_results/v0.json"]
    assert written[0] == "claims/3.json"
    assert len(written) == 1 + 8 + 2 * 4 + 2


class _Listening:
    """A bucket that lists each key that is written. It fails for the keys in `fails`."""

    def __init__(self, bucket: Any, written: list[str], fails: tuple[str, ...] = ()) -> None:
        self._bucket, self._written, self.fails = bucket, written, fails

    def put(self, key: str, data: bytes, create: bool = False) -> Any:
        if any(part in key for part in self.fails):
            raise BucketUnavailable("The bucket does not answer", own=True)
        self._written.append(key)
        return self._bucket.put(key, data, create=create)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)


def test_one_task_gets_one_verdict_however_often_the_sampler_looks(federation: Federation) -> None:
    federation.reach(61)
    validator = federation.validator("v0")
    for _ in range(3):
        validator.tick()
    assert validator.published == [3]
    assert sum(validator.sandbox.enhanced.values()) == 8


def test_verdicts_of_one_validator_form_a_chain(federation: Federation) -> None:
    validator = federation.validator("v0")
    for block in (61, 121):
        federation.reach(block)
        validator.tick()
    first = federation.buckets.verdict(3, "v0")
    assert first.verdict.previous == ""
    assert validator.verdict(6).previous == first.digest


def test_a_backup_steps_in_once_the_first_validator_is_certainly_silent(federation: Federation) -> None:
    backup = federation.validator("v1")
    federation.reach(69)
    backup.tick()
    assert backup.published == []
    federation.reach(70)  # Half of the interval has passed.
    backup.tick()
    assert backup.published == [3]
    assert backup.verdict(3).block == 70


def test_a_backup_leaves_the_task_if_the_first_validator_has_published(federation: Federation) -> None:
    federation.reach(61)
    federation.validator("v0").tick()
    federation.reach(70)
    backup = federation.validator("v1")
    backup.tick()
    assert backup.published == []
    assert "has a verdict of v0" in backup.sampler.status()["waits_for"]


def test_a_bucket_that_cannot_be_read_is_not_taken_for_an_absent_verdict(federation: Federation) -> None:
    federation.reach(70)
    backup = federation.validator("v1")
    federation.buckets.away = {"v0"}
    backup.tick()
    assert backup.published == []
    assert "unreadable" in backup.sampler.status()["waits_for"]
    federation.buckets.away = set()
    backup.tick()
    assert backup.published == [3]


def test_with_a_short_grace_a_second_backup_looks_at_all_before_it(federation: Federation) -> None:
    federation.rules = type(RULES)(interval_blocks=20, grace_blocks=5, clips=4, competitions=RULES.competitions)
    federation.reach(65)
    federation.validator("v1").tick()
    federation.reach(70)
    second = federation.validator("v2")
    second.tick()
    assert second.published == []
    assert "has a verdict of v1" in second.sampler.status()["waits_for"]


@pytest.mark.parametrize("change", ["no list", "off the list"])
def test_without_a_place_on_an_allowlist_nothing_is_judged(federation: Federation, change: str) -> None:
    federation.reach(61)
    validator = federation.validator("v0" if change == "no list" else "stranger")
    if change == "no list":
        federation.allowlist = None
    validator.tick()
    assert validator.published == []
    assert validator.problems == []
    assert validator.sandbox.enhanced == {}


def test_a_miner_that_is_refused_has_no_row_and_one_whose_model_crashes_has_one_at_the_floor(
    federation: Federation,
) -> None:
    federation.enter("carol", Behaviour(batch_fault=ModelCrashed("It crashed")))
    federation.enter("copycat", Behaviour(0.8), content="content-alice")
    federation.enter("silent", Behaviour(0.9))
    del federation.reveals["silent"]
    federation.reach(61)
    validator = federation.validator("v0")
    validator.tick()
    rows = {row.hotkey: row for row in validator.verdict(3).rows}
    assert rows.keys() == {"alice", "bob", "carol"}
    assert (rows["carol"].passed, rows["carol"].failures) == (False, 4)
    assert rows["carol"].means["ESTOI"] == federation.settings().floors()["ESTOI"]


def test_miners_of_another_competition_are_judged_on_its_own_set(federation: Federation) -> None:
    federation.enter("dora", Behaviour(0.6), competition=1)
    federation.reach(61)
    validator = federation.validator("v0")
    validator.tick()
    verdict = validator.verdict(3)
    assert [(row.competition, row.hotkey) for row in verdict.rows][-1] == ("DEREVERBERATION_16000HZ", "dora")
    assert len(set(verdict.sets.values())) == 2
    stems = {key.rpartition(".")[0] for key in bucket_content(federation.folder / "buckets" / "v0")}
    # Clips are numbered over the sets of all competitions.
    assert "3/generated/dora/000" in stems or "3/generated/dora/004" in stems


def test_an_entry_that_was_committed_after_the_task_began_waits_for_the_next_one(federation: Federation) -> None:
    federation.reach(60)
    federation.enter("late", Behaviour(0.9))
    federation.reach(62)
    validator = federation.validator("v0")
    validator.tick()
    assert "late" not in {row.hotkey for row in validator.verdict(3).rows}


@pytest.mark.parametrize("failing", ["original", "generated", "metadata", "evaluation_results"])
def test_a_bucket_that_fails_gives_no_verdict_and_the_work_continues_when_it_answers(
    federation: Federation, failing: str
) -> None:
    federation.reach(61)
    bucket = _Listening(federation.buckets.of("v0"), [], fails=(failing,))
    validator = federation.validator("v0", bucket=bucket)
    validator.tick()
    assert validator.published == []
    assert federation.buckets.shown(3, "v0") is False
    assert validator.problems
    bucket.fails = ()
    federation.reach(65)
    validator.tick()
    assert validator.published == [3]
    assert sum(validator.sandbox.enhanced.values()) == 8, "no model is run twice"


def test_an_engine_that_fails_is_this_validators_fault_and_leaves_the_turn_to_the_backup(
    federation: Federation,
) -> None:
    federation.hub.repositories.clear()
    federation.reveals.clear()
    federation.enter("alice", Behaviour(engine_fault=EngineUnavailable("The engine is gone")))
    federation.reach(61)
    validator = federation.validator("v0")
    validator.tick()
    assert validator.published == []
    assert "engine" in validator.problems[-1]
    # Two intervals after its end, a task can be in a window, and a verdict comes too late.
    federation.reach(140)
    validator.tick()
    assert federation.buckets.shown(3, "v0") is False
    repaired = {model: type(r)(r.content_hash) for model, r in federation.hub.repositories.items()}
    federation.hub.repositories.update(repaired)
    federation.hub.cache.clear()
    federation.reach(181)
    validator.tick()
    assert validator.published == [9]


def test_another_verdict_of_the_same_hotkey_is_left_as_it_stands(federation: Federation) -> None:
    federation.reach(61)
    federation.validator("v0").tick()
    first = bucket_content(federation.folder / "buckets" / "v0")["3/evaluation_results/v0.json"]
    # The state is lost, and the block has changed.
    federation.reach(62)
    again = federation.validator("v0")
    again.tick()
    assert again.published == []
    # It is lost while the bucket looks empty.
    blind = federation.validator("v0", shown=lambda _task, _hotkey: False)
    blind.tick()
    assert blind.published == []
    assert bucket_content(federation.folder / "buckets" / "v0")["3/evaluation_results/v0.json"] == first


def test_a_stop_ends_the_running_model_and_a_restart_continues_with_the_same_bytes(
    federation: Federation, tmp_path: Path
) -> None:
    federation.reach(61)
    state = MemoryState()
    started: list[str] = []

    def behaviour(model: FetchedModel) -> Behaviour:
        started.append(model.content_hash)
        if len(started) == 2:
            validator.context.cancel()
        return federation.hub.behaviour(model)

    sandbox = FakeSandbox(behaviour)
    validator = federation.validator("v0", state, sandbox=sandbox)
    with pytest.raises(Cancelled):
        validator.tick()
    assert validator.problems == []
    assert federation.buckets.shown(3, "v0") is False

    restarted = federation.validator("v0", state)
    restarted.tick()
    other = Federation(tmp_path / "undisturbed")
    other.reach(61)
    other.validator("v0").tick()
    contents = [bucket_content(each.folder / "buckets" / "v0") for each in (federation, other)]
    assert contents[0].pop("claims/3.json") != contents[1].pop("claims/3.json"), "claims are random"
    assert contents[0] == contents[1]


def test_a_second_process_of_the_same_hotkey_is_refused() -> None:
    clock = VirtualClock(1.0)
    state = MemoryState()
    state.take_lease("federation:5Lab", "elsewhere::7", now_s=0.0, duration_s=60.0)
    with (
        pytest.raises(UsageError, match="Process 7 on elsewhere uses the hotkey 5Lab"),
        sole_sampler(state, "5Lab", clock=clock, lost=lambda: None),
    ):
        pass
    with sole_sampler(state, "5Other", clock=clock, lost=lambda: None):
        assert state.lease_holder("federation:5Other", now_s=1.0) is not None


@pytest.mark.parametrize("profile", ["doc", "code"])
def test_the_documents_profile_asks_for_a_name_with_the_hotkey(federation: Federation, profile: str) -> None:
    federation.rules = replace(RULES, profile=Profile(profile))
    model = ModelRef("lab", "leoma-gate-named", "f" * 40)
    federation.enter("named", Behaviour(0.7))
    old = federation.reveals["named"]
    assert not isinstance(old, Exception)
    federation.hub.repositories[model] = federation.hub.repositories.pop(old.model)
    reveal = replace(old, model=model)
    federation.reveals["named"] = reveal
    federation.chain.publish("named", reveal.digest("named"))
    federation.reach(61)
    validator = federation.validator("v0")
    validator.tick()
    assert [row.hotkey for row in validator.verdict(3).rows] == ["named"]


def test_audio_and_models_of_old_tasks_are_removed(federation: Federation) -> None:
    validator = federation.validator("v0", kept_tasks=2)
    for block in (61, 121, 181):
        federation.reach(block)
        validator.tick()
    federation.enter("alice", Behaviour(0.9), content="better")
    federation.reach(241)
    validator.tick()
    assert validator.published == [3, 6, 9, 12]
    kept = sorted(path.name for path in (federation.folder / "v0" / "tasks").iterdir())
    assert kept == ["task-12", "task-9"]
    assert set(federation.hub.cache) == {"better", "content-alice", "content-bob"}
    federation.reach(301)
    validator.tick()
    assert set(federation.hub.cache) == {"better", "content-bob"}


def test_a_task_that_began_under_other_rules_is_given_up_and_the_next_one_is_judged(federation: Federation) -> None:
    state = MemoryState()
    federation.reach(61)
    bucket = _Listening(federation.buckets.of("v0"), [], fails=("3/",))
    federation.validator("v0", state, bucket=bucket).tick()
    federation.rules = replace(federation.rules, clips=5)
    restarted = federation.validator("v0", state)
    restarted.tick()
    assert restarted.published == []
    assert "began with other settings" in restarted.problems[-1]
    federation.reach(121)
    restarted.tick()
    assert restarted.published == [6]
    assert federation.buckets.shown(3, "v0") is False
