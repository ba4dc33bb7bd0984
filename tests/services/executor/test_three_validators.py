"""Three validators with the executor's system on one private chain: their weights become equal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.core.emission import EmissionRules
from soundsright.core.errors import PeerUnavailable
from soundsright.services.executor import ExecutorSubsystem
from soundsright.services.http import Health
from soundsright.services.validator import PayingService, PaymentContext
from soundsright.testing import MemoryRecords, VirtualClock
from soundsright.testing.image_services import ScriptedBoard, ScriptedTable
from soundsright.testing.state import MemoryState
from tests.services.executor.images import submitted
from tests.services.executor.rows import RULES, by_rows, row
from tests.services.validator.test_paying import service as paying_service
from tests.services.validator.test_payment import Setting

VALIDATORS = ("V1", "V2", "V3")
A, B = submitted("A", 10), submitted("B", 11)
AWAY = PeerUnavailable("Nothing answers", code="timeout")
PERIOD = RULES.weight_blocks
STALE_BLOCKS = 2 * PERIOD


class Validator:
    """A validator whose state outlives `restart`."""

    def __init__(self, chain: LocalChain, hotkey: str, board: ScriptedBoard, table: ScriptedTable) -> None:
        self.chain, self.hotkey, self.board, self.table = chain, hotkey, board, table
        self.state, self.records, self.clock = MemoryState(), MemoryRecords(), VirtualClock(1e9)
        self.restart()

    def restart(self) -> None:
        self.health = Health(self.clock)
        self.health.problem("start", None)
        account: Any = type("Account", (), {"address": self.hotkey})()
        context = PaymentContext(
            EmissionRules({"executor": 1.0}, stale_blocks=STALE_BLOCKS),
            "burn",
            self.chain,
            account,
            self.state,
            self.records,
            self.clock,
            self.health,
        )
        self.system = ExecutorSubsystem(
            self.board,
            self.table,
            RULES,
            order=by_rows,
            records=self.records,
            clock=self.clock,
            health=self.health,
        )
        self.service = PayingService(context, [self.system])

    def tick(self) -> None:
        """Tick until everything that is due has ended and was collected."""
        for _ in range(3):
            self.clock.sleep(1_000)
            self.service.tick()
            for repeated in (self.system._updates, self.system._readings):
                if repeated._attempt is not None:
                    assert repeated._attempt.wait(10)


class Subnet:
    """Three validators, each with its own clients of the same two services."""

    def __init__(self, folder: Path) -> None:
        self.chain = LocalChain(
            folder / "chain.db", entropy=seeded_block_entropy(1), block_s=12.0, now_s=lambda: 0.0
        )
        for hotkey in (*VALIDATORS, "A", "burn"):
            self.chain.register(hotkey, stake=2_000.0, permit=hotkey in VALIDATORS)
        self.chain.advance(10)
        self.board = ScriptedBoard([A, B], burn_ratio=0.3)
        self.table = ScriptedTable()
        self.table.publish("1", row(B, 0.9), row(A, 0.8))
        self.validators = [Validator(self.chain, name, self.board, self.table) for name in VALIDATORS]

    def weights(self, blocks: int = 0) -> dict[str, float]:
        """The weights that all three validators have set after that many blocks. They are the same."""
        if blocks:
            self.chain.advance(blocks)
        for validator in self.validators:
            validator.tick()
        hotkeys = {neuron.uid: neuron.hotkey for neuron in self.chain.neurons()}
        first, *others = ({hotkeys[uid]: w for uid, w in self.chain.weights(v).items() if w} for v in VALIDATORS)
        assert all(other == first for other in others)
        return first

    def problems(self) -> dict[str, str]:
        first, *others = (validator.health.problems() for validator in self.validators)
        assert all(other.keys() == first.keys() for other in others)
        return first


@pytest.fixture
def subnet(tmp_path: Path) -> Iterator[Subnet]:
    made = Subnet(tmp_path)
    yield made
    for validator in made.validators:
        validator.service.close()
    made.chain.close()


def test_the_best_registered_image_gets_what_the_burn_ratio_leaves(subnet: Subnet) -> None:
    assert subnet.weights() == pytest.approx({"A": 0.7, "burn": 0.3})
    assert subnet.table.taken == (A, B)
    assert subnet.problems() == {}
    # B registers: it has the better image, and is paid at once.
    subnet.chain.register("B")
    assert subnet.weights(5) == pytest.approx({"B": 0.7, "burn": 0.3})
    # Its owner submits another image, which has no score yet.
    subnet.board.standing = (A, submitted("B", 99, "other"))
    assert subnet.weights(PERIOD) == pytest.approx({"A": 0.7, "burn": 0.3})


def test_a_new_table_counts_from_the_next_period(subnet: Subnet) -> None:
    assert subnet.weights() == pytest.approx({"A": 0.7, "burn": 0.3})
    subnet.table.publish("2", row(A, 0.0))
    subnet.board.ratio = 0.0
    assert subnet.weights(5) == pytest.approx({"A": 0.7, "burn": 0.3})
    assert subnet.weights(PERIOD) == {"burn": 1.0}


def test_a_validator_that_is_restarted_within_a_period_sets_what_the_others_set(subnet: Subnet) -> None:
    before = subnet.weights()
    subnet.table.publish("2", row(A, 0.0))
    subnet.board.ratio = 0.0
    subnet.validators[1].restart()
    assert subnet.weights(20) == before


@pytest.mark.parametrize("away", ["board", "table"])
def test_while_a_service_is_away_the_last_weights_stay_and_then_they_burn(subnet: Subnet, away: str) -> None:
    before = subnet.weights()
    service = subnet.board if away == "board" else subnet.table
    service.fault = AWAY
    assert subnet.weights(PERIOD) == before
    assert "Nothing answers" in subnet.problems()["executor"]
    for validator in subnet.validators:
        validator.restart()
    assert subnet.weights(STALE_BLOCKS - PERIOD - 20) == before  # Each write makes a block.
    assert subnet.weights(40) == {"burn": 1.0}
    assert "so its share burns" in subnet.problems()["executor.payees"]
    service.fault = None
    assert subnet.weights(10) == before
    assert subnet.problems() == {}


def test_a_validator_that_never_had_payees_sets_no_weights(subnet: Subnet) -> None:
    subnet.table.fault = AWAY
    assert subnet.weights() == {}
    assert "Nothing answers" in subnet.problems()["executor"]


def test_a_table_that_contradicts_itself_leaves_the_last_weights(subnet: Subnet) -> None:
    before = subnet.weights()
    subnet.table.publish("2", row(B, 0.9), row(B, 0.9))
    assert subnet.weights(PERIOD) == before
    assert "two rows" in subnet.problems()["executor"]


def test_the_last_payees_count_for_7200_blocks(subnet: Subnet) -> None:
    setting = Setting("A", "burn", shares={"executor": 1.0})
    system = ExecutorSubsystem(
        subnet.board,
        subnet.table,
        RULES,
        order=by_rows,
        records=MemoryRecords(),
        clock=setting.clock,
        health=setting.health,
    )
    service = paying_service(setting, system)

    def weights_at(block: int) -> dict[str, float]:
        setting.chain.block = block
        for _ in range(3):
            setting.clock.sleep(1_000)
            service.tick()
            for repeated in (system._updates, system._readings):
                if repeated._attempt is not None:
                    assert repeated._attempt.wait(10)
        return dict(setting.chain.sets[-1][1])

    before = weights_at(900)
    subnet.board.fault = AWAY
    assert weights_at(1_080) == weights_at(8_100) == before == pytest.approx({"A": 0.7, "burn": 0.3})
    assert weights_at(8_101) == {"burn": 1.0}
