"""A miner: when it commits, which validators get a reply, and which feedback it accepts."""

from __future__ import annotations

import stat
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from soundsright.adapters.chains.local import LocalChain
from soundsright.core.errors import (
    ChainUnavailable,
    HubUnavailable,
    InfrastructureFault,
    RequestRefused,
    UsageError,
)
from soundsright.core.ports import TxResult
from soundsright.core.sources import ModelRef
from soundsright.services.http.health import health_app
from soundsright.services.http.state import Health
from soundsright.services.records.feedback import sign_feedback
from soundsright.testing import VirtualClock
from tests.services.services_bench import (
    ALICE,
    BOB,
    DAY_BLOCKS,
    ENTRY,
    POOR,
    SCHEDULE,
    VICTOR,
    chain_with_validators,
    document,
    miner_on,
)


class Shaky:
    """A chain with planned faults: a method raises an error, or returns a result without the effect."""

    def __init__(self, chain: LocalChain) -> None:
        self._chain = chain
        self.planned: dict[str, list[Any]] = {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._chain, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if plans := self.planned.get(name):
                plan = plans.pop(0)
                if isinstance(plan, Exception):
                    raise plan
                if callable(plan):
                    return plan(method, *args, **kwargs)
                return plan
            return method(*args, **kwargs)

        return call


def test_it_commits_once_and_not_again(tmp_path: Path) -> None:
    chain = chain_with_validators(tmp_path)
    for _ in range(2):
        miner = miner_on(chain, tmp_path)
        miner.tick()
        miner.tick()
    (commitment,) = chain.commitments()
    assert (commitment.hotkey, commitment.digest) == (ALICE.address, ENTRY.digest)
    assert chain.head().number == commitment.block


def test_another_model_is_another_commitment(tmp_path: Path) -> None:
    chain = chain_with_validators(tmp_path)
    chain.publish(ALICE.address, "0" * 64)
    miner_on(chain, tmp_path).tick()
    assert [c.digest for c in chain.commitments()] == [ENTRY.digest]


def test_its_endpoint_is_published_if_it_changed(tmp_path: Path) -> None:
    chain = chain_with_validators(tmp_path)
    miner_on(chain, tmp_path, endpoint="10.0.0.1:6001").tick()
    head = chain.head()
    miner_on(chain, tmp_path, endpoint="10.0.0.1:6001").tick()
    assert chain.head() == head
    assert chain.neurons()[0].endpoint == "10.0.0.1:6001"


def test_a_write_without_reply_that_is_on_the_chain_is_not_repeated(tmp_path: Path) -> None:
    chain = Shaky(chain_with_validators(tmp_path))

    def lands_in_silence(publish: Any, *args: Any) -> TxResult:
        publish(*args)
        return TxResult(False, "no_answer", unknown=True, retryable=True)

    chain.planned["publish"] = [lands_in_silence]
    miner_on(chain, tmp_path).tick()
    assert chain.calls.count("publish") == 1
    assert [c.digest for c in chain.commitments()] == [ENTRY.digest]


def test_a_write_that_never_appears_is_repeated_later(tmp_path: Path) -> None:
    chain = Shaky(chain_with_validators(tmp_path))
    chain.planned["publish"] = [TxResult(False, "no_answer", unknown=True)]
    miner = miner_on(chain, tmp_path)
    with pytest.raises(InfrastructureFault, match="not on the chain"):
        miner.tick()
    miner.tick()
    assert chain.calls.count("publish") == 2
    assert [c.digest for c in chain.commitments()] == [ENTRY.digest]


def test_a_refused_commitment_says_why(tmp_path: Path) -> None:
    chain = Shaky(chain_with_validators(tmp_path))
    chain.planned["publish"] = [TxResult(False, "quota", "too many commitments in this epoch")]
    with pytest.raises(UsageError, match="too many commitments"):
        miner_on(chain, tmp_path).tick()


def test_an_unregistered_hotkey_is_named_before_the_start(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "chain.db")
    with pytest.raises(UsageError, match=r"HOTKEY.*not registered"):
        miner_on(chain, tmp_path).check()


def test_an_unreachable_chain_is_a_problem_until_it_replies_again(tmp_path: Path) -> None:
    chain = Shaky(chain_with_validators(tmp_path))
    chain.planned["snapshot"] = [ChainUnavailable("gone")] * 3
    clock = VirtualClock(1e9)
    health = Health(clock)
    miner = miner_on(chain, tmp_path, clock, health=health, poll_s=0.01)
    stop, ready = threading.Event(), []

    def watch(plan: Any) -> Any:
        ready.append(health.problems())
        return plan()

    chain.planned["snapshot"] += [watch]
    thread = threading.Thread(target=miner.run, args=(stop,))
    thread.start()
    deadline_s = time.monotonic() + 20
    while not any("Solved" in event["message"] for event in health.events()["success"]):
        assert thread.is_alive()
        assert time.monotonic() < deadline_s
    stop.set()
    thread.join(10)
    assert ready == [{"chain": "gone. Try again."}]
    assert health.metrics()["chain.failures"] == 3
    assert "Solved: gone" in [event["message"] for event in health.events()["success"]]


def test_an_unexpected_error_does_not_end_the_service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chain, health = Shaky(chain_with_validators(tmp_path)), Health(VirtualClock(1e9))
    stop, problems = threading.Event(), []

    def look(snapshot: Any) -> Any:
        problems.append(health.problems().get("service", ""))
        if len(problems) < 3:
            raise ValueError("a block of no number")
        stop.set()
        return snapshot()

    chain.planned["snapshot"] = [look] * 3
    miner_on(chain, tmp_path, health=health, poll_s=0.01).run(stop)
    assert "ValueError: a block of no number" in problems[1]
    assert "Traceback" in caplog.text
    assert health.problems() == {}
    assert [c.digest for c in chain.commitments()] == [ENTRY.digest]


def close(chain: Any) -> None:
    """Let a day pass, so that the next round's entries close."""
    chain.advance(DAY_BLOCKS)


def round_of(chain: Any) -> str:
    """The latest round that has started."""
    number = SCHEDULE.last_started(chain.timestamp_s(chain.head().number))
    assert number is not None
    return SCHEDULE.id_of(number)


def test_nobody_sees_the_model_before_entries_close(tmp_path: Path) -> None:
    chain, health = chain_with_validators(tmp_path), Health(VirtualClock(1e9))
    miner = miner_on(chain, tmp_path, health=health)
    api = TestClient(health_app(health, miner, service="miner", version="1"))
    paths = list(api.get("/openapi.json").json()["paths"])

    def shown() -> str:
        return "".join(api.get(path).text for path in paths)

    miner.tick()
    (commitment,) = chain.commitments()
    assert commitment.digest in shown()
    for secret in (ENTRY.model.name, ENTRY.model.revision, ENTRY.content_hash, ENTRY.salt):
        assert secret not in shown()
    # The round before is over, and the one that will judge this entry is still open.
    for round_id in (round_of(chain), "2030-01-01"):
        with pytest.raises(RequestRefused) as caught:
            miner.reveal(VICTOR.address, round_id)
        assert caught.value.code == "not_closed"
    close(chain)
    assert miner.reveal(VICTOR.address, round_of(chain))["salt"] == ENTRY.salt
    assert ENTRY.model.revision in shown()
    assert ENTRY.salt not in shown()


def test_an_entry_that_comes_after_the_close_waits_for_the_next_round(tmp_path: Path) -> None:
    chain = chain_with_validators(tmp_path)
    close(chain)
    miner = miner_on(chain, tmp_path)
    miner.tick()
    with pytest.raises(RequestRefused) as caught:
        miner.reveal(VICTOR.address, round_of(chain))
    assert caught.value.code == "not_closed"
    close(chain)
    assert miner.reveal(VICTOR.address, round_of(chain))["hotkey"] == ALICE.address


def test_nothing_is_shown_while_the_chain_does_not_say_that_entries_are_closed(tmp_path: Path) -> None:
    chain = Shaky(chain_with_validators(tmp_path))
    miner = miner_on(chain, tmp_path)
    miner.tick()
    close(chain)
    chain.planned["finalized"] = [ChainUnavailable("gone")]
    with pytest.raises(RequestRefused) as caught:
        miner.reveal(VICTOR.address, round_of(chain))
    assert caught.value.code == "not_closed"


def test_a_round_has_one_reveal_even_if_the_model_moves_between_two_questions(tmp_path: Path) -> None:
    """Validators refuse an entry with two reveals, and one could pass on the first to harm the miner."""
    chain = chain_with_validators(tmp_path)
    miner = miner_on(chain, tmp_path)
    miner.tick()
    close(chain)
    first = miner.reveal(VICTOR.address, round_of(chain))
    assert first == miner.reveal(VICTOR.address, round_of(chain))
    moved = replace(ENTRY, model=ModelRef("alice", "elsewhere", "b" * 40))
    assert moved.digest == ENTRY.digest
    restarted = miner_on(chain, tmp_path, entry=moved)
    restarted.tick()
    assert restarted.reveal(VICTOR.address, round_of(chain)) == first
    assert stat.S_IMODE((tmp_path / "revealed.json").stat().st_mode) == 0o600
    close(chain)
    restarted.tick()
    assert restarted.reveal(VICTOR.address, round_of(chain))["name"] == "elsewhere"


def test_it_reveals_its_entry_only_to_validators(tmp_path: Path) -> None:
    chain = chain_with_validators(tmp_path)
    miner = miner_on(chain, tmp_path)
    miner.tick()
    close(chain)
    assert miner.reveal(VICTOR.address, round_of(chain))["revision"] == "a" * 40
    for sender, code in ((BOB, "no_permit"), (ALICE, "no_permit"), (POOR, "low_stake")):
        with pytest.raises(RequestRefused) as caught:
            miner.reveal(sender.address, round_of(chain))
        assert caught.value.code == code


def test_nothing_is_revealed_before_the_commitment_is_on_the_chain(tmp_path: Path) -> None:
    chain = Shaky(chain_with_validators(tmp_path))
    chain.planned["publish"] = [TxResult(False, "no_answer", unknown=True)]
    miner = miner_on(chain, tmp_path)
    with pytest.raises(InfrastructureFault):
        miner.tick()
    with pytest.raises(RequestRefused) as caught:
        miner.reveal(VICTOR.address, round_of(chain))
    assert caught.value.code == "not_committed"


def test_a_private_repository_is_published_after_the_close_and_only_once(tmp_path: Path) -> None:
    chain, health = chain_with_validators(tmp_path), Health(VirtualClock(1e9))
    answers: list[Exception | None] = [HubUnavailable("The hub does not answer"), None]
    calls = []

    def publish() -> None:
        calls.append(chain.head().number)
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    miner = miner_on(chain, tmp_path, health=health, on_close=publish)
    miner.tick()
    assert calls == []
    close(chain)
    miner.tick()
    # Validators get their reveal, although the hub is away.
    assert miner.reveal(VICTOR.address, round_of(chain))["name"] == ENTRY.model.name
    assert "does not answer" in health.problems()["publish"]
    for _ in range(3):
        miner.tick()
    assert len(calls) == 2
    assert "publish" not in health.problems()


def test_a_model_is_made_public_although_the_chain_deletes_the_opened_seal(tmp_path: Path) -> None:
    """Bittensor keeps a sealed text only until it opens. The miner then commits for the next round."""
    chain, calls = Shaky(chain_with_validators(tmp_path)), []
    miner = miner_on(chain, tmp_path, on_close=lambda: calls.append("public"))
    miner.tick()
    close(chain)

    def without_commitments(snapshot: Any) -> Any:
        return replace(snapshot(), commitments=())

    chain.planned["snapshot"] = [without_commitments]
    miner.tick()
    assert calls == ["public"]


def test_feedback_is_verified_and_stored_and_reaches_the_hook_once(tmp_path: Path) -> None:
    handed: list[Path] = []
    miner = miner_on(chain_with_validators(tmp_path), tmp_path, on_feedback=handed.append)
    miner.tick()
    raw = sign_feedback(document(), VICTOR).encode()
    miner.receive_feedback(VICTOR.address, raw)
    miner.receive_feedback(VICTOR.address, raw)
    (path,) = handed
    assert path.read_bytes() == raw
    (winner,) = (miner.best_models() or {})["DENOISING_16000HZ"]
    assert (winner["metric_name"], winner["entry"]) == ("PESQ_WB", "alice/gate")
    assert miner.seed() == {"round": "2026-01-02", "sets": {"DENOISING_16000HZ": 2**63 + 1}}


@pytest.mark.parametrize(
    ("signer", "sender", "changes", "code"),
    [
        (BOB, BOB, {}, "no_permit"),
        (BOB, VICTOR, {}, "wrong_sender"),
        (VICTOR, VICTOR, {"hotkey": BOB.address}, "wrong_receiver"),
        (VICTOR, VICTOR, {"schema": "soundsright.feedback/9"}, "malformed"),
        (VICTOR, VICTOR, {"round": "../../etc"}, "malformed"),
        (VICTOR, VICTOR, {"clips": "none"}, "malformed"),
    ],
)
def test_feedback_for_others_or_from_others_is_refused(
    tmp_path: Path, signer: Any, sender: Any, changes: dict[str, Any], code: str
) -> None:
    miner = miner_on(chain_with_validators(tmp_path), tmp_path)
    miner.tick()
    with pytest.raises(RequestRefused) as caught:
        miner.receive_feedback(sender.address, sign_feedback(document(**changes), signer).encode())
    assert caught.value.code == code
    assert not (tmp_path / "feedback").exists()
