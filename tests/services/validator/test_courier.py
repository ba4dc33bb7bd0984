"""The delivery of feedback: which answers of a miner end it, and which are tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.adapters.state import SqlState
from soundsright.core.ports import Neuron, Reply
from soundsright.services.http import Health
from soundsright.services.rounds import steps
from soundsright.services.validator.peers import MAX_TRIES, FeedbackCourier
from soundsright.testing import VirtualClock


class Miner:
    """Peers that answer every call with one status."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.calls = 0

    def call(self, *_: object, **__: object) -> Reply:
        self.calls += 1
        return Reply(self.status, b"")

    def get(self, *_: object, **__: object) -> Reply:
        raise AssertionError("feedback is posted")


def calls_until_given_up(folder: Path, status: int) -> int:
    miner, clock, state = Miner(status), VirtualClock(), SqlState(folder / "state.db")
    state.begin_round("r1", {})
    courier = FeedbackCourier("r1", {"alice": b"{}"}, miner, state, clock, Health(clock))
    alice = Neuron(0, "alice", 1, endpoint="203.0.113.1:8091")
    while courier.deliver((alice,)):
        clock.sleep(3_600.0)
    record = steps.read(state, "r1", steps.delivered("alice"))
    assert record is not None
    assert record.ok is (status == 200)
    state.close()
    return miner.calls


@pytest.mark.parametrize(
    ("status", "calls"),
    [
        (200, 1),
        (301, 1),
        (400, 1),
        (404, 1),
        (422, 1),
        (401, MAX_TRIES),  # A miner refuses a validator until it has read the validator's permit from the chain.
        (403, MAX_TRIES),
        (408, MAX_TRIES),
        (409, MAX_TRIES),
        (425, MAX_TRIES),
        (429, MAX_TRIES),
        (500, MAX_TRIES),
    ],
)
def test_only_an_answer_that_another_call_does_not_change_ends_a_delivery(
    tmp_path: Path, status: int, calls: int
) -> None:
    assert calls_until_given_up(tmp_path, status) == calls
