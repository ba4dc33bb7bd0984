"""A round continues after faults of one entry and after a restart, and its errors say what to do."""

import itertools
import os
import queue
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.state import database as state_database
from soundsright.adapters.state.store import SqlState
from soundsright.copies.tensors import tensor_fingerprint
from soundsright.core.errors import (
    EntryRefused,
    HubUnavailable,
    InfrastructureFault,
    JobTimeout,
    StateUnavailable,
    UsageError,
)
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import RunningModel, SandboxLimits, StateStore, TxResult
from soundsright.core.results import ClipResult
from soundsright.core.rulesets import SOUNDSRIGHT_V2
from soundsright.core.schedule import Round
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.records import results_of
from soundsright.services.rounds import RoundOutcome, steps
from soundsright.services.rounds.faults import ProgramFault
from soundsright.services.rounds.scoring import score_files
from tests.services.rounds.subnet import CLIPS, COMPETITION, ROUND_ID, VALIDATOR, Subnet, replace_method

Running = AbstractContextManager[RunningModel]


@pytest.fixture
def subnet(tmp_path: Path) -> Subnet:
    return Subnet(tmp_path)


def judged(outcome: RoundOutcome) -> set[str]:
    return {e.submission.hotkey for e in outcome.evaluations[COMPETITION.id]}


class TestEntryForWhichTheSandboxFails:
    def test_is_set_aside_without_a_score_and_the_others_are_ranked(self, subnet: Subnet) -> None:
        subnet.sandbox.stuck = {"content-bob"}
        outcome = subnet.run()
        assert judged(outcome) == {"alice", "carol"}
        (refusal,) = outcome.refusals
        assert (refusal.hotkey, refusal.code) == ("bob", "not_evaluated")
        assert refusal.evidence["fault"] == "The base image cannot be pulled"
        assert refusal in outcome.leaderboards[0].refusals
        assert {s.submission.hotkey for s in outcome.leaderboards[0].standings} == {"alice", "carol"}
        assert subnet.chain.landed
        # With pauses of minutes between the tries, and a check that another model can be run now.
        assert subnet.clock.now() - 1e9 >= sum(subnet.plan().retry_pauses_s)
        assert subnet.sandbox.started.count("content-bob") == 15
        assert subnet.sandbox.started[-1] != "content-bob"

    def test_is_set_aside_after_an_unexpected_error_of_the_sandbox(
        self, subnet: Subnet, caplog: pytest.LogCaptureFixture
    ) -> None:
        run = subnet.sandbox.run

        def broken(model: FetchedModel, *, limits: SandboxLimits) -> Running:
            if model.content_hash == "content-bob":
                raise ValueError("read length must be non-negative")
            return run(model, limits=limits)

        replace_method(subnet.sandbox, "run", broken)
        outcome = subnet.run()
        assert judged(outcome) == {"alice", "carol"}
        assert [(r.hotkey, r.code) for r in outcome.refusals] == [("bob", "not_evaluated")]
        assert "Traceback" in caplog.text

    def test_is_not_tried_again_when_its_refusal_is_recorded(self, subnet: Subnet) -> None:
        subnet.sandbox.stuck = {"content-bob"}
        first = subnet.run()
        subnet.sandbox.started.clear()
        assert subnet.run().refusals == first.refusals
        assert subnet.sandbox.started == []

    def test_is_ranked_if_a_later_try_works(self, subnet: Subnet) -> None:
        subnet.sandbox.stuck = {"content-bob"}
        sleep = subnet.clock.sleep

        def repaired(seconds: float) -> None:
            sleep(seconds)
            if subnet.clock.now() - 1e9 > 60:
                subnet.sandbox.stuck.clear()

        replace_method(subnet.clock, "sleep", repaired)
        outcome = subnet.run()
        assert judged(outcome) == {"alice", "bob", "carol"}
        assert outcome.refusals == ()

    def test_is_ranked_if_only_the_engine_was_away(self, subnet: Subnet) -> None:
        """The engine fails at every try except the last. Before the last, another model starts successfully."""
        subnet.sandbox.stuck = {"content-carol"}
        run = subnet.sandbox.run

        def back(model: FetchedModel, *, limits: SandboxLimits) -> Running:
            if subnet.sandbox.started.count("content-carol") == 12:
                subnet.sandbox.stuck.clear()
            return run(model, limits=limits)

        replace_method(subnet.sandbox, "run", back)
        assert judged(subnet.run()) == {"alice", "bob", "carol"}

    def test_stops_the_round_if_no_other_entry_runs(self, subnet: Subnet) -> None:
        subnet.sandbox.stuck = {"content-alice", "content-bob", "content-carol"}
        with pytest.raises(InfrastructureFault, match="Check the engine's network"):
            subnet.run()
        assert subnet.steps("set_aside:") == {}
        subnet.sandbox.stuck.clear()
        assert judged(subnet.run()) == {"alice", "bob", "carol"}

    def test_stops_the_round_if_more_entries_are_stuck_than_run(self, subnet: Subnet) -> None:
        subnet.sandbox.stuck = {"content-alice", "content-carol"}
        with pytest.raises(InfrastructureFault):
            subnet.run()
        assert subnet.steps("set_aside:") == {}
        subnet.sandbox.stuck = {"content-alice"}
        assert judged(subnet.run()) == {"bob", "carol"}

    def test_is_not_set_aside_if_the_engine_died_after_the_others_ran(self, subnet: Subnet) -> None:
        run = subnet.sandbox.run

        def dying(model: FetchedModel, *, limits: SandboxLimits) -> Running:
            if subnet.sandbox.started:
                subnet.sandbox.stuck = {"content-alice", "content-bob", "content-carol"}
            return run(model, limits=limits)

        replace_method(subnet.sandbox, "run", dying)
        with pytest.raises(InfrastructureFault):
            subnet.run()
        assert subnet.steps("set_aside:") == {}
        replace_method(subnet.sandbox, "run", run)
        subnet.sandbox.stuck.clear()
        assert judged(subnet.run()) == {"alice", "bob", "carol"}


class TestTheHub:
    """`answers` decides the result of each fetch."""

    def planted(self, subnet: Subnet, answers: Callable[[str, int], None]) -> list[str]:
        fetch = subnet.hub.fetch
        calls: list[str] = []

        def planted(submission: Submission, *, limits: FetchLimits) -> FetchedModel:
            calls.append(submission.hotkey)
            answers(submission.hotkey, calls.count(submission.hotkey))
            return fetch(submission, limits=limits)

        replace_method(subnet.hub, "fetch", planted)
        return calls

    def test_is_called_again_after_a_fault(self, subnet: Subnet) -> None:
        def answers(_hotkey: str, number: int) -> None:
            if number <= 2:
                raise HubUnavailable("The hub answered 503")

        self.planted(subnet, answers)
        assert judged(subnet.run()) == {"alice", "bob", "carol"}

    def test_that_never_gives_one_model_sets_its_entry_aside(self, subnet: Subnet) -> None:
        def answers(hotkey: str, _number: int) -> None:
            if hotkey == "alice":
                raise HubUnavailable("The hub answered 403")

        self.planted(subnet, answers)
        outcome = subnet.run()
        assert judged(outcome) == {"bob", "carol"}
        assert [(r.hotkey, r.code) for r in outcome.refusals] == [("alice", "not_evaluated")]

    def test_that_fails_over_one_hostile_repository_sets_its_entry_aside(self, subnet: Subnet) -> None:
        def answers(hotkey: str, _number: int) -> None:
            if hotkey == "alice":
                raise ValueError("Exceeds the limit of digits")

        self.planted(subnet, answers)
        outcome = subnet.run()
        assert judged(outcome) == {"bob", "carol"}
        assert [(r.hotkey, r.code) for r in outcome.refusals] == [("alice", "not_evaluated")]

    def test_that_gives_no_model_stops_the_round(self, subnet: Subnet) -> None:
        def answers(_hotkey: str, _number: int) -> None:
            raise HubUnavailable("The hub answered 500")

        self.planted(subnet, answers)
        with pytest.raises(InfrastructureFault, match="500"):
            subnet.run()
        assert subnet.steps("fetch:") == {}

    def test_that_goes_down_midway_refuses_no_entry(self, subnet: Subnet) -> None:
        def answers(_hotkey: str, number: int) -> None:
            if len(calls) > 1:
                raise HubUnavailable("The hub answered 500")

        calls = self.planted(subnet, answers)
        with pytest.raises(HubUnavailable):
            subnet.run()
        assert set(subnet.steps("fetch:")) == {"fetch:2-alice"}

    def test_is_not_blamed_for_this_machines_disk(self, subnet: Subnet) -> None:
        def answers(hotkey: str, _number: int) -> None:
            if hotkey == "carol":
                raise InfrastructureFault("The cache cannot be written", "Free space.")

        self.planted(subnet, answers)
        with pytest.raises(InfrastructureFault, match="cache"):
            subnet.run()
        assert set(subnet.steps("fetch:")) == {"fetch:2-alice", "fetch:3-bob"}

    def test_is_not_needed_after_a_restart(self, subnet: Subnet) -> None:
        stop_at(subnet.state, "near_copies")
        with pytest.raises(StateUnavailable):
            subnet.run()

        def answers(_hotkey: str, _number: int) -> None:
            raise HubUnavailable("The hub is gone")

        assert self.planted(subnet, answers) == []
        subnet.hub.repositories.clear()
        assert judged(subnet.run()) == {"alice", "bob", "carol"}

    @pytest.mark.parametrize("answer", [EntryRefused("not_found", "gone"), HubUnavailable("The hub answered 500")])
    def test_that_lost_a_model_which_the_cache_lost_too_stops_the_round(
        self, subnet: Subnet, answer: EntryRefused | HubUnavailable
    ) -> None:
        stop_at(subnet.state, "near_copies")
        with pytest.raises(StateUnavailable):
            subnet.run()
        subnet.hub.cache.clear()

        def answers(_hotkey: str, _number: int) -> None:
            raise answer

        self.planted(subnet, answers)
        with pytest.raises(InfrastructureFault, match="Put the cache back"):
            subnet.run()


def test_the_next_model_is_prepared_while_one_runs(subnet: Subnet) -> None:
    prepared: queue.Queue[str] = queue.Queue()
    started: list[str] = []
    run = subnet.sandbox.run

    def beside(model: FetchedModel, *, limits: SandboxLimits) -> Running:
        started.append(model.content_hash)
        if len(started) < 3:
            assert prepared.get(timeout=10) not in started
        return run(model, limits=limits)

    replace_method(subnet.sandbox, "run", beside)
    replace_method(subnet.sandbox, "prepare", lambda model: prepared.put(model.content_hash))
    assert judged(subnet.run()) == {"alice", "bob", "carol"}
    assert prepared.empty()


def stop_at(state: StateStore, step: str) -> None:
    """Let the state fail once, when that step is to be recorded."""
    finish = state.finish_step

    def failing(round_id: str, name: str, facts: Any, **titles: Any) -> None:
        if name == step:
            replace_method(state, "finish_step", finish)
            raise StateUnavailable("locked")
        finish(round_id, name, facts, **titles)

    replace_method(state, "finish_step", failing)


class TestUnexpectedErrors:
    def test_a_full_disk_is_reported_with_a_remedy(self, subnet: Subnet) -> None:
        (subnet.folder / "run").write_text("no folder")
        with pytest.raises(InfrastructureFault, match=r"cannot be created .*disk has space"):
            subnet.run()

    def test_an_error_of_the_system_is_reported_with_a_remedy(
        self, subnet: Subnet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_args: object, **_named: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("soundsright.services.rounds.decision.near_copy_pairs", full)
        with pytest.raises(InfrastructureFault, match=r"No space left on device.*run again"):
            subnet.run()

    def test_an_error_of_the_program_is_reported_with_a_trace_in_the_log(
        self, subnet: Subnet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_args: object, **_named: object) -> None:
            raise KeyError("who")

        monkeypatch.setattr("soundsright.services.rounds.decision.flags", broken)
        with pytest.raises(ProgramFault, match=r"KeyError.*Run again"):
            subnet.run()
        assert "Traceback" in caplog.text
        monkeypatch.undo()
        assert judged(subnet.run()) == {"alice", "bob", "carol"}


def test_a_round_does_not_continue_under_another_plan(subnet: Subnet) -> None:
    stop_at(subnet.state, "near_copies")
    with pytest.raises(StateUnavailable):
        subnet.run()
    plan = subnet.plan()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"measures": replace(plan.measures, clips=9)}, "clips 8, now 9"),
        ({"rules": replace(plan.rules, ruleset=SOUNDSRIGHT_V2)}, "ruleset digest"),
        ({"measures": replace(plan.measures, metrics=("PESQ_WB",))}, "metrics"),
        ({"batch_audio_s": 6.0}, "batch audio s 3.0, now 6.0"),
        ({"rules": replace(plan.rules, competitions=(replace(COMPETITION, max_score=50.0),))}, "rewards"),
    ]
    for changes, message in cases:
        with pytest.raises(UsageError, match=f"{message}.*Restore the settings"):
            subnet.run(**changes)
    assert judged(subnet.run()) == {"alice", "bob", "carol"}


class TestJobs:
    """Workers process the files and audio of miners, and each job has a deadline."""

    def test_audio_that_no_metric_can_score_fails_only_its_clip(
        self, subnet: Subnet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = itertools.count()
        # After the unprocessed input's clips.
        errors = {CLIPS: ZeroDivisionError("no speech"), CLIPS + 1: JobTimeout("score_files", 60.0)}

        def fragile(*args: Any) -> object:
            if (number := next(calls)) in errors:
                raise errors[number]
            return score(*args)

        score = subnet.pool._instead[score_files]
        subnet.pool._instead[score_files] = fragile
        outcome = subnet.run()
        failures = [c.failure.code for e in outcome.evaluations[COMPETITION.id] for c in e.clips if c.failure]
        assert failures == ["unscorable", "unscorable"]

    def test_each_has_a_deadline(self, subnet: Subnet) -> None:
        subnet.run()
        for job in ("score_files", "tensor_fingerprint", "evidence_of_files"):
            deadline_s = subnet.pool.deadlines_s[job]
            assert deadline_s is not None
            assert deadline_s > 0

    def test_unreadable_weights_are_not_compared(self, subnet: Subnet) -> None:
        def hangs(_paths: object) -> None:
            raise JobTimeout("tensor_fingerprint", 300.0)

        subnet.pool._instead[tensor_fingerprint] = hangs
        outcome = subnet.run()
        assert judged(outcome) == {"alice", "bob", "carol"}
        (unread,) = [doc for doc in results_of(outcome).competitions[0].unread if doc.uid == 2]
        assert "was not done after 300 s" in unread.files[0]
        assert "was not done after 300 s" in subnet.steps("duplicates")["duplicates"]["unread"]["2-alice"][0]


def test_a_validator_that_starts_from_a_backup_knows_the_champions(subnet: Subnet, tmp_path: Path) -> None:
    """A validator that starts with an empty state counts all titles as won in its first round."""
    subnet.state = SqlState(tmp_path / "state.db")
    subnet.run()
    state_database.backup(state_database.open_engine(tmp_path / "state.db"), tmp_path / "backup.db")
    won = subnet.round.seed_block
    subnet.round = Round("round-2", subnet.chain.head().number, subnet.chain.advance(5).number)
    subnet.chain.advance(5)
    for name, since in (("backup.db", won), ("empty.db", subnet.round.seed_block)):
        subnet.state = SqlState(tmp_path / name)
        subnet.run()
        decided = steps.read(subnet.state, "round-2", steps.decide(COMPETITION.id))
        assert decided is not None
        assert {title.since_block for title in decided.champions.values()} == {since}
        subnet.state.close()


def test_audio_is_on_the_disk_before_a_row_says_so(subnet: Subnet, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: set[Path] = set()
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        flushed.add(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    add = subnet.state.add_clip_results
    late: list[Path] = []

    def recording(round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None:
        kept = tuple(results)
        folder = subnet.folder / "run" / "enhanced" / entry_id
        late.extend({folder, *(folder / f"{r.clip_id}.wav" for r in kept)} - flushed)
        add(round_id, entry_id, kept)

    replace_method(subnet.state, "add_clip_results", recording)
    subnet.run()
    assert flushed
    assert late == []


def test_missing_audio_is_reported_with_a_remedy(subnet: Subnet) -> None:
    stop_at(subnet.state, "near_copies")
    with pytest.raises(StateUnavailable):
        subnet.run()
    next((subnet.folder / "run" / "enhanced").rglob("*.wav")).unlink()
    with pytest.raises(InfrastructureFault, match=r"cannot be read .*Put the file back, or start again"):
        subnet.run()


class TestWeightsWhoseWriteIsUnknown:
    def planted(self, subnet: Subnet, *, lands: bool, answers: int) -> list[int]:
        """A chain whose first `answers` answers are lost. If `lands`, the write takes effect nevertheless."""
        write = subnet.chain.set_weights
        calls: list[int] = []

        def lossy(hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
            calls.append(subnet.chain.head().number)
            if len(calls) > answers:
                return write(hotkey, by_hotkey)
            if lands:
                write(hotkey, by_hotkey)
            return TxResult(False, "no_answer", "the connection dropped", retryable=True, unknown=True)

        replace_method(subnet.chain, "set_weights", lossy)
        return calls

    def test_are_read_back_and_not_set_twice(self, subnet: Subnet) -> None:
        calls = self.planted(subnet, lands=True, answers=9)
        outcome = subnet.run()
        assert len(calls) == len(subnet.chain.landed) == 1
        assert outcome.weights_block == subnet.chain.landed[0][1]
        recorded = steps.read(subnet.state, ROUND_ID, steps.WEIGHTS)
        assert recorded is not None
        assert recorded.block == outcome.weights_block

    def test_are_set_again_if_they_are_not_set(self, subnet: Subnet) -> None:
        calls = self.planted(subnet, lands=False, answers=1)
        subnet.run()
        assert len(calls) == 2
        assert [who for who, _, _ in subnet.chain.landed] == [VALIDATOR]

    def test_are_not_recorded_while_it_is_unknown(self, subnet: Subnet) -> None:
        self.planted(subnet, lands=False, answers=9)
        with pytest.raises(InfrastructureFault, match="the connection dropped"):
            subnet.run()
        assert subnet.steps("weights") == {}
