"""Work that a service repeats: a fault is reported and tried again after a pause, and a stop ends it."""

from __future__ import annotations

import threading

import pytest

from soundsright.core.errors import ChainUnavailable
from soundsright.services.rounds import Cancelled
from soundsright.services.validator import IDLE, RUNNING, WAITING, RepeatedWork
from soundsright.testing import VirtualClock


class Context:
    def __init__(self) -> None:
        self.clock = VirtualClock(1_000.0)
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()

    def raise_if_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled("stopped")


class Counting(RepeatedWork):
    """Work that counts its calls, and fails with the faults that a test has planted."""

    def __init__(self, *faults: Exception) -> None:
        self.context, self.calls, self.states, self.reported = Context(), 0, [""], [str(None)]
        self.faults = [*faults]
        super().__init__("counter", self.context, poll_s=0.01, longest_s=40.0, problem=self.report)

    def report(self, sentence: str | None) -> None:
        self.reported.append(str(sentence))

    def _work(self) -> None:
        self.calls += 1
        self._state = RUNNING
        if self.faults:
            raise self.faults.pop(0)


def test_a_fault_is_reported_and_tried_again_after_growing_pauses() -> None:
    work = Counting(*(ChainUnavailable("The chain is away", "Wait.") for _ in range(5)))
    tried = []
    for second in range(200):
        before = work.calls
        work.tick()
        if work.calls > before:
            tried.append(second)
        if not work.faults and work.reported[-1] == "None":
            break
        assert work._state == WAITING
        work.context.clock.sleep(1.0)
    assert tried == [0, 10, 30, 70, 110, 150]
    assert work.reported[1] == "The chain is away. Wait."
    assert (work._state, work._waits_for) == (IDLE, "")


def test_an_error_of_the_program_is_reported_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    work = Counting(ValueError("secret"))
    work.tick()
    assert work.reported[-1] == "An error of the program (ValueError). The log has the traceback."
    assert "counter failed" in caplog.text


def test_a_fault_while_it_stops_is_not_reported() -> None:
    work = Counting(ChainUnavailable("The chain is away", "Wait."))
    work.context.cancel()
    with pytest.raises(Cancelled):
        work.tick()
    assert work.reported == ["None"]


def test_it_runs_until_it_is_stopped() -> None:
    work, stop = Counting(), threading.Event()
    runner = threading.Thread(target=work.run, args=(stop,))
    runner.start()
    while work.calls < 3:
        runner.join(0.01)
    stop.set()
    runner.join(10.0)
    assert not runner.is_alive()
    assert work.context.cancelled.is_set()
