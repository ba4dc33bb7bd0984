"""The callers of a prover: by permit, by registration and by stake."""

from __future__ import annotations

import pytest

from soundsright.core.errors import RequestRefused
from soundsright.core.ports import Neuron
from soundsright.services.prover import CallerRules, PermittedCallers


class Chain:
    readings = 0

    def neurons(self) -> tuple[Neuron, ...]:
        self.readings += 1
        return (
            Neuron(0, "validator", 1, stake=500.0, permit=True),
            Neuron(1, "miner", 1, stake=50.0),
        )


def answered(rules: CallerRules) -> dict[str, str]:
    callers = PermittedCallers(Chain(), rules)  # type: ignore[arg-type]

    def outcome(hotkey: str) -> str:
        try:
            callers.check(hotkey)
        except RequestRefused as refused:
            return refused.code
        return "ok"

    return {hotkey: outcome(hotkey) for hotkey in ("validator", "miner", "stranger")}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (CallerRules(), ("ok", "no_permit", "no_permit")),
        (CallerRules(force_permit=False), ("ok", "ok", "no_permit")),
        (CallerRules(force_permit=False, min_stake=100), ("ok", "low_stake", "no_permit")),
        (CallerRules(force_permit=False, allow_non_registered=True), ("ok", "ok", "ok")),
        (CallerRules(allow_non_registered=True), ("ok", "no_permit", "no_permit")),
        (CallerRules(min_stake=1_000), ("low_stake", "no_permit", "no_permit")),
        (CallerRules(named=("stranger",)), ("ok", "no_permit", "ok")),
    ],
)
def test_the_rules_say_who_may_call(rules: CallerRules, expected: tuple[str, ...]) -> None:
    assert tuple(answered(rules).values()) == expected


def test_strangers_cause_one_reading_of_the_chain() -> None:
    chain = Chain()
    callers = PermittedCallers(chain, CallerRules())  # type: ignore[arg-type]
    for number in range(50):
        with pytest.raises(RequestRefused):
            callers.check(f"stranger-{number}")
    assert chain.readings == 1
