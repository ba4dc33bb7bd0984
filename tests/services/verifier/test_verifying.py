"""A verifier and its provers: what passes, what fails, who climbs, and whose fault counts nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.audio import Samples, on_pcm16_grid
from soundsright.core.errors import EngineUnavailable, InfrastructureFault, ModelCrashed, StateUnavailable
from soundsright.core.ports import Neuron
from soundsright.core.profiles import Profile
from soundsright.core.sources import ModelRef
from soundsright.core.tiers import AttemptResult
from soundsright.core.tiers_rules import tiers_rules
from soundsright.services.rounds import StandingEntry
from soundsright.services.verifier import SCOPE, CountedAttempt, kept_failures, recorded_steps
from soundsright.testing import Behaviour, FakeRepository
from soundsright.testing.served import Manner
from tests.services.verifier.world import COMMITTED, INTERVAL, RULES, World

RESULTS = {
    Manner.HONEST: AttemptResult.HASH,
    Manner.OTHER_THREADS: AttemptResult.SIMILAR,
    Manner.INPUT: AttemptResult.DIFFERENT,
    Manner.BETTER: AttemptResult.DIFFERENT,
    Manner.LOUDER: AttemptResult.GAIN,
    Manner.PROXY: AttemptResult.DIFFERENT,
    Manner.DRIP: AttemptResult.SILENT,
    Manner.CRASH: AttemptResult.SILENT,
    Manner.BUSY: AttemptResult.STATUS,
    Manner.REDIRECT: AttemptResult.STATUS,
    Manner.UNSIGNED: AttemptResult.UNSIGNED,
    Manner.SHORT: AttemptResult.LENGTH,
    Manner.NO_WAV: AttemptResult.FORMAT,
    Manner.TOO_LARGE: AttemptResult.TOO_LARGE,
    Manner.UNREACHABLE: AttemptResult.SILENT,
}


def recorded_attempts(world: World, interval: int = 1) -> list[CountedAttempt]:
    recorded = recorded_steps(world.state.scoped(SCOPE), interval).values()
    return [attempt for step in recorded for attempt in step.attempts]


def attempts_of(world: World, hotkey: str, interval: int = 1) -> list[AttemptResult]:
    return [a.attempt.result for a in recorded_attempts(world, interval) if a.attempt.hotkey == hotkey]


def test_every_manner_of_answering_has_its_result_and_only_the_own_model_passes(tmp_path: Path) -> None:
    world = World(tmp_path, {manner.value: manner for manner in RESULTS} | {"cached": Manner.CACHED})
    world.run_interval(1)
    for manner, result in RESULTS.items():
        assert attempts_of(world, manner.value) == [result] * 20, manner
    # The first answer is right, and answers nothing else.
    cached = attempts_of(world, "cached")
    assert (len(cached), cached[0], sum(result.passed for result in cached)) == (20, AttemptResult.HASH, 1)
    assert world.counts("honest")["total_interval_successes"] == 20
    assert world.counts("input").get("total_interval_successes", 0) == 0
    assert world.counts("drip")["requests"] == 20


def test_both_kinds_of_question_are_asked_and_counted_apart(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.run_interval(1)
    counts = world.counts("honest")
    kinds = [kind for _, kind in world.provers.asked]
    assert counts["challenge_attempts"] == counts["challenge_successes"] == kinds.count("challenge")
    assert counts["inference_attempts"] == kinds.count("inference") > 0
    assert len({question.request_id for question in world.provers.questions}) == 20
    assert len({question.audio for question in world.provers.questions}) == 20


def test_a_failure_leaves_evidence_and_the_audio_of_both_sides(tmp_path: Path) -> None:
    world = World(tmp_path, {"better": Manner.BETTER, "honest": Manner.HONEST})
    world.run_interval(1)
    failures = world.failures()
    assert len(failures) == 20
    one = failures[0]
    assert (one["hotkey"], one["result"], one["status"]) == ("better", "different", 200)
    assert one["expected_sha256"] != one["answer_sha256"]
    assert one["agreement_db"] < one["threshold_db"] == 30.0
    assert one["signed"]["signature"].startswith("0x")
    kept = sorted(path.name for path in (tmp_path / "tiers" / "private-round" / "failures" / "better").iterdir())
    assert len(kept) == 3 * 5
    found = kept_failures(tmp_path / "tiers" / "private-round" / "failures", "better")
    assert [(each.interval, each.number) for each in found] == [(1, number) for number in range(15, 20)]
    assert all(each.answer is not None and each.answer.read_bytes() != each.own.read_bytes() for each in found)
    assert kept_failures(tmp_path, "../tiers") == ()
    assert kept[-3:] == [f"00000001-0019.{part}.wav" for part in ("answer", "own", "question")]


def test_the_honest_climb_and_the_false_stay_in_the_lowest_tier(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST, "threads": Manner.OTHER_THREADS, "better": Manner.BETTER})
    for number in (1, 2, 3):
        world.run_interval(number)
        world.close_interval(number)
    tiers = {hotkey: standing.tier for hotkey, standing in world.standings().items()}
    assert tiers["better"] == "Bronze"
    assert tiers["honest"] == tiers["threads"] != "Bronze"
    moves = [(r.facts["hotkey"], r.facts["before"], r.facts["after"]) for r in world.records.read("tiers.moves")]
    assert ("honest", "Bronze", "Silver") in moves
    assert not any(hotkey == "better" for hotkey, _, _ in moves)
    payees = world.verifier.payees
    assert payees is not None
    assert set(payees) == {"honest", "threads"}
    assert sum(payees.values()) == pytest.approx(1.0)


def test_a_bank_is_committed_to_an_interval_before_and_opened_after_it(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.work(INTERVAL)
    digests = {r.key: r.facts["sha256"] for r in world.records.read("tiers.banks")}
    assert set(digests) == {"1:commitment", "2:commitment"}
    assert world.announced == [f"soundsright:bank:2:{digests['2:commitment']}"]
    world.close_interval(1)
    opened = world.records.latest("tiers.banks", "1:seed")
    assert opened is not None
    assert hashlib.sha256(bytes.fromhex(opened.facts["seed"])).hexdigest() == digests["1:commitment"]
    assert world.records.latest("tiers.banks", "2:seed") is None


def test_the_model_runs_once_for_a_bank_however_often_the_prover_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.run_interval(1)
    assert world.sandbox.runs == {"content-honest": 20 + 4}
    assert world.sandbox.starts == 2
    world.restart()
    world.work(INTERVAL + 5, times=3)
    assert world.sandbox.runs == {"content-honest": 20 + 4}


@pytest.mark.parametrize(("level", "asked"), [(0.0001, True), (0.05, False)])
def test_a_model_that_does_not_repeat_itself_is_not_asked(tmp_path: Path, level: float, asked: bool) -> None:
    world = World(tmp_path, {"unsteady": Manner.HONEST, "honest": Manner.HONEST})
    world.sandbox.unsteady = {"content-unsteady": level}
    world.run_interval(1)
    assert bool(attempts_of(world, "unsteady")) is asked
    assert attempts_of(world, "honest") == [AttemptResult.HASH] * 20
    assert world.verifier.payees is not None
    assert ("unsteady" in world.verifier.payees) is asked


def test_a_model_that_stops_running_here_is_neither_asked_nor_paid(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST, "tired": Manner.HONEST})
    world.run_interval(1)
    world.close_interval(1)
    world.work(2 * INTERVAL, times=4)
    assert set(world.verifier.payees or ()) == {"honest", "tired"}
    asked = [hotkey for hotkey, _ in world.provers.asked].count("tired")

    def crashes(_samples: Samples) -> Samples:
        raise ModelCrashed("It ended", 1)

    world.sandbox.models = {**world.sandbox.models, "content-tired": crashes}
    world.run_interval(3)
    assert [hotkey for hotkey, _ in world.provers.asked].count("tired") <= asked + 20
    assert set(world.verifier.payees or ()) == {"honest"}
    assert "tiers.banks" not in world.health.problems()


def test_a_model_that_the_stopping_verifier_ends_is_not_to_blame(tmp_path: Path) -> None:
    world = World(tmp_path, {"alice": Manner.HONEST})

    def ended(_samples: Samples) -> Samples:
        world.verifier.cancel()
        raise ModelCrashed("stopped by the harness")

    world.sandbox.models = {"content-alice": ended}
    world.work(INTERVAL, times=2)
    world.sandbox.models = {"content-alice": COMMITTED}
    world.restart()
    world.work(INTERVAL, times=3)
    assert [row.hotkey for row in world.verifier.serving_provers()] == ["alice"]


def test_a_steady_but_noisy_model_passes_at_its_own_threshold(tmp_path: Path) -> None:
    world = World(tmp_path, {"unsteady": Manner.HONEST}, rules=replace(RULES, min_repeat_db=12.0))
    world.sandbox.unsteady = {"content-unsteady": 0.002}
    rng = np.random.default_rng(1)

    def unsteady(samples: Samples) -> Samples:
        return on_pcm16_grid(COMMITTED(samples) + 0.002 * rng.standard_normal(len(samples)))

    world.provers.provers["unsteady"].model = unsteady
    world.run_interval(1)
    attempts = recorded_attempts(world)
    assert {each.attempt.result for each in attempts} == {AttemptResult.SIMILAR}
    agreements_db = [each.attempt.agreement_db or 0.0 for each in attempts]
    assert min(agreements_db) < RULES.tier("Bronze").agreement_db


@pytest.mark.parametrize("fault", [EngineUnavailable("no engine"), InfrastructureFault("no disk")])
def test_a_fault_of_the_own_sandbox_asks_nobody_and_is_shown(tmp_path: Path, fault: InfrastructureFault) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.sandbox.fault = fault
    world.run_interval(1)
    assert world.provers.asked == []
    assert "honest" in str(world.health.problems())
    world.sandbox.fault = None
    world.clock.jump(1_000)
    world.work(INTERVAL + 50, times=3)
    assert set(attempts_of(world, "honest")) == {AttemptResult.HASH}
    assert world.counts("honest")["requests"] == len(world.provers.asked) > 0
    assert "tiers.banks" not in world.health.problems()


def test_a_fault_of_the_own_network_counts_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, {"a": Manner.HONEST, "b": Manner.HONEST})
    world.work(INTERVAL, times=3)
    before = world.counts("a")
    for prover in world.provers.provers.values():
        prover.manner = Manner.UNREACHABLE
    with pytest.raises(InfrastructureFault, match="None of 2 provers"):
        world.work(INTERVAL + 1)
    assert world.counts("a") == before
    world.provers.provers["b"].manner = Manner.HONEST
    world.work(INTERVAL + 1)
    assert attempts_of(world, "a")[-1] is AttemptResult.SILENT


def test_a_machine_that_cannot_ask_counts_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.work(INTERVAL, times=2)
    before = world.counts("honest")["requests"]
    world.provers.fault = InfrastructureFault("no sockets")
    with pytest.raises(InfrastructureFault, match="no sockets"):
        world.work(INTERVAL + 1)
    assert world.counts("honest")["requests"] == before
    world.provers.fault = None
    world.work(INTERVAL + 1)
    assert world.counts("honest")["requests"] == before + 1


def test_only_registered_provers_with_an_entry_that_stands_and_an_endpoint_are_asked(tmp_path: Path) -> None:
    names = ("honest", "refused", "nowhere", "validator", "gone")
    world = World(tmp_path, dict.fromkeys(names, Manner.HONEST))
    assert world.entries is not None
    world.entries = [entry for entry in world.entries if entry.submission.hotkey != "refused"]
    world.neurons[2] = Neuron(2, "nowhere", 0)
    world.neurons[3] = Neuron(3, "validator", 0, stake=5_000.0, permit=True, endpoint="v:1")
    del world.neurons[4]
    world.run_interval(1)
    assert {hotkey for hotkey, _ in world.provers.asked} == {"honest"}


def test_no_round_yet_means_unknown_payees(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.entries = None
    world.work(INTERVAL, times=3)
    assert world.verifier.payees is None
    world.entries = []
    world.work(INTERVAL)
    assert world.verifier.payees == {}


def test_listeners_requests_stop_at_the_limit_and_challenges_go_no_further(tmp_path: Path) -> None:
    rules = tiers_rules(interval_blocks=INTERVAL, table={"Bronze": {"requests": 8}})
    world = World(tmp_path, {"honest": Manner.HONEST}, rules=rules)
    world.work(INTERVAL, times=3)
    asked_before = len(world.provers.asked)
    (best,) = world.verifier.best_provers("DENOISING_16000HZ")
    assert (best.hotkey, best.tier, best.requests_left) == ("honest", "Bronze", 8 - asked_before)
    assert best.is_verified
    assert len(best.latencies_s) == asked_before
    taken = [world.verifier.take_request("honest") for _ in range(10)]
    assert taken.count(True) == 8 - asked_before
    assert world.verifier.best_provers("DENOISING_16000HZ") == ()
    world.work(INTERVAL + 1, times=5)
    assert len(world.provers.asked) == asked_before
    assert world.counts("honest")["requests"] == 8
    assert not world.verifier.take_request("stranger")


def test_busy_within_the_limit_is_a_failure_and_beyond_it_nothing(tmp_path: Path) -> None:
    rules = tiers_rules(Profile.CODE, interval_blocks=INTERVAL, table={"Bronze": {"requests": 2}})
    world = World(tmp_path, {"busy": Manner.BUSY}, rules=rules)
    world.work(INTERVAL, times=6)
    assert len(world.provers.asked) > 2
    assert world.counts("busy")["requests"] == 2
    assert [facts["status"] for facts in world.failures()] == [429, 429]


def test_counters_that_are_away_stop_the_steps_and_no_tier(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.work(INTERVAL, times=2)
    working = world.counters.add
    broken: list[int] = []

    def away(*_args: object, **_kwargs: object) -> bool:
        broken.append(1)
        raise StateUnavailable("Redis is away")

    world.counters.add = away
    with pytest.raises(StateUnavailable):
        world.work(INTERVAL + 1)
    with pytest.raises(StateUnavailable):
        world.work(INTERVAL + 1)
    asked_once = len(world.provers.asked)
    assert len(broken) == 2
    world.counters.add = working
    world.work(INTERVAL + 1)
    assert world.counts("honest")["requests"] == asked_once + 1 == len(world.provers.asked)


def test_downtime_of_a_verifier_moves_nobody(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    for number in (1, 2):
        world.run_interval(number)
        world.close_interval(number)
    tier = world.standings()["honest"].tier
    world.restart()
    world.work(9 * INTERVAL, times=2)
    world.work(10 * INTERVAL)
    assert world.standings()["honest"].tier == tier


def test_a_hotkey_that_moves_to_another_uid_begins_with_the_score_0(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.run_interval(1)
    world.close_interval(1)
    assert world.standings()["honest"].score > 0
    world.neurons[0] = Neuron(7, "honest", 150, endpoint="h:1")
    world.provers.provers["honest"].manner = Manner.CRASH
    world.work(2 * INTERVAL + 1)
    assert world.verifier.payees == {}


def test_a_node_that_falls_behind_does_not_open_a_closed_interval_again(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.run_interval(1)
    world.close_interval(1)
    asked = len(world.provers.asked)
    world.restart()
    world.work(INTERVAL + 5, times=2)
    assert [r.key for r in world.records.read("tiers.intervals")] == ["1"]
    assert len(attempts_of(world, "honest", 1)) == 20
    assert len(world.provers.asked) - asked <= RULES.bank_clips


def test_a_new_model_of_a_prover_is_asked_from_the_next_interval_on(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.work(INTERVAL, times=3)
    asked = len(world.provers.asked)
    assert world.entries is not None
    world.entries = [replace(world.entries[0], content_hash="content-new")]
    world.work(INTERVAL + 5, times=3)
    assert len(world.provers.asked) == asked


@pytest.mark.parametrize("moment", ["recorded", "counted in part"])
def test_a_verifier_that_is_killed_between_answer_and_count_counts_exactly_once(
    tmp_path: Path, moment: str
) -> None:
    world = World(tmp_path, {"a": Manner.HONEST, "b": Manner.BETTER})
    world.work(INTERVAL, times=3)
    before = world.counts("a")["requests"]
    add = world.counters.add
    calls: list[str] = []

    def killed(scope: str, *args: object, **kwargs: object) -> bool:
        calls.append(scope)
        if moment == "recorded" or len(calls) > 1:
            raise KeyboardInterrupt
        return bool(add(scope, *args, **kwargs))

    world.counters.add = killed
    with pytest.raises(KeyboardInterrupt):
        world.work(INTERVAL + 1)
    world.counters.add = add
    world.restart()
    world.work(INTERVAL + 1)
    asked = [hotkey for hotkey, _ in world.provers.asked]
    assert world.counts("a")["requests"] == asked.count("a") > before
    assert world.counts("b")["requests"] == asked.count("b")
    assert len(world.failures()) == asked.count("b")


def asked_of(world: World, hotkey: str) -> int:
    return [asked for asked, _ in world.provers.asked].count(hotkey)


def commit(world: World, hotkey: str, content: str, *, revision: str = "f" * 40, on_hub: bool = True) -> None:
    """Let a prover commit to another model."""
    assert world.entries is not None
    (place,) = [i for i, entry in enumerate(world.entries) if entry.submission.hotkey == hotkey]
    source = ModelRef(hotkey, "other", revision)
    if on_hub:
        world.hub.repositories[source] = FakeRepository(content, behaviour=Behaviour())
        world.sandbox.models = {**world.sandbox.models, content: COMMITTED}
    submission = replace(world.entries[place].submission, source=source)
    world.entries[place] = StandingEntry(submission, content)


def payees(world: World) -> set[str]:
    return set(world.verifier.payees or ())


def world_after_an_honest_interval(folder: Path) -> World:
    world = World(folder, {"good": Manner.HONEST, "evil": Manner.HONEST})
    world.run_interval(1)
    world.close_interval(1)
    assert payees(world) == {"good", "evil"}
    return world


def test_a_commitment_to_a_model_that_is_not_on_the_hub_is_not_paid_and_its_score_decays(tmp_path: Path) -> None:
    world = world_after_an_honest_interval(tmp_path)
    source = world.entries[1].submission.source if world.entries else None
    assert isinstance(source, ModelRef)
    world.run_interval(2)
    world.close_interval(2)
    score = world.standings()["evil"].score
    del world.hub.repositories[source]
    world.hub.cache.clear()
    world.run_interval(4)
    assert payees(world) == {"good"}
    world.close_interval(4)
    assert world.standings()["evil"].score < score / 2
    assert payees(world) == {"good"}
    world.restart()
    world.work(5 * INTERVAL)
    assert payees(world) == {"good"}
    commit(world, "evil", "content-new", on_hub=False)
    world.run_interval(6)
    assert payees(world) == {"good"}


def test_a_new_commitment_is_not_paid_until_it_is_asked_and_begins_with_the_score_0(tmp_path: Path) -> None:
    world = world_after_an_honest_interval(tmp_path)
    world.work(3 * INTERVAL, times=4)
    score = world.standings()["evil"].score
    commit(world, "evil", "content-new")
    world.work(3 * INTERVAL + 1)
    assert payees(world) == {"good"}
    world.close_interval(3)
    assert 0 < world.standings()["evil"].score < score
    assert payees(world) == {"good"}
    before = asked_of(world, "evil")
    world.run_interval(5)
    world.restart()
    world.work(5 * INTERVAL + 9, times=3)
    assert asked_of(world, "evil") == before + 20
    assert payees(world) == {"good", "evil"}
    world.close_interval(5)
    fresh = World(tmp_path / "fresh", {"good": Manner.HONEST, "evil": Manner.HONEST})
    fresh.run_interval(1)
    fresh.close_interval(1)
    # Twenty successes from 0 earn what they earned the first time, but for the tier.
    assert world.standings()["evil"].score < 1.5 * fresh.standings()["evil"].score


def test_a_model_that_fails_here_is_not_paid_before_its_next_bank_either(tmp_path: Path) -> None:
    world = world_after_an_honest_interval(tmp_path)

    def crashes(_samples: Samples) -> Samples:
        raise ModelCrashed("It ended", 1)

    working = world.sandbox.models
    world.sandbox.models = {**working, "content-evil": crashes}
    world.run_interval(3)
    score = world.standings()["evil"].score
    world.restart()
    world.work(3 * INTERVAL + 9)
    assert payees(world) == {"good"}
    world.close_interval(3)
    assert world.standings()["evil"].score < score / 2
    world.work(5 * INTERVAL)
    assert payees(world) == {"good"}
    world.sandbox.models = working
    world.run_interval(6)
    assert payees(world) == {"good", "evil"}


def test_own_faults_of_two_intervals_take_nobodys_pay_or_score(tmp_path: Path) -> None:
    world = world_after_an_honest_interval(tmp_path)
    world.run_interval(2)
    world.close_interval(2)
    before = world.standings()
    world.sandbox.fault = EngineUnavailable("no engine")
    for number in (4, 5):
        world.run_interval(number)
        assert payees(world) == {"good", "evil"}
        world.close_interval(number)
    assert world.standings() == before
    assert payees(world) == {"good", "evil"}
