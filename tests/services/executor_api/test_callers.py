"""The hotkeys that may call: validators of the chain or of a list, and always the owner."""

from __future__ import annotations

import pytest

from soundsright.core.errors import ChainUnavailable, RequestRefused
from soundsright.core.ports import Neuron
from soundsright.services.executor_api import PermittedValidators


class Permits:
    """The part of a chain that says who has a permit, and how often it was asked."""

    def __init__(self, *permitted: str) -> None:
        self.permitted = permitted
        self.is_down = False
        self.readings = 0

    def neurons(self) -> tuple[Neuron, ...]:
        return (
            Neuron(0, "miner", 1),
            *(Neuron(n, hotkey, 1, permit=True) for n, hotkey in enumerate(self.permitted, 1)),
        )

    def owner(self) -> str | None:
        self.readings += 1
        if self.is_down:
            raise ChainUnavailable("The chain is down")
        return "owner"


class Watch:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def may_call(validators: PermittedValidators, hotkey: str) -> bool:
    try:
        validators.check(hotkey)
    except RequestRefused as refused:
        return (refused.code, refused.status) != ("no_permit", 403)
    return True


def test_every_hotkey_with_a_permit_may_call_and_the_owner() -> None:
    validators = PermittedValidators(Permits("victor"))  # type: ignore[arg-type]
    assert [may_call(validators, name) for name in ("victor", "owner", "miner", "eve")] == [
        True,
        True,
        False,
        False,
    ]


def test_named_hotkeys_replace_the_permits_but_not_the_owner() -> None:
    validators = PermittedValidators(Permits("victor"), ["named"])  # type: ignore[arg-type]
    assert [may_call(validators, name) for name in ("named", "owner", "victor")] == [True, True, False]


def test_a_new_permit_counts_soon_and_a_lost_one_no_longer() -> None:
    chain, watch = Permits("victor"), Watch()
    validators = PermittedValidators(chain, monotonic_s=watch)  # type: ignore[arg-type]
    assert may_call(validators, "victor")
    chain.permitted = ("vera",)
    watch.now_s += 13
    assert may_call(validators, "vera")
    watch.now_s += 61
    assert not may_call(validators, "victor")


def test_strangers_cause_one_reading_in_twelve_seconds() -> None:
    chain, watch = Permits("victor"), Watch()
    validators = PermittedValidators(chain, monotonic_s=watch)  # type: ignore[arg-type]
    for number in range(50):
        assert not may_call(validators, f"eve{number}")
    assert chain.readings == 1


def test_the_last_permits_count_while_the_chain_is_away() -> None:
    chain, watch = Permits("victor"), Watch()
    validators = PermittedValidators(chain, monotonic_s=watch)  # type: ignore[arg-type]
    assert may_call(validators, "victor")
    chain.is_down = True
    watch.now_s += 10_000
    assert may_call(validators, "victor")
    assert not may_call(validators, "eve")


def test_nobody_is_refused_for_permits_that_were_never_read() -> None:
    chain, watch = Permits("victor"), Watch()
    chain.is_down = True
    validators = PermittedValidators(chain, monotonic_s=watch)  # type: ignore[arg-type]
    for _ in range(3):
        with pytest.raises(ChainUnavailable):
            validators.check("victor")
    assert chain.readings == 1
    chain.is_down = False
    watch.now_s += 13
    assert may_call(validators, "victor")
