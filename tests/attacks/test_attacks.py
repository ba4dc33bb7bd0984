"""Every attack is played in real rounds: it earns no more than the honest model, and the champion loses nothing."""

from __future__ import annotations

import pytest

from soundsright.core.errors import UsageError
from soundsright.testing.attacks import ATTACKS, Arena, attack_by_name

SLOW = {"sybil-remainder", "holm-stuffing"}
"""Their rounds have tens or hundreds of entries; `soundsright simulate --attack` plays them. Here fewer enter."""


@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS if attack.name not in SLOW])
def test_the_attack_does_not_pay(arena: Arena, name: str) -> None:
    measured = arena.measured(attack_by_name(name), rounds=1)
    assert measured.gain.mean <= 1e-9, f"{measured.earned.mean} in place of {measured.start.mean}"
    assert measured.loss.mean <= 1e-9
    assert not measured.broken


@pytest.mark.parametrize(
    ("name", "constant", "entries"), [("sybil-remainder", "SYBILS", 3), ("holm-stuffing", "JUNK", 12)]
)
def test_an_attack_with_many_entries_does_not_pay_with_fewer(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, name: str, constant: str, entries: int
) -> None:
    monkeypatch.setattr(f"soundsright.testing.attacks.prize_attacks.{constant}", entries)
    measured = arena.measured(attack_by_name(name), rounds=1)
    assert measured.gain.mean <= 1e-9, f"{measured.earned.mean} in place of {measured.start.mean}"
    assert measured.loss.mean <= 1e-9


@pytest.mark.parametrize("name", ["parrot", "harvest", "stealth-parrot-10"])
def test_the_attack_paid_before(arena_before: Arena, name: str) -> None:
    """Otherwise the tests above would pass because the attack does nothing."""
    measured = arena_before.measured(attack_by_name(name), rounds=1)
    assert measured.gain.mean > 5
    assert measured.loss.mean > 5


def test_an_unknown_attack_names_the_list() -> None:
    with pytest.raises(UsageError, match="--attack list"):
        attack_by_name("magic")
