"""Three validators, a coordinator and an executor over HTTP: their weights become equal, also after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.adapters.executors import HttpScoreTable, HttpSubmissionBoard
from soundsright.adapters.peers import valid_signature
from soundsright.adapters.peers.auth import RequestGate
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.emission import EmissionRules
from soundsright.core.errors import RequestRefused
from soundsright.core.material import Material
from soundsright.services.executor import ExecutorSubsystem, ResultsCheck, SeenRounds, SignedOrder
from soundsright.services.executor_api import ExecutorAccess, executor_app
from soundsright.services.http import Health, HttpService, listening, sign_answers
from soundsright.services.subnet_api import subnet_app
from soundsright.services.validator import PayingService, PaymentContext
from soundsright.testing import MemoryRecords, MemoryState, VirtualClock
from soundsright.testing.simulation import ORGANISER, ExecutorParts, image_coordinator, image_reference

OWNER, RUNNER, ANN, BEN = (Hotkey.of_seed(name) for name in ("owner", "runner", "ann", "ben"))
VALIDATORS = tuple(Hotkey.of_seed(f"validator {number}") for number in range(3))
START_S, BLOCK_S = 1.8e9, 12.0
PERIOD = ORGANISER.executor.weight_blocks if ORGANISER.executor else 0


class Validator:
    """A validator that knows the services only by their addresses. Its state outlives a restart."""

    def __init__(self, subnet: Subnet, key: Hotkey) -> None:
        self.subnet, self.key = subnet, key
        self.state, self.records = MemoryState(), MemoryRecords()
        self.restart()

    def restart(self) -> None:
        """Start, or end and start again with the same state."""
        subnet = self.subnet
        health = self.health = Health(subnet.clock)
        table = HttpScoreTable(subnet.executor_url, RUNNER.address, self.key)
        check = ResultsCheck(ORGANISER, subnet.chain, Material(), pays_on_public=True)
        seen = SeenRounds(self.records)
        order = SignedOrder(table, RUNNER.address, ORGANISER, valid_signature, check, seen)
        board = HttpSubmissionBoard(subnet.board_url, OWNER.address, self.key)
        assert ORGANISER.executor is not None
        self.system = ExecutorSubsystem(
            board, table, ORGANISER.executor, order=order, records=self.records, clock=subnet.clock, health=health
        )
        emission = EmissionRules({"executor": 1.0})
        ports = subnet.chain, self.key, self.state, self.records, subnet.clock
        self.service = PayingService(PaymentContext(emission, OWNER.address, *ports, health), [self.system])

    def close(self) -> None:
        self.service.close()

    def tick(self) -> None:
        self.service.tick()
        assert self.system.settle(30)
        self.service.tick()


class Subnet:
    """A private chain, and both services on ports of this machine."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.chain = stack.enter_context(
            closing(
                LocalChain(
                    folder / "chain.db", entropy=seeded_block_entropy(1), block_s=BLOCK_S, now_s=lambda: START_S
                )
            )
        )
        for key in (OWNER, ANN, BEN, *VALIDATORS):
            self.chain.register(key.address, stake=2_000.0, permit=key in VALIDATORS)
        self.clock = VirtualClock(START_S)
        self.coordinator = image_coordinator(
            self.chain, MemoryRecords(), self.clock, burn_ratio=0.25, executor=RUNNER.address
        )
        self.coordinator.tick()
        gate = RequestGate(OWNER.address)
        app = subnet_app(
            self.coordinator, admit=gate.admit, admit_read=gate.admit_read, throttle=lambda _client: None
        )
        sign_answers(app, OWNER.sign)
        self.board_url = self._served(app, "coordinator", stack)
        board = HttpSubmissionBoard(self.board_url, OWNER.address, RUNNER)
        parts = (self.chain, MemoryState(), MemoryRecords(), self.clock, board, folder)
        self.executor = ExecutorParts(*parts, account=RUNNER).service()
        gate = RequestGate(RUNNER.address)
        access = ExecutorAccess(gate.admit, gate.admit_read, lambda _client: None, self._check_validator)
        self.executor_url = self._served(executor_app(self.executor, access, sign=RUNNER.sign), "executor", stack)
        self.validators = [Validator(self, key) for key in VALIDATORS]
        for validator in self.validators:
            stack.callback(validator.close)

    @staticmethod
    def _check_validator(hotkey: str) -> None:
        if hotkey not in {key.address for key in VALIDATORS}:
            raise RequestRefused("no_permit", "Only validators of this executor get a reply")

    @staticmethod
    def _served(app: object, name: str, stack: ExitStack) -> str:
        sock = listening("127.0.0.1", 0, host_variable="HOST", port_variable="PORT")
        service = HttpService(app, sock, name=name)  # type: ignore[arg-type]
        service.start()
        stack.callback(service.close)
        return f"http://127.0.0.1:{service.port}"

    def submit(self, key: Hotkey, quality: int, number: int) -> None:
        HttpSubmissionBoard(self.board_url, OWNER.address, key).submit(image_reference(quality, 1, number))

    def go_to(self, block: int) -> None:
        self.chain.advance(block - self.chain.head().number)
        self.clock.jump(self.chain.timestamp_s(self.chain.head().number) - self.clock.now())
        self.coordinator.tick()

    def weights(self, key: Hotkey) -> dict[str, float]:
        names = {neuron.uid: neuron.hotkey for neuron in self.chain.neurons()}
        return {names[uid]: weight for uid, weight in self.chain.weights(key.address).items() if weight}


@pytest.fixture
def subnet(tmp_path: Path) -> Iterator[Subnet]:
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    with ExitStack() as stack:
        yield Subnet(tmp_path, stack)


def test_three_validators_over_http_set_equal_weights(subnet: Subnet) -> None:
    first, second, late = subnet.validators
    subnet.submit(ANN, 60, 1)
    subnet.go_to(PERIOD)
    first.tick()  # It hands on the submissions.
    subnet.executor.tick()
    assert subnet.executor.results(f"images-{PERIOD}") is not None
    subnet.go_to(2 * PERIOD)
    for validator in subnet.validators:
        validator.tick()
    ann = {ANN.address: pytest.approx(0.75), OWNER.address: pytest.approx(0.25)}
    assert [subnet.weights(key) for key in VALIDATORS] == [ann, ann, ann]

    subnet.submit(BEN, 90, 2)
    second.restart()
    subnet.go_to(3 * PERIOD)
    for validator in subnet.validators:
        validator.tick()
    subnet.executor.tick()
    assert subnet.executor.results(f"images-{3 * PERIOD}") is not None
    # The restarted validator and one that reads late see the new round at other blocks, and pay the same.
    subnet.go_to(4 * PERIOD)
    first.tick()
    second.restart()
    second.tick()
    ben = {BEN.address: pytest.approx(0.75), OWNER.address: pytest.approx(0.25)}
    assert [subnet.weights(key) for key in VALIDATORS] == [ben, ben, ann]
    subnet.go_to(4 * PERIOD + PERIOD // 2)
    late.tick()
    assert [subnet.weights(key) for key in VALIDATORS] == [ben, ben, ben]
    assert [validator.health.problems().keys() - {"start"} for validator in subnet.validators] == [set()] * 3


def test_who_is_no_validator_gets_nothing(subnet: Subnet) -> None:
    stranger = HttpScoreTable(subnet.executor_url, RUNNER.address, ANN)
    with pytest.raises(RequestRefused, match="Only validators"):
        stranger.table()
    with pytest.raises(RequestRefused, match="Only validators"):
        HttpSubmissionBoard(subnet.board_url, OWNER.address, ANN).submissions()
