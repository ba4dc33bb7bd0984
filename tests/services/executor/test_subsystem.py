"""The executor's system of a validator: what it hands on, whom it pays, and what happens if a service is away."""

from __future__ import annotations

from typing import Any

import pytest

from soundsright.core.errors import PeerUnavailable, RequestRefused, StateUnavailable, UsageError
from soundsright.core.ports import Neuron, Record
from soundsright.services.executor import ExecutorSubsystem
from soundsright.services.executor.attempts import LONGEST_ATTEMPT_S, RETRY_BLOCKS
from soundsright.services.executor.seen_rounds import READINGS
from soundsright.services.http import Health
from soundsright.testing import MemoryRecords, VirtualClock
from soundsright.testing.image_services import ScriptedBoard, ScriptedTable
from tests.services.executor.images import submitted
from tests.services.executor.rows import RULES, by_rows, row

A, B = submitted("A", 10), submitted("B", 11)
AWAY = PeerUnavailable("Nothing answers", code="timeout")


class Scene:
    """A system with its fakes, ticked by hand. `tick` waits until what it started has ended."""

    def __init__(self, *hotkeys: str) -> None:
        self.board = ScriptedBoard([A, B])
        self.table = ScriptedTable()
        self.table.publish("7", row(A, 0.8), row(B, 0.5))
        self.clock = VirtualClock(1e9)
        self.health = Health(self.clock)
        self.health.problem("start", None)
        self.neurons = [Neuron(uid, hotkey, 0) for uid, hotkey in enumerate(hotkeys or ("A", "B"))]
        self.records = MemoryRecords()
        self.restart()

    def restart(self) -> None:
        """Begin again with the same state."""
        self.system = ExecutorSubsystem(
            self.board,
            self.table,
            RULES,
            order=by_rows,
            records=self.records,
            clock=self.clock,
            health=self.health,
        )

    def tick(self, block: int) -> None:
        try:
            self.system.tick(block, self.neurons)
        finally:
            self.settle()

    def settle(self) -> None:
        for repeated in (self.system._updates, self.system._readings):
            if repeated._attempt is not None:
                assert repeated._attempt.wait(10)

    def paid_at(self, block: int) -> object:
        """The payees after two ticks: one starts what is due, the other collects it."""
        self.tick(block)
        self.tick(block)
        return self.system.payees()


def test_it_hands_on_the_submissions_and_pays_the_best_image() -> None:
    scene = Scene()
    scene.board.ratio = 0.3
    assert scene.paid_at(1_000) == pytest.approx({"A": 0.7})
    assert scene.table.taken == (A, B)
    assert scene.health.problems() == {}


def test_both_are_repeated_once_in_each_period() -> None:
    scene = Scene()
    for block in range(1_000, 1_260, 10):  # A period begins at 1080.
        scene.tick(block)
    assert scene.table.calls.count("update") == scene.table.calls.count("table") == 2
    scene.tick(1_260)
    scene.tick(1_260)
    assert scene.table.calls.count("update") == scene.table.calls.count("table") == 3


def test_a_restart_within_a_period_pays_as_if_there_had_been_none() -> None:
    scene, other = Scene(), Scene()
    for each in (scene, other):
        assert each.paid_at(1_000) == {"A": 1.0}
        # Within the period, another table, another burn ratio and another submission come.
        each.table.publish("8", row(B, 0.9), row(A, 0.8))
        each.board.ratio = 0.5
        each.board.standing = (submitted("A", 900, "f"), B)
    scene.restart()
    scene.system.tick(1_010, scene.neurons)
    assert scene.system.payees() == {"A": 1.0}
    scene.settle()
    for block in (1_010, 1_079, 1_080, 1_081):
        assert scene.paid_at(block) == other.paid_at(block)
    assert scene.system.payees() == {"B": 0.5}
    # A winner that leaves gives way after a restart too.
    scene.restart()
    scene.neurons = scene.neurons[:1]
    assert scene.paid_at(1_090) == {}


def test_an_order_is_kept_before_it_is_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a restart in the same period could read another table, and pay otherwise than before."""
    scene = Scene()
    append, away = scene.records.append, [True]

    def fails_while_away(*args: Any) -> Record:
        if away[0]:
            raise StateUnavailable("The state does not answer")
        return append(*args)

    monkeypatch.setattr(scene.records, "append", fails_while_away)
    scene.tick(1_000)
    for _ in range(2):
        with pytest.raises(StateUnavailable):
            scene.tick(1_001)
        assert scene.system.payees() is None
    away[0] = False
    assert scene.paid_at(1_001) == {"A": 1.0}
    scene.table.publish("8", row(B, 0.9), row(A, 0.8))
    scene.restart()
    assert scene.paid_at(1_002) == {"A": 1.0}


def test_a_damaged_record_names_the_backup() -> None:
    scene = Scene()
    scene.records.append(READINGS, "180-5", {"period": "5"})
    with pytest.raises(UsageError, match="Restore the last backup"):
        scene.tick(1_000)
    assert scene.system.payees() is None


def test_a_restart_in_a_later_period_reads_again() -> None:
    scene = Scene()
    assert scene.paid_at(1_000) == {"A": 1.0}
    scene.table.publish("8", row(B, 0.9), row(A, 0.8))
    scene.restart()
    scene.system.tick(1_080, scene.neurons)
    assert scene.system.payees() is None
    scene.settle()
    assert scene.paid_at(1_081) == {"B": 1.0}


def test_a_winner_that_leaves_the_chain_gives_way_to_the_next_at_once() -> None:
    scene = Scene()
    assert scene.paid_at(1_000) == {"A": 1.0}
    scene.neurons = scene.neurons[1:]
    scene.tick(1_001)
    assert scene.system.payees() == {"B": 1.0}


def test_an_image_that_was_replaced_is_not_paid() -> None:
    scene = Scene()
    scene.board.standing = (submitted("A", 900, "f"), B)
    assert scene.paid_at(1_000) == {"B": 1.0}


def test_nobody_is_paid_before_the_first_round() -> None:
    scene = Scene()
    scene.table.publish("")
    assert scene.paid_at(1_000) == {}


@pytest.mark.parametrize("away", ["board", "table"])
def test_while_a_service_is_away_the_payees_are_unknown(away: str) -> None:
    scene = Scene()
    assert scene.paid_at(1_000) == {"A": 1.0}
    service = scene.board if away == "board" else scene.table
    service.fault = AWAY
    scene.tick(1_080)
    assert scene.system.payees() is None
    with pytest.raises(PeerUnavailable, match="Nothing answers"):
        scene.tick(1_081)
    assert "Nothing answers" in scene.health.problems()["executor.update"]
    # The fault shows until an attempt succeeds.
    service.fault = None
    with pytest.raises(PeerUnavailable):
        scene.tick(1_081 + RETRY_BLOCKS)
    scene.tick(1_082 + RETRY_BLOCKS)
    assert scene.system.payees() == {"A": 1.0}
    assert scene.health.problems() == {}


def test_a_failure_is_not_repeated_at_once() -> None:
    scene = Scene()
    scene.board.fault = AWAY
    scene.tick(1_000)
    for block in range(1_001, 1_001 + RETRY_BLOCKS):
        with pytest.raises(PeerUnavailable):
            scene.tick(block)
    assert scene.board.calls.count("submissions") == 2  # Once for the update, and once for the table.


def test_a_refused_update_shows_and_the_table_is_paid_nevertheless() -> None:
    scene = Scene()

    def refuse() -> None:
        raise RequestRefused("bad_submission", "A hotkey comes twice", status=422)

    scene.table.on_update = refuse
    assert scene.paid_at(1_000) == {"A": 1.0}
    assert "A hotkey comes twice" in scene.health.problems()["executor.update"]


def test_a_refusal_is_the_services_fault() -> None:
    scene = Scene()
    scene.board.fault = RequestRefused("not_a_validator", "Only validators may read this")
    scene.tick(1_000)
    with pytest.raises(PeerUnavailable, match=r"The coordinator refuses this validator \(not_a_validator\)"):
        scene.tick(1_001)


def test_a_table_that_contradicts_itself_is_not_paid() -> None:
    scene = Scene()
    scene.table.publish("7", row(A, 0.8), row(A, 0.8))
    scene.tick(1_000)
    with pytest.raises(PeerUnavailable, match="two rows"):
        scene.tick(1_001)
    assert scene.system.payees() is None


def test_a_slow_service_does_not_hold_up_the_validator() -> None:
    scene = Scene()
    scene.board.gate.clear()
    system = scene.system
    system.tick(1_000, scene.neurons)
    system.tick(1_001, scene.neurons)
    assert system.payees() is None
    scene.clock.sleep(LONGEST_ATTEMPT_S + 1)
    with pytest.raises(PeerUnavailable, match="has not ended for 301 s"):
        system.tick(1_002, scene.neurons)
    assert scene.board.calls.count("submissions") == 2  # No second attempt beside the first.
    scene.board.gate.set()
    scene.settle()
    assert scene.paid_at(1_003) == {"A": 1.0}


def test_a_fault_of_the_program_is_raised_and_ends_nothing() -> None:
    scene = Scene()
    scene.table.fault = ValueError("planted")
    scene.tick(1_000)
    with pytest.raises(ValueError, match="planted"):
        scene.tick(1_001)
    assert "ValueError: planted" in scene.health.problems()["executor.update"]
    scene.table.fault = None
    with pytest.raises(ValueError, match="planted"):
        scene.tick(1_001 + RETRY_BLOCKS)
    assert scene.paid_at(1_002 + RETRY_BLOCKS) == {"A": 1.0}


def test_closing_does_not_wait_for_a_service_that_is_away() -> None:
    scene = Scene()
    scene.board.gate.clear()
    scene.system.tick(1_000, scene.neurons)
    for repeated in (scene.system._updates, scene.system._readings):
        repeated.close(0.01)
    scene.system.close()
    scene.board.gate.set()
