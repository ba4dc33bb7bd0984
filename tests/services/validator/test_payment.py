"""A validator with other systems: what it pays, what stops it, and what a restart changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.adapters.state import SqlRecords, SqlState
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.emission import EmissionRules
from soundsright.core.errors import PeerUnavailable, UsageError
from soundsright.core.ports import Neuron, Records, StateStore, TxResult
from soundsright.core.rulesets import SOUNDSRIGHT_V3
from soundsright.core.schedule import Schedule
from soundsright.services.http.state import Health, prometheus_text
from soundsright.services.records import recorded_emission
from soundsright.services.rounds import steps
from soundsright.services.validator.payment import FIRST_PAYEES_BLOCKS
from soundsright.services.validator.service import ValidatorService
from soundsright.services.validator.setup import SubnetSettings, ValidatorContext
from soundsright.services.validator.subsystems import REFRESH_BLOCKS, BadPayees, checked_payees
from soundsright.testing import MemoryRecords, VirtualClock
from soundsright.testing.state import MemoryState

VICTOR = "victor"
ROUND = "1970-01-11"
SHARES = {"competitions": 0.5, "executor": 0.2, "tiers": 0.2, "tournaments": 0.1}
PAYEES: Mapping[str, Mapping[str, float]] = {
    "executor": {"a": 1.0},
    "tiers": {"b": 0.5, "c": 0.25},
    "tournaments": {},
}
ROUND_PAYEES = {"a": 0.7, "b": 0.3}
LATER = Schedule(time_of_day_s=0, every_days=1, first_day=20_000, seed_delay_blocks=3)


class System:
    """A system whose payees and failures the test sets."""

    def __init__(self, name: str, payees: Any = None) -> None:
        self.name = name
        self.paid = PAYEES.get(name, {}) if payees is None else payees
        self.fault: BaseException | None = None
        self.ticks: list[int] = []
        self.closed = 0

    def tick(self, finalized: int, neurons: Sequence[Neuron]) -> None:
        self.ticks.append(finalized)
        if self.fault is not None:
            raise self.fault

    def payees(self) -> Any:
        return None if self.paid == "unknown" else self.paid

    def close(self) -> None:
        self.closed += 1
        if self.fault is not None:
            raise self.fault


class Chain:
    """A chain whose block the test sets. It refuses a write before its rate limit."""

    def __init__(self, *hotkeys: str, rate_limit: int = 0) -> None:
        self.block = 900
        self.hotkeys = [VICTOR, *hotkeys]
        self.sets: list[tuple[int, dict[str, float]]] = []
        self.tries = 0
        self.rate_limit = rate_limit

    def finalized(self) -> Any:
        return type("Block", (), {"number": self.block})

    def timestamp_s(self, number: int) -> float:
        return float(number)

    def neurons(self) -> tuple[Neuron, ...]:
        last = self.sets[-1][0] if self.sets else None
        return tuple(
            Neuron(uid, hotkey, 0, permit=True, weights_set_at=last if hotkey == VICTOR else None)
            for uid, hotkey in enumerate(self.hotkeys)
        )

    def rules(self) -> Any:
        from soundsright.core.ports import SubnetRules

        return SubnetRules(tempo_blocks=360, rate_limit_blocks=self.rate_limit)

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        self.tries += 1
        if self.sets and self.block < self.sets[-1][0] + self.rate_limit:
            return TxResult(False, "rate_limited")
        self.sets.append((self.block, dict(by_hotkey)))
        return TxResult(True, block=self.block)


class Setting:
    """A validator's surroundings, which a restart keeps."""

    def __init__(self, *hotkeys: str, shares: Mapping[str, float] = SHARES, **options: Any) -> None:
        self.chain: Any = Chain(*hotkeys, **options)
        self.state: StateStore = MemoryState()
        self.records: Records = MemoryRecords()
        self.clock = VirtualClock(1e9)
        self.health = Health(self.clock)
        self.health.problem("start", None)
        self.shares = shares
        self.burn_hotkey = "burn"

    def decide(self, payees: Mapping[str, float] = ROUND_PAYEES) -> None:
        self.state.begin_round(ROUND, {})
        steps.write(self.state, ROUND, steps.PAYEES, steps.PayeesStep(payees))

    def service(self, *systems: System) -> ValidatorService:
        settings = SubnetSettings(
            CompetitionRules((PUBLISHED[0],), SOUNDSRIGHT_V3),
            Measures(8, ("PESQ_WB", "ESTOI"), {"PESQ_WB": 0.0, "ESTOI": -1.0}),
            LATER,
            burn_hotkey=self.burn_hotkey,
            emission=EmissionRules(self.shares),
        )
        nothing: Any = None
        without_files: Any = SimpleNamespace(folder=Path("no-such-folder"))
        context = ValidatorContext(
            settings,
            without_files,
            chain=self.chain,
            account=type("Account", (), {"address": VICTOR})(),
            state=self.state,
            records=self.records,
            peers=nothing,
            clock=self.clock,
            health=self.health,
            valid_signature=nothing,
        )
        return ValidatorService(context, systems)

    def tick(self, service: ValidatorService, block: int | None = None) -> dict[str, float]:
        """Tick at a block; the pauses after failures are over. Returns the weights that are set."""
        if block is not None:
            self.chain.block = block
        self.clock.sleep(1_000)
        service.tick()
        return dict(self.chain.sets[-1][1]) if self.chain.sets else {}


def systems() -> tuple[System, ...]:
    return tuple(System(name) for name in ("executor", "tiers", "tournaments"))


def test_weights_of_all_systems_are_set_by_their_shares() -> None:
    setting = Setting("a", "b", "c", "burn")
    setting.decide()
    weights = setting.tick(setting.service(*systems()))
    assert weights == pytest.approx({"a": 0.55, "b": 0.25, "c": 0.05, "burn": 0.15}, abs=1e-12)
    assert setting.health.problems() == {}
    assert steps.read(setting.state, ROUND, steps.WEIGHTS_SET) == steps.WeightsSetStep(900)


def test_without_a_burn_hotkey_the_weights_are_scaled() -> None:
    setting = Setting("a", "b", "c")  # The burn hotkey is not registered.
    setting.decide()
    weights = setting.tick(setting.service(*systems()))
    assert weights == pytest.approx({"a": 0.647059, "b": 0.294118, "c": 0.058824}, abs=1e-6)


@pytest.mark.parametrize(("hotkeys", "expected"), [(("burn",), {"burn": 1.0}), ((), {})])
def test_if_nobody_is_paid_all_burns(hotkeys: tuple[str, ...], expected: dict[str, float]) -> None:
    setting = Setting("a", *hotkeys)
    setting.decide({})
    nobody = [System(name, {}) for name in PAYEES]
    assert setting.tick(setting.service(*nobody)) == expected


@pytest.mark.parametrize("silence", ["unknown", "tick fails"])
def test_the_last_payees_count_for_7200_blocks_and_then_their_share_burns(silence: str) -> None:
    setting = Setting("a", "b", "c", "burn")
    setting.decide()
    executor, *others = systems()
    service = setting.service(executor, *others)
    setting.tick(service, 900)
    before = dict(setting.chain.sets[-1][1])
    if silence == "unknown":
        executor.paid = "unknown"
    else:
        executor.fault = PeerUnavailable("The executor does not answer", code="timeout")
    assert setting.tick(service, 1_000) == setting.tick(service, 8_100) == before
    # A restart does not make the payees younger.
    service = setting.service(executor, *others)
    assert setting.tick(service, 8_100) == before
    after = setting.tick(service, 8_101)
    assert after == pytest.approx({"a": 0.35, "b": 0.25, "c": 0.05, "burn": 0.35}, abs=1e-12)
    assert "block 900" in setting.health.problems()["executor.payees"]
    # It answers again: its payees count at once.
    executor.paid, executor.fault = PAYEES["executor"], None
    assert setting.tick(service, 8_102) == pytest.approx(before)
    assert setting.health.problems() == {}


def test_payees_count_from_the_last_block_in_which_they_were_read() -> None:
    setting = Setting("a", "b", "c", "burn")
    setting.decide()
    executor, *others = systems()
    service = setting.service(executor, *others)
    for block in (900, 1_000, 1_010):
        setting.tick(service, block)
    executor.paid = "unknown"
    setting.tick(service, 1_020)
    service = setting.service(executor, *others)
    assert setting.tick(service, 8_210)["a"] == pytest.approx(0.55)
    assert setting.tick(service, 8_211)["a"] == pytest.approx(0.35)


def test_unchanged_payees_are_recorded_rarely() -> None:
    setting = Setting("a", "b", "c", "burn")
    setting.decide()
    service = setting.service(*systems())
    for block in range(900, 900 + 2 * REFRESH_BLOCKS, 10):
        setting.tick(service, block)
    assert len(setting.records.read("payees:executor")) == 2
    assert len(setting.records.read("emission")) == 1


@pytest.mark.parametrize(
    "fault",
    [PeerUnavailable("No answer", code="timeout"), ValueError("planted"), SystemExit(3), RecursionError("planted")],
)
def test_a_system_that_fails_stops_no_other(fault: BaseException) -> None:
    setting = Setting("a", "b", "c", "burn")
    setting.decide()
    executor, tiers, tournaments = systems()
    executor.fault = fault
    service = setting.service(executor, tiers, tournaments)
    setting.tick(service)
    assert set(setting.health.problems()) == {"executor"}
    # Its pause is not over, and the others are asked.
    service.tick()
    assert (len(executor.ticks), len(tiers.ticks), len(tournaments.ticks)) == (1, 2, 2)
    setting.tick(service)
    assert len(executor.ticks) == 2
    executor.fault = None
    assert setting.tick(service) == pytest.approx({"a": 0.55, "b": 0.25, "c": 0.05, "burn": 0.15})
    assert setting.health.problems() == {}


def test_a_keyboard_interrupt_ends_the_validator() -> None:
    setting = Setting("a")
    executor, *others = systems()
    executor.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        setting.tick(setting.service(executor, *others))


def test_every_system_is_closed_although_one_fails() -> None:
    setting = Setting("a")
    executor, tiers, tournaments = systems()
    executor.fault = ValueError("planted")
    setting.service(executor, tiers, tournaments)._payment.close()
    assert [executor.closed, tiers.closed, tournaments.closed] == [1, 1, 1]


BAD_PAYEES: Sequence[Any] = (
    {"a": math.nan},
    {"a": math.inf},
    {"a": -0.1},
    {"a": 0.6, "b": 0.5},
    {"a": "1"},
    {"b": True},
    {1: 0.5},
    {"": 0.5},
    {"é" * 9: 0.5},
    {"a" * 200: 0.5},
    [("a", 1.0)],
    0.5,
    {f"h{number}": 0.0 for number in range(5_000)},
)


@pytest.mark.parametrize("payees", BAD_PAYEES, ids=lambda payees: repr(payees)[:20])
def test_bad_payees_count_as_unknown_and_are_reported(payees: Any) -> None:
    setting = Setting("a", "b", "c", "burn")
    setting.decide()
    executor, *others = systems()
    service = setting.service(executor, *others)
    before = setting.tick(service)
    executor.paid = payees
    assert setting.tick(service, 1_000) == before
    assert "is refused" in setting.health.problems()["executor"]
    with pytest.raises(BadPayees):
        checked_payees(payees)


def test_numbers_of_numpy_are_payees() -> None:
    assert checked_payees({"a": np.float32(0.5), "b": np.float64(0.25), "c": 0}) == {"a": 0.5, "b": 0.25}


def test_weights_wait_for_the_first_payees_of_a_system() -> None:
    setting = Setting("a", "b", "c", "burn")
    setting.decide()
    executor, *others = systems()
    executor.paid = "unknown"
    assert setting.tick(setting.service(executor, *others), 900) == {}
    # Not longer after a restart: the first block is recorded.
    service = setting.service(executor, *others)
    assert setting.tick(service, 900 + FIRST_PAYEES_BLOCKS) == {}
    assert setting.health.problems() == {}
    weights = setting.tick(service, 901 + FIRST_PAYEES_BLOCKS)
    assert weights == pytest.approx({"a": 0.35, "b": 0.25, "c": 0.05, "burn": 0.35})
    assert "never known" in setting.health.problems()["executor.payees"]


def test_a_hotkey_that_left_is_not_paid() -> None:
    setting = Setting("a", "b", "burn")
    setting.decide()
    assert "c" not in setting.tick(setting.service(*systems()))


def test_changed_weights_are_set_at_once_within_the_rate_limit_and_others_every_tempo() -> None:
    setting = Setting("a", "b", "c", "burn", rate_limit=100)
    setting.decide()
    executor, *others = systems()
    service = setting.service(executor, *others)
    for block in range(900, 1_700, 10):
        if block in (910, 930, 1_300):
            executor.paid = {"a": 0.5, "b": block / 10_000}
        setting.tick(service, block)
    # 900 first; 910 and 930 as soon as the chain allows; a tempo later; the change of 1300 has to wait until then.
    assert [block for block, _ in setting.chain.sets] == [900, 1_000, 1_300, 1_660]
    assert setting.chain.tries == 4
    # The same weights again after a restart wait for the limit too.
    setting.tick(setting.service(executor, *others), 1_700)
    assert setting.chain.tries == 4


@pytest.mark.parametrize("with_system", [False, True])
def test_with_the_default_share_weights_and_state_are_those_of_the_rounds(with_system: bool) -> None:
    setting = Setting("a", "b", "burn", shares={"competitions": 1.0})
    payees = {"a": 0.1 + 0.2, "b": 1 / 3, "burn": 0.36666}
    setting.decide(payees)
    service = setting.service(*systems()[:with_system])
    for block in (900, 1_000, 1_259, 1_260):
        setting.tick(service, block)
    assert setting.chain.sets == [(900, payees), (1_260, payees)]
    assert list(map(repr, setting.chain.sets[0][1].values())) == list(map(repr, payees.values()))
    assert not any(
        setting.records.read(stream) for stream in ("emission", "payees:executor", "payees:competitions")
    )
    state: Any = setting.state
    assert set(state.steps(ROUND)) == {"payees", "weights_set"}
    assert not setting.health.problems()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("executor", "executor", "tiers", "tournaments"), "Two systems have the name 'executor'"),
        (("competitions",), "has the name 'competitions'"),
        (("weights",), "has the name 'weights'"),
        (("Exec utor",), "has the name 'Exec utor'"),
        (("executor", "tiers"), "does not run tournaments"),
    ],
)
def test_names_that_clash_and_shares_without_a_system_are_refused(names: Sequence[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Setting("a").service(*map(System, names))


def test_the_recorded_emission_says_what_burns_and_why() -> None:
    setting = Setting("a", "b", "c", "burn", shares={**SHARES, "tournaments": 0.05})
    setting.decide()
    executor, *others = systems()
    service = setting.service(executor, *others)
    setting.tick(service)
    executor.paid = "unknown"
    weights = setting.tick(service, 9_000)
    emission = recorded_emission(setting.records)
    assert emission is not None
    assert emission.weights == weights
    reasons = {system.name: emission.reason(system) for system in emission.systems}
    assert reasons == {
        "competitions": "",
        "executor": "stale: the last payees are of block 900",
        "tiers": "it pays 75.0% of its share",
        "tournaments": "nobody is paid",
    }
    assert emission.unassigned == pytest.approx(0.05)
    burns = math.fsum(map(emission.burns_of, emission.systems)) + emission.unassigned
    assert burns == pytest.approx(emission.burned) == pytest.approx(weights["burn"])
    assert all(math.fsum(row.parts.values()) == pytest.approx(row.weight) for row in emission.rows)
    text = prometheus_text({}, service="validator", problems=0, series=setting.health.all_series())
    assert 'soundsright_emission_burned{service="validator",system="executor"} 0.2' in text
    assert 'soundsright_subsystem_ready{service="validator",system="executor"} 1' in text


class Killed(BaseException):
    """The process died."""


class Fragile:
    """A port that dies before or after its n-th write."""

    def __init__(self, port: Any, names: Sequence[str], strike: Callable[[], None]) -> None:
        self._port, self._names, self._strike = port, names, strike

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if name not in self._names:
            return attribute

        def call(*arguments: Any, **options: Any) -> Any:
            self._strike()
            result = attribute(*arguments, **options)
            self._strike()
            return result

        return call


def run_on_a_private_chain(folder: Path, die_at: int) -> tuple[int, dict[int, float], Any]:
    """Two systems, of which one dies and becomes stale. The process dies at a point, and another continues."""
    points = 0

    def strike() -> None:
        nonlocal points
        points += 1
        if points == die_at:
            raise Killed

    chain = LocalChain(folder / "chain.db", entropy=seeded_block_entropy(1), block_s=12.0, now_s=lambda: 0.0)
    for hotkey in (VICTOR, "a", "b", "c", "burn"):
        chain.register(hotkey, stake=2_000.0, permit=hotkey == VICTOR)
    state = SqlState(folder / "state.db")
    setting = Setting(shares={"competitions": 0.5, "executor": 0.3, "tiers": 0.2})
    setting.chain = Fragile(chain, ("set_weights",), strike)
    setting.state = Fragile(state, ("finish_step",), strike)
    setting.records = Fragile(SqlRecords.beside(state), ("append",), strike)
    state.begin_round(ROUND, {})
    state.finish_step(ROUND, "payees", steps.PayeesStep(ROUND_PAYEES).to_facts())
    executor, tiers = System("executor"), System("tiers")

    def started() -> ValidatorService:
        service = setting.service(executor, tiers)
        for watch in service._payment._subsystems._watches:
            watch._retry.succeeded()
        service._payment._rules = replace(service._payment._rules, stale_blocks=20)
        return service

    service = started()
    for number in range(7):
        if number == 2:
            executor.fault = PeerUnavailable("No answer", code="timeout")
        if number == 3:
            tiers.paid = {"c": 1.0}
        setting.clock.sleep(1_000)
        try:
            service.tick()
        except Killed:
            service = started()
            service.tick()
        chain.advance(10)
    weights = chain.weights(VICTOR)
    emission = recorded_emission(SqlRecords.beside(state))
    assert emission is not None
    state.close()
    # A write that is repeated takes another block of this chain, so blocks can differ.
    return points, weights, [replace(system, block=None) for system in emission.systems]


@pytest.mark.slow
def test_a_validator_that_dies_at_any_write_reaches_the_same_weights(tmp_path: Path) -> None:
    def run(die_at: int) -> tuple[int, dict[int, float], Any]:
        folder = tmp_path / str(die_at)
        folder.mkdir()
        return run_on_a_private_chain(folder, die_at)

    points, weights, emission = run(0)
    assert points >= 14
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-3)
    assert [system.status for system in emission] == ["known", "stale", "known"]
    for die_at in range(1, points + 1):
        _, after, recorded = run(die_at)
        assert (after, recorded) == (weights, emission), f"died at point {die_at}"
