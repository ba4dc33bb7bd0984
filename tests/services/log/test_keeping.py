"""A service's signed rounds reach the log, also if the log was away, and a log that lies is never believed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.adapters.state import SqlState
from soundsright.cli.shared.log_source import HttpLog
from soundsright.core.errors import LogRefused
from soundsright.core.ports import Reply, StateStore
from soundsright.services.http import Health, HttpService, listening
from soundsright.services.log import LogKeeper, TransparencyLog, check_proof, log_app, read_proof, signed_record
from soundsright.services.records import EXECUTOR_RESULTS, sign_document
from soundsright.services.rounds import steps
from soundsright.testing import MemoryState, VirtualClock
from tests.ports import free_port
from tests.services.log.log_bench import ADMISSION, LOG, STRANGER, VICTOR, WALTER, filled, own_log, round_document


@contextmanager
def served_at(port: int, log: TransparencyLog) -> Iterator[None]:
    app = log_app(log, throttle=lambda _client: None, admission=ADMISSION)
    service = HttpService(app, listening("127.0.0.1", port, host_variable="H", port_variable="P"), name="log")
    service.start()
    try:
        yield
    finally:
        service.close()


class Lying(HttpLog):
    """A log whose answers somebody changes on the way."""

    change: Callable[[str, bytes], bytes] = staticmethod(lambda _path, body: body)

    def send(self, method: str, path: str, *, body: bytes = b"", max_bytes: int) -> Reply:
        reply = super().send(method, path, body=body, max_bytes=max_bytes)
        return Reply(reply.status, self.change(path, reply.body))


class Bench:
    """A validator's folder of rounds, and its keeper of a log at a port where nothing listens yet."""

    def __init__(self, folder: Path, state: StateStore | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.clock = VirtualClock(1e9)
        self.health = Health(self.clock)
        self.state = state or MemoryState()
        self.log = Lying(f"http://127.0.0.1:{self.port}", timeout_s=20)
        self.keeper = self.new_keeper()

    def new_keeper(self) -> LogKeeper:
        return LogKeeper(
            self.log,
            LOG.address,
            self.state,
            lambda round_id: signed_record(self.state, self.folder / round_id, round_id),
            lambda round_id: self.folder / round_id,
            clock=self.clock,
            health=self.health,
            valid_signature=valid_signature,
        )

    def add(self, round_id: str, *, signer: Hotkey = VICTOR) -> bytes:
        """A round that has ended, with its signed document."""
        raw = round_document(round_id, signer=signer)
        (self.folder / round_id / "bundle").mkdir(parents=True)
        (self.folder / round_id / "bundle/round.json").write_bytes(raw)
        self.state.begin_round(round_id, {})
        steps.write(self.state, round_id, steps.BUNDLE, steps.BundleStep("00" * 32))
        return raw

    def problem(self) -> str:
        return str(self.health.problems().get("log", ""))

    def is_proved(self, round_id: str, raw: bytes) -> bool:
        proof = read_proof(self.folder / round_id, valid_signature=valid_signature)
        if proof is None:
            return False
        check_proof(proof, raw, valid_signature=valid_signature, log=LOG.address)
        return True


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "rounds")


def test_rounds_reach_a_log_that_was_away(bench: Bench) -> None:
    first, second = bench.add("round-1"), bench.add("round-2")
    bench.keeper.tend()
    assert "Round round-1 is not in the log" in bench.problem()
    log = filled(3)
    with served_at(bench.port, log):
        bench.keeper.tend()
        assert log.size == 3, "it is not asked again at once"
        bench.clock.sleep(601)
        bench.keeper.tend()
    assert bench.problem() == ""
    # The log had both already, each with another signature of the same document.
    assert log.size == 3
    assert bench.is_proved("round-1", first)
    assert bench.is_proved("round-2", second)


def test_a_round_is_appended_once_and_after_a_restart_not_again(bench: Bench) -> None:
    raw = bench.add("round-9")
    log = own_log()
    with served_at(bench.port, log):
        bench.keeper.tend()
        bench.keeper.tend()
        head = log.head()
        bench.new_keeper().tend()
    bench.clock.sleep(601)
    bench.new_keeper().tend()
    assert (log.size, log.head()) == (1, head)
    assert bench.problem() == "", "the log is away, and nothing is missing there"
    assert bench.is_proved("round-9", raw)


def test_a_round_without_a_document_waits_for_it(bench: Bench) -> None:
    bench.state.begin_round("round-1", {})
    log = own_log()
    with served_at(bench.port, log):
        bench.keeper.tend()
        assert (log.size, bench.problem()) == (0, "")
        bench.add("round-1")
        bench.keeper.tend()
    assert log.size == 1


def test_a_document_that_the_log_refuses_keeps_no_other_one_back(bench: Bench) -> None:
    bench.add("round-1", signer=STRANGER)
    raw = bench.add("round-2")
    with served_at(bench.port, own_log()):
        bench.keeper.tend()
    assert "does not take the document" in bench.problem()
    assert bench.is_proved("round-2", raw)


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer | {"index": 0},
        lambda answer: answer | {"index": 99},
        lambda answer: answer | {"proof": answer["proof"][::-1]},
        lambda answer: answer | {"head": {}},
        lambda _answer: [],
        lambda _answer: {},
    ],
)
def test_a_log_that_lies_is_a_problem_and_no_step(change: Callable[[object], object], bench: Bench) -> None:
    raw = bench.add("round-9")
    bench.log.change = lambda _path, body: json.dumps(change(json.loads(body))).encode()
    with served_at(bench.port, filled(6)):
        bench.keeper.tend()
        assert "Round round-9 is not in the log" in bench.problem()
        assert not (bench.folder / "round-9/log.json").exists()
        bench.log.change = lambda _path, body: body
        bench.clock.sleep(601)
        bench.keeper.tend()
    assert bench.problem() == ""
    assert bench.is_proved("round-9", raw)


def test_another_log_at_that_address_is_a_problem(bench: Bench) -> None:
    bench.add("round-9")
    with served_at(bench.port, own_log(account=STRANGER)):
        bench.keeper.tend()
    assert f"the head of another log, {STRANGER.address}" in bench.problem()


def test_a_service_says_that_its_hotkey_signed_twice(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    log = filled(3)
    bench.add("round-1")
    with served_at(bench.port, log):
        (bench.folder / "round-1/bundle/round.json").write_bytes(round_document("round-1", weights=[1]))
        bench.keeper.tend()
    assert log.size == 4
    assert "this hotkey signed another document for round round-1: 1" in caplog.text


def test_a_thread_appends_while_the_service_works(tmp_path: Path) -> None:
    state = SqlState(tmp_path / "state.db", scope="validator")
    bench = Bench(tmp_path / "rounds", state)
    raw = bench.add("round-1")
    with served_at(bench.port, own_log()), bench.keeper.running():
        while not (bench.folder / "round-1/log.json").exists():
            threading.Event().wait(0.01)
        assert bench.is_proved("round-1", raw)
    state.close()


def test_a_state_that_fails_is_a_problem_and_never_raised(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> tuple[str, ...]:
        raise RuntimeError("closed")

    monkeypatch.setattr(bench.state, "rounds", broken)
    bench.keeper.tend()
    assert "RuntimeError" in bench.problem()


def test_a_proof_of_another_document_or_log_is_refused(bench: Bench) -> None:
    raw = bench.add("round-9")
    with served_at(bench.port, own_log()):
        bench.keeper.tend()
    proof = read_proof(bench.folder / "round-9", valid_signature=valid_signature)
    assert proof is not None
    check_proof(proof, round_document("round-9"), valid_signature=valid_signature, log=LOG.address)
    for other in (round_document("round-8"), round_document("round-9", signer=STRANGER), b"[]", b"{"):
        with pytest.raises(LogRefused, match=r"log\.json"):
            check_proof(proof, other, valid_signature=valid_signature, log=LOG.address)
    with pytest.raises(LogRefused, match="and not of"):
        check_proof(proof, raw, valid_signature=valid_signature, log=STRANGER.address)


def test_an_executors_results_are_appended_without_a_folder(bench: Bench) -> None:
    facts = {"schema": EXECUTOR_RESULTS.schema, "round": "7"}
    raw = sign_document(EXECUTOR_RESULTS, facts, WALTER).encode()
    bench.state.begin_round("7", {})
    keeper = LogKeeper(
        *(bench.log, LOG.address, bench.state, {"7": raw}.get, lambda _round: bench.folder / "removed"),
        clock=bench.clock,
        health=bench.health,
        valid_signature=valid_signature,
    )
    log = own_log()
    with served_at(bench.port, log):
        keeper.tend()
        keeper.tend()
    assert (log.size, bench.problem()) == (1, "")
    assert not (bench.folder / "removed").exists()
