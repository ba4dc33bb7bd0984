"""A validator without rounds: it sets the weights of its systems alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from soundsright.core.emission import EmissionRules
from soundsright.core.errors import ChainUnavailable, InfrastructureFault, PeerUnavailable, UsageError
from soundsright.services.validator import PayingService, PaymentContext, Subsystem
from tests.services.validator.test_payment import VICTOR, Setting, System


def service(setting: Setting, *systems: Subsystem, shares: dict[str, float] | None = None) -> PayingService:
    context = PaymentContext(
        EmissionRules(shares or {"executor": 1.0}),
        "burn",
        setting.chain,
        type("Account", (), {"address": VICTOR})(),
        setting.state,
        setting.records,
        setting.clock,
        setting.health,
        poll_s=0.01,
    )
    return PayingService(context, systems)


def test_it_sets_the_weights_of_its_system_and_shows_them() -> None:
    setting = Setting("a", "burn")
    paying = service(setting, System("executor", {"a": 0.7}))
    paying.tick()
    assert setting.chain.sets == [(900, pytest.approx({"a": 0.7, "burn": 0.3}))]
    assert paying.scores() == pytest.approx([0.0, 0.7, 0.3])
    assert setting.health.problems() == {}


def test_what_no_system_has_burns() -> None:
    setting = Setting("a", "burn")
    service(setting, System("executor", {"a": 1.0}), shares={"executor": 0.2}).tick()
    assert setting.chain.sets[-1][1] == pytest.approx({"a": 0.2, "burn": 0.8})


def test_a_share_of_the_rounds_needs_a_validator_with_rounds() -> None:
    for shares in ({"executor": 0.5, "competitions": 0.5}, {"competitions": 1.0}):
        with pytest.raises(UsageError, match="does not run competitions"):
            service(Setting("a", "burn"), System("executor"), shares=shares)


def test_a_restart_keeps_the_last_payees() -> None:
    setting = Setting("a", "burn")
    service(setting, System("executor", {"a": 1.0})).tick()
    setting.chain.sets.clear()
    service(setting, System("executor", "unknown")).tick()
    assert setting.chain.sets == [(900, {"a": 1.0})]


def test_it_runs_until_it_is_stopped_and_a_failure_of_the_chain_ends_nothing() -> None:
    setting, stop = Setting("a", "burn"), threading.Event()
    system = System("executor", {"a": 1.0})
    neurons = setting.chain.neurons
    failures: list[int] = []

    def neurons_after_a_failure() -> Any:
        if not failures:
            failures.append(1)
            raise ChainUnavailable("No block")
        stop.set()
        return neurons()

    setting.chain.neurons = neurons_after_a_failure
    service(setting, system).run(stop)
    assert setting.chain.sets == [(900, {"a": 1.0})]
    assert system.closed == 1
    assert setting.health.problems() == {}


def test_the_first_weights_are_told_and_the_chain_is_only_read() -> None:
    setting = Setting("a", "burn")
    weights = service(setting, System("executor", {"a": 0.7})).first_weights(threading.Event())
    assert weights == pytest.approx({"a": 0.7, "burn": 0.3})
    assert setting.chain.sets == []


def test_without_an_answer_there_are_no_first_weights() -> None:
    setting = Setting("a", "burn")
    system = System("executor")
    system.fault = PeerUnavailable("Nothing answers", code="timeout")
    with pytest.raises(InfrastructureFault, match="Nothing answers"):
        service(setting, system).first_weights(threading.Event())
    assert setting.chain.sets == []
