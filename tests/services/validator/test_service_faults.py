"""A validator continues after a failed round, and keeps only the files that it needs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers.client import SignedPeers
from soundsright.core.entry_rules import EntryRules
from soundsright.core.errors import ChainUnavailable, InfrastructureFault, StateUnavailable
from soundsright.core.ports import Neuron, Reply, SubnetRules, TxResult
from soundsright.services.rounds import RoundOutcome, steps
from soundsright.services.validator.service import ValidatorService
from soundsright.services.validator.setup import Publish
from soundsright.services.validator.ticking import MAX_PAUSE_S
from tests.services.rounds.subnet import replace_method
from tests.services.validator.test_service import MINERS, SCHEDULE, VICTOR, Bench, content_of, finish, published

FIRST, SECOND = SCHEDULE.id_of(0), SCHEDULE.id_of(1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def ticked(service: ValidatorService, bench: Bench, times: int = 6) -> None:
    """Tick several times. After each tick, wait until the running round has ended."""
    for _ in range(times):
        service.tick()
        if service._running is not None:
            service._running._thread.join(20)


def broken(error: BaseException) -> Publish:
    def publish(_outcome: RoundOutcome, _folder: Path) -> Mapping[str, Mapping[str, object]]:
        raise error

    return publish


@pytest.mark.parametrize(
    "error", [KeyError("who"), OSError(28, "No space left"), InfrastructureFault("full", "Free.")]
)
def test_a_round_that_cannot_be_finished_is_reported_and_tried_again_later(bench: Bench, error: Exception) -> None:
    bench.to_seed(10)
    service = bench.validator()
    service._work.publish = broken(error)
    ticked(service, bench)
    assert str(error) in bench.health.problems()["round"]
    assert steps.read(bench.state, FIRST, steps.FINISHED) is None
    # Its weights are set nevertheless, and again every tempo.
    assert bench.weights()
    assert steps.latest(bench.state, steps.PAYEES)
    service._work.publish = published
    ticked(service, bench)
    assert steps.read(bench.state, FIRST, steps.FINISHED) is None
    bench.clock.sleep(MAX_PAUSE_S)
    ticked(service, bench)
    assert steps.read(bench.state, FIRST, steps.FINISHED) == steps.FinishedStep(0)
    assert bench.health.problems().keys() <= {"start"}


def test_a_clock_that_is_set_back_delays_nothing_for_long(bench: Bench) -> None:
    bench.to_seed(10)
    service = bench.validator()
    service._work.publish = broken(KeyError("who"))
    ticked(service, bench, times=2)
    service._work.publish = published
    bench.clock.jump(-86_400.0)
    ticked(service, bench)
    assert steps.read(bench.state, FIRST, steps.FINISHED) == steps.FinishedStep(0)


@pytest.mark.parametrize("endpoint", ["1.2.3.4:99999", "[abc:80", "2001:db8::1:8091"])
def test_an_invalid_endpoint_refuses_only_its_own_miner(bench: Bench, endpoint: str) -> None:
    signed, bob = SignedPeers(VICTOR), MINERS["bob"].address

    class OneByNetwork:
        def call(self, endpoint: str, receiver: str, *rest: Any, **how: Any) -> Reply:
            return (signed if receiver == bob else miners).call(endpoint, receiver, *rest, **how)

    class Careless:
        """A chain that shows endpoints without checking them."""

        def neurons(self) -> tuple[Neuron, ...]:
            return tuple(replace(n, endpoint=endpoint) if n.hotkey == bob else n for n in bench.chain.neurons())

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    miners, bench.peers = bench.peers, OneByNetwork()  # type: ignore[assignment]
    bench.to_seed(10)
    finish(bench.validator(chain=Careless()), bench, FIRST)
    entries = steps.read(bench.state, FIRST, steps.ENTRIES)
    assert entries is not None
    assert [s.hotkey for s in entries.submissions] == [MINERS["alice"].address]
    assert [(r.hotkey, r.code) for r in entries.refusals] == [(bob, "not_revealed")]
    assert bench.weights()
    assert steps.read(bench.state, FIRST, steps.delivered(MINERS["alice"].address)) == steps.DeliveredStep(True, 1)


def test_a_clock_that_is_set_back_does_not_delay_reveals_and_feedback_for_long(bench: Bench) -> None:
    alice, bob = (key.address for key in MINERS.values())
    bench.chain.advance(SCHEDULE.start_s(0) // 3_600 - 9 * 24 - bench.chain.head().number)
    service = bench.validator()
    bench.peers.away = {alice}
    service.tick()
    bench.peers.away, bench.peers.deaf = set(), {bob}
    bench.clock.jump(-3e7)
    service.tick()
    assert bench.peers.calls.count((alice, "/reveal")) == 2
    bench.chain.advance(SCHEDULE.seed_delay_blocks)
    finish(service, bench, FIRST)
    bench.peers.deaf = set()
    bench.clock.jump(-3e7)
    service.tick()
    assert steps.read(bench.state, FIRST, steps.delivered(bob)) == steps.DeliveredStep(True, 2)


def test_a_round_whose_rules_changed_is_reported(bench: Bench) -> None:
    bench.to_seed(10)
    first = bench.validator()
    first._work.publish = broken(KeyError("who"))
    ticked(first, bench, times=2)
    service = bench.validator()
    service._settings = replace(service._settings, measures=replace(service._settings.measures, clips=9))
    ticked(service, bench, times=2)
    assert "clips 8, now 9" in bench.health.problems()["round"]
    finish(bench.validator(), bench, FIRST)


def test_an_unexpected_error_does_not_end_the_service(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    stop, problems = threading.Event(), []

    class Odd:
        def finalized(self) -> Any:
            problems.append(bench.health.problems().get("service", ""))
            if len(problems) < 3:
                raise ValueError("a block of no number")
            stop.set()
            return bench.chain.finalized()

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    service = bench.validator(chain=Odd())
    service._poll_s = 0.01
    service.run(stop)
    assert "ValueError: a block of no number" in problems[1]
    assert "Traceback" in caplog.text
    assert bench.health.problems() == {}


@pytest.mark.parametrize("lands", [True, False])
def test_weights_whose_answer_was_lost_are_read_back_before_they_are_set_again(bench: Bench, lands: bool) -> None:
    bench.to_seed(10)
    finish(bench.validator(), bench, FIRST)
    heads: list[int] = []

    class Lossy:
        def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
            heads.append(bench.chain.head().number)
            if lands or len(heads) > 1:
                bench.chain.set_weights(hotkey, by_hotkey)
            return TxResult(len(heads) > 1, "no_answer", "dropped", retryable=True, unknown=len(heads) == 1)

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    service = bench.validator(chain=Lossy())
    for _ in range(20):
        service._set_weights_if_due(bench.chain.head().number, bench.chain.neurons())
        bench.chain.advance()
    assert len(heads) == (1 if lands else 2)
    assert "weights" not in bench.health.problems()


@pytest.mark.parametrize("killed", [False, True])
def test_a_round_that_ends_within_the_rate_limit_is_over_and_its_weights_follow(bench: Bench, killed: bool) -> None:
    class Limited:
        def rules(self) -> SubnetRules:
            return SubnetRules(tempo_blocks=361, rate_limit_blocks=100)

        def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
            set_at = next(n.weights_set_at for n in bench.chain.neurons() if n.hotkey == hotkey)
            if set_at is not None and bench.chain.head().number - set_at < 100:
                return TxResult(False, "rate_limited", "too soon", retryable=True)
            return bench.chain.set_weights(hotkey, by_hotkey)

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    service = bench.validator(chain=Limited())
    published_blocks: list[int | None] = []

    def publish(outcome: RoundOutcome, folder: Path) -> Mapping[str, Mapping[str, object]]:
        published_blocks.append(outcome.weights_block)
        return published(outcome, folder)

    service._work.publish = publish
    bench.to_seed(10)
    finish(service, bench, FIRST)
    before, set_before = bench.weights(), steps.read(bench.state, FIRST, steps.WEIGHTS_SET)
    assert set_before is not None
    assert set_before.block is not None
    bench.enter("alice", quality=0.9, revision="b")
    bench.to_seed(11)
    finish(service, bench, SECOND)
    assert bench.weights() == before
    assert bench.health.problems().keys() <= {"start"}
    assert {len(letters) for letters in bench.peers.feedback.values()} == {2}
    assert steps.read(bench.state, SECOND, steps.WEIGHTS_SET) is None
    assert published_blocks == [set_before.block, None]
    allowed_block = set_before.block + 100
    messages = [event["message"] for event in bench.health.events()["success"]]
    assert sum(f"round {SECOND} will be set at block {allowed_block}:" in message for message in messages) == 1
    if killed:
        service = bench.validator(chain=Limited())
    while steps.read(bench.state, SECOND, steps.WEIGHTS_SET) is None:
        bench.chain.advance()
        service._set_weights_if_due(bench.chain.head().number, bench.chain.neurons())
    payees = steps.read(bench.state, SECOND, steps.PAYEES)
    assert payees is not None
    assert payees != steps.read(bench.state, FIRST, steps.PAYEES)
    assert bench.weights() == {
        n.uid: payees.by_hotkey[n.hotkey] for n in bench.chain.neurons() if n.hotkey in payees.by_hotkey
    }
    assert steps.read(bench.state, SECOND, steps.WEIGHTS_SET) == steps.WeightsSetStep(allowed_block + 1)


@pytest.mark.parametrize("lands", [True, False])
def test_weights_of_the_round_before_are_never_mistaken_for_those_of_this_round(bench: Bench, lands: bool) -> None:
    alice, bob = (key.address for key in MINERS.values())
    late: list[Any] = []

    class Lossy:
        answers = 2

        def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
            self.answers -= 1
            if self.answers < 0 or (lands and alice in by_hotkey):
                return replace(bench.chain.set_weights(hotkey, by_hotkey), ok=self.answers < 0, unknown=True)
            late.append(by_hotkey)
            return TxResult(False, "no_answer", "dropped", retryable=True, unknown=True)

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    service = bench.validator(chain=Lossy())
    for round_id, payee in ((FIRST, alice), (SECOND, bob)):
        bench.state.begin_round(round_id, {})
        steps.write(bench.state, round_id, steps.PAYEES, steps.PayeesStep({payee: 1.0}))
        service._set_weights_if_due(bench.chain.head().number, bench.chain.neurons())
    if not lands:
        bench.chain.set_weights(VICTOR.address, late[0])  # The first weights arrive only now.
    bench.chain.advance(20)
    service._set_weights_if_due(bench.chain.head().number, bench.chain.neurons())
    assert bench.weights() == {n.uid: 1.0 for n in bench.chain.neurons() if n.hotkey == bob}


class Pruned:
    """A node that keeps the state of only its last few blocks."""

    def __init__(self, bench: Bench) -> None:
        self._chain = bench.chain

    def _check(self, number: int | None) -> None:
        if number is not None and number < self._chain.head().number - 6:
            raise ChainUnavailable(f"State of block {number} is discarded")

    def snapshot(self, number: int | None = None) -> Any:
        self._check(number)
        return self._chain.snapshot(number)

    def timestamp_s(self, number: int) -> float:
        self._check(number)
        return self._chain.timestamp_s(number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)


@pytest.mark.parametrize("killed", [False, True])
def test_a_round_outlasts_what_a_pruned_node_keeps(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    monkeypatch.setattr("soundsright.core.schedule.PRUNED_BLOCKS", 6)
    bench.to_seed(10)
    service = bench.validator(chain=Pruned(bench))
    ticked(service, bench, times=1)
    bench.chain.advance(10)
    if killed:
        service = bench.validator(chain=Pruned(bench))
    finish(service, bench, FIRST)
    assert bench.weights()


def test_a_round_that_a_pruned_node_lost_does_not_stop_other_work(bench: Bench) -> None:
    bench.to_seed(10)
    finish(bench.validator(), bench, FIRST)
    set_before = [n.weights_set_at for n in bench.chain.neurons() if n.hotkey == VICTOR.address]
    bench.to_seed(11)
    bench.chain.advance(10)
    with pytest.raises(ChainUnavailable, match="discarded"):
        bench.validator(chain=Pruned(bench)).tick()
    assert set_before != [n.weights_set_at for n in bench.chain.neurons() if n.hotkey == VICTOR.address]


def test_a_validator_applies_the_entry_rules_of_the_organiser(bench: Bench) -> None:
    bench.to_seed(10)
    service = bench.validator()
    entry_rules = EntryRules(banned_content=frozenset({content_of("bob", "a")}))
    service._settings = replace(service._settings, rules=replace(service._settings.rules, entry_rules=entry_rules))
    finish(service, bench, FIRST)
    recorded = bench.state.steps(FIRST).items()
    records = [steps.record_of(FIRST, name, facts) for name, facts in recorded]
    refusals = [each.refusal for each in records if isinstance(each, steps.FetchStep) and each.refusal]
    assert [refusal.code for refusal in refusals] == ["banned_content"]


def test_audio_models_and_envelopes_of_the_last_rounds_stay_and_older_ones_go(bench: Bench) -> None:
    service = bench.validator()
    service._work.kept_rounds = 1
    rounds = []
    for number, revision in enumerate("ab"):
        if number:
            bench.enter("alice", quality=0.9, revision=revision)
        bench.to_seed(10 + number)
        rounds.append(SCHEDULE.id_of(number))
        finish(service, bench, rounds[-1])
        bench.clock.sleep(86_400.0)
    folders = {path.parent.name for path in (bench.folder / "state" / "rounds").glob("*/enhanced")}
    assert folders == {rounds[1]}
    assert set(bench.hub.cache) == {content_of("alice", "b"), content_of("bob", "a")}
    feedback = steps.read(bench.state, rounds[1], steps.FEEDBACK)
    assert feedback is not None
    kept = set(feedback.envelopes.values())
    assert len(kept) == len(MINERS)
    assert all(service._work.artifacts.read(digest) for digest in kept)


def test_a_disk_that_is_full_is_cleared_of_old_rounds_before_the_next_one_begins(bench: Bench) -> None:
    service = bench.validator()
    service._work.kept_rounds = 2
    rounds = [SCHEDULE.id_of(number) for number in range(3)]
    fetch = bench.hub.fetch
    for number, round_id in enumerate(rounds):
        bench.to_seed(10 + number)
        bench.clock.sleep(86_400.0)
        if number < 2:
            finish(service, bench, round_id)

    def full(*_args: Any, **_options: Any) -> Any:
        raise InfrastructureFault("No space left on device", "Free some.")

    replace_method(bench.hub, "fetch", full)
    ticked(service, bench)
    assert "No space left" in bench.health.problems()["round"]
    folders = {path.parent.name for path in (bench.folder / "state" / "rounds").glob("*/enhanced")}
    assert folders == {rounds[1]}
    feedback = steps.read(bench.state, rounds[1], steps.FEEDBACK)
    assert feedback
    assert all(map(service._work.artifacts.read, feedback.envelopes.values()))
    replace_method(bench.hub, "fetch", fetch)
    bench.clock.sleep(MAX_PAUSE_S)
    finish(service, bench, rounds[2])


def test_an_envelope_is_signed_once_and_a_changed_one_is_not_sent(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = (key.address for key in MINERS.values())
    bench.to_seed(10)
    bench.peers.deaf = {alice, bob}
    finish(bench.validator(), bench, FIRST)
    feedback = steps.read(bench.state, FIRST, steps.FEEDBACK)
    assert feedback is not None
    path = next((bench.folder / "artifacts").rglob(feedback.envelopes[alice]))
    path.write_bytes(b"forged")
    bench.clock.sleep(60)
    bench.peers.deaf = set()
    bench.validator().tick()
    assert set(bench.peers.feedback) == {bob}
    assert "feedback is lost" in caplog.text


def test_a_state_that_fails_during_a_round_does_not_end_the_service(bench: Bench) -> None:
    bench.to_seed(10)
    add = bench.state.add_clip_results

    def locked(*_args: Any) -> None:
        raise StateUnavailable("The database is locked", "Wait.")

    replace_method(bench.state, "add_clip_results", locked)
    service = bench.validator()
    ticked(service, bench)
    assert "The database is locked" in bench.health.problems()["round"]
    replace_method(bench.state, "add_clip_results", add)
    bench.clock.sleep(MAX_PAUSE_S)
    ticked(service, bench)
    assert steps.read(bench.state, FIRST, steps.FINISHED) == steps.FinishedStep(0)
    assert bench.chain.weights(VICTOR.address)
