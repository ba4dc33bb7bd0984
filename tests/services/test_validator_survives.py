"""A validator goes on whatever one round comes to, and keeps what it needs and no more."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.entry_rules import EntryRules
from soundsright.core.errors import InfrastructureFault, StateUnavailable
from soundsright.core.ports import TxResult
from soundsright.services.validator import MAX_PAUSE_S, ValidatorService
from tests.services.test_validator import MINERS, SCHEDULE, VICTOR, Bench, finish, published

FIRST = SCHEDULE.id_of(0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def ticked(service: ValidatorService, bench: Bench, times: int = 6) -> None:
    """Look at the chain some times, each time with the running round at its end."""
    for _ in range(times):
        service.tick()
        if service._running is not None:
            service._running._thread.join(20)


def broken(error: BaseException) -> Any:
    def publish(_outcome: Any, _folder: Path) -> Any:
        raise error

    return publish


@pytest.mark.parametrize(
    "error", [KeyError("who"), OSError(28, "No space left"), InfrastructureFault("full", "Free.")]
)
def test_a_round_that_cannot_be_ended_is_told_and_tried_again_later(bench: Bench, error: Exception) -> None:
    bench.to_seed(10)
    service = bench.validator()
    service._work.publish = broken(error)
    ticked(service, bench)
    assert str(error) in bench.health.problems()["round"]
    assert bench.state.step_done(FIRST, "finished") is None
    # What it decided is paid for all that, and paid again every tempo.
    assert bench.weights()
    assert service._latest("payees")
    service._work.publish = published
    ticked(service, bench)
    assert bench.state.step_done(FIRST, "finished") is None
    bench.clock.sleep(MAX_PAUSE_S)
    ticked(service, bench)
    assert bench.state.step_done(FIRST, "finished") == {"number": 0}
    assert bench.health.problems().keys() <= {"start"}


def test_a_clock_that_is_set_back_delays_nothing_for_long(bench: Bench) -> None:
    bench.to_seed(10)
    service = bench.validator()
    service._work.publish = broken(KeyError("who"))
    ticked(service, bench, times=2)
    service._work.publish = published
    bench.clock.jump(-86_400.0)
    ticked(service, bench)
    assert bench.state.step_done(FIRST, "finished") == {"number": 0}


def test_a_round_with_other_rules_than_it_was_begun_with_is_told(bench: Bench) -> None:
    bench.to_seed(10)
    first = bench.validator()
    first._work.publish = broken(KeyError("who"))
    ticked(first, bench, times=2)
    service = bench.validator()
    service._rules = replace(service._rules, clips=9)
    ticked(service, bench, times=2)
    assert "clips 8, now 9" in bench.health.problems()["round"]
    finish(bench.validator(), bench, FIRST)


def test_an_error_that_nobody_foresaw_does_not_end_the_service(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    stop, seen = threading.Event(), []

    class Odd:
        def finalized(self) -> Any:
            seen.append(bench.health.problems().get("service", ""))
            if len(seen) < 3:
                raise ValueError("a block of no number")
            stop.set()
            return bench.chain.finalized()

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    service = bench.validator(chain=Odd())
    service._poll_s = 0.01
    service.run(stop)
    assert "ValueError: a block of no number" in seen[1]
    assert "Traceback" in caplog.text
    assert bench.health.problems() == {}


@pytest.mark.parametrize("lands", [True, False])
def test_weights_whose_answer_was_lost_are_read_back_before_they_are_set_again(bench: Bench, lands: bool) -> None:
    bench.to_seed(10)
    finish(bench.validator(), bench, FIRST)
    asked: list[int] = []

    class Lossy:
        def set_weights(self, hotkey: str, by_hotkey: Any) -> TxResult:
            asked.append(bench.chain.head().number)
            if lands or len(asked) > 1:
                bench.chain.set_weights(hotkey, by_hotkey)
            return TxResult(len(asked) > 1, "no_answer", "dropped", retryable=True, unknown=len(asked) == 1)

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.chain, name)

    service = bench.validator(chain=Lossy())
    for _ in range(20):
        service._set_weights_again(bench.chain.head().number, bench.chain.neurons())
        bench.chain.advance()
    assert len(asked) == (1 if lands else 2)
    assert "weights" not in bench.health.problems()


def test_what_the_organiser_asks_of_entries_holds_for_a_validator(bench: Bench) -> None:
    bench.to_seed(10)
    service = bench.validator()
    service._rules = replace(service._rules, entry_rules=EntryRules(banned_content=frozenset({"hash-bob-a"})))
    finish(service, bench, FIRST)
    fetched = [facts for name, facts in bench.state.steps(FIRST).items() if name.startswith("fetch:")]
    assert [f["refusal"]["code"] for f in fetched if "refusal" in f] == ["banned_content"]


def test_old_audio_models_and_envelopes_go_and_those_of_the_last_rounds_stay(bench: Bench) -> None:
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
    assert set(bench.hub.cache) == {"hash-alice-b", "hash-bob-a"}
    kept = set((bench.state.step_done(rounds[1], "feedback") or {}).values())
    assert len(kept) == len(MINERS)
    assert all(service._work.artifacts.read(digest) for digest in kept)


def test_an_envelope_is_signed_once_and_a_changed_one_is_not_sent(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = (key.address for key in MINERS.values())
    bench.to_seed(10)
    bench.peers.deaf = {alice, bob}
    finish(bench.validator(), bench, FIRST)
    digests = bench.state.step_done(FIRST, "feedback")
    assert digests is not None
    path = next((bench.folder / "artifacts").rglob(digests[alice]))
    path.write_bytes(b"forged")
    bench.clock.sleep(60)
    bench.peers.deaf = set()
    bench.validator().tick()
    assert set(bench.peers.feedback) == {bob}
    assert "feedback is lost" in caplog.text


def test_a_state_that_fails_while_a_round_runs_ends_no_service(bench: Bench) -> None:
    bench.to_seed(10)
    add = bench.state.add_clip_results

    def locked(*_args: Any) -> None:
        raise StateUnavailable("The database is locked", "Wait.")

    bench.state.add_clip_results = locked  # type: ignore[method-assign]
    service = bench.validator()
    ticked(service, bench)
    assert "The database is locked" in bench.health.problems()["round"]
    bench.state.add_clip_results = add  # type: ignore[method-assign]
    bench.clock.sleep(MAX_PAUSE_S)
    ticked(service, bench)
    assert bench.state.step_done(FIRST, "finished") == {"number": 0}
    assert bench.chain.weights(VICTOR.address)
