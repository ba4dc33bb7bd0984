"""A second process on the same state is refused, or takes over when the first has died."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from soundsright.core.errors import StateUnavailable, UsageError
from soundsright.services.validator.lease import sole_process, this_process
from soundsright.testing import MemoryState, VirtualClock
from tests.services.rounds.subnet import replace_method


def never() -> None:
    raise AssertionError("the lease was lost")


def test_a_second_process_is_refused_while_the_first_lives() -> None:
    state, clock = MemoryState(), VirtualClock(1_000.0)
    with sole_process(state, "validator", clock=clock, lost=never, holder="host:1"):
        clock.sleep(30.0)
        second = sole_process(state, "validator", clock=clock, lost=never, holder="host:2")
        with pytest.raises(
            UsageError, match=r"Process 1 on host uses this state\. Stop it, or wait 60 s after it ended\."
        ):
            second.__enter__()
    with sole_process(state, "validator", clock=clock, lost=never, holder="host:2"):
        assert state.lease_holder("validator", now_s=clock.now()) == "host:2"
    assert state.lease_holder("validator", now_s=clock.now()) is None


def test_the_lease_of_a_dead_process_is_taken_over_when_it_expires() -> None:
    state, clock = MemoryState(), VirtualClock(1_000.0)
    assert state.take_lease("validator", "dead", now_s=clock.now(), duration_s=60.0)
    clock.sleep(60.0)
    with sole_process(state, "validator", clock=clock, lost=never):
        assert state.lease_holder("validator", now_s=clock.now()) == this_process()


def test_the_lease_of_a_dead_process_on_this_machine_is_taken_over_at_once() -> None:
    state, clock = MemoryState(), VirtualClock(1_000.0)
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    machine = this_process().rpartition(":")[0]
    for other, message in [
        (str(child.pid), None),
        (str(os.getppid()), "uses this state.*until it ends"),
        ("1x", "uses"),
    ]:
        holder = f"{machine}:{other}"
        assert state.take_lease("validator", holder, now_s=clock.now(), duration_s=60.0)
        expected = pytest.raises(UsageError, match=message) if message else contextlib.nullcontext()
        with expected, sole_process(state, "validator", clock=clock, lost=never):
            assert state.lease_holder("validator", now_s=clock.now()) == this_process()
        state.release_lease("validator", holder)


def test_a_lease_is_renewed_while_the_work_lasts() -> None:
    state, clock, renewed = MemoryState(), VirtualClock(1_000.0), threading.Event()
    take: Callable[..., bool] = state.take_lease

    def watched(*args: str, **options: float) -> bool:
        taken: bool = take(*args, **options)
        if options["now_s"] > 1_000.0:
            renewed.set()
        return taken

    replace_method(state, "take_lease", watched)
    with sole_process(state, "validator", clock=clock, lost=never, duration_s=0.03):
        clock.sleep(0.02)
        assert renewed.wait(10.0)
        assert state.lease_holder("validator", now_s=1_000.04) == this_process()


@pytest.mark.parametrize("reason", ["taken", "unavailable"])
def test_a_lost_lease_ends_the_work(reason: str) -> None:
    state, clock, lost = MemoryState(), VirtualClock(1_000.0), threading.Event()

    def refuse(*_args: object, **_options: object) -> bool:
        if reason == "unavailable":
            raise StateUnavailable("locked")
        return False

    with sole_process(state, "validator", clock=clock, lost=lost.set, duration_s=0.03):
        replace_method(state, "take_lease", refuse)
        clock.sleep(1.0)
        assert lost.wait(10.0)
