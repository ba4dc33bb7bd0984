"""The weights of a validator that pays for several systems: each system has a share of the emission.

A hotkey's weight is the sum over systems of the system's share times the hotkey's part of it. The unpaid
rest is burned. A system whose payees cannot be read keeps its last ones for a while; then its share burns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from soundsright.core.emission import STALE_BLOCKS

_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class KnownPayees:
    """The part of a system's share that each hotkey gets, and the block in which that was decided.

    The parts are 0 or more, and their sum is at most 1; the rest of the share burns.
    """

    by_hotkey: Mapping[str, float]
    block: int

    def __post_init__(self) -> None:
        _check_parts(self.by_hotkey, "the payees")

    def counts_at(self, block: int, stale_blocks: int = STALE_BLOCKS) -> bool:
        """Whether these payees still count at a block if nothing newer can be read.

        >>> payees = KnownPayees({"a": 1.0}, block=900)
        >>> payees.counts_at(8100), payees.counts_at(8101)
        (True, False)
        """
        return block - self.block <= stale_blocks


@dataclass(frozen=True)
class Emission:
    """Weights of all systems together. `burned` is the part of the emission that no hotkey gets.

    Where nothing burns, the weights sum to 1, or there are none.
    """

    by_hotkey: Mapping[str, float]
    burned: float


def combined_emission(
    shares: Mapping[str, float], payees: Mapping[str, Mapping[str, float]], *, burn: bool
) -> Emission:
    """The weight of every hotkey over all systems: the sum of share times part.

    `shares` gives each system's part of the emission; their sum is at most 1. `payees` gives by system what each
    hotkey gets of that share. A system without payees pays nobody. With `burn`, what is left burns. Without it,
    the weights are scaled to sum to 1, and are empty if nobody is paid.

    The result does not depend on the order of systems or hotkeys.

    Raises:
        ValueError: if a share or part is negative or not finite, if a sum is above 1, or if payees name a system
            that has no share.

    >>> shares = {"competitions": 0.5, "executor": 0.2, "tiers": 0.2, "tournaments": 0.1}
    >>> payees = {"competitions": {"a": 0.7, "b": 0.3}, "executor": {"a": 1.0}, "tiers": {"b": 0.5, "c": 0.25}}
    >>> emission = combined_emission(shares, payees, burn=True)
    >>> {hotkey: round(weight, 6) for hotkey, weight in emission.by_hotkey.items()}, round(emission.burned, 6)
    ({'a': 0.55, 'b': 0.25, 'c': 0.05}, 0.15)
    """
    _check_parts(shares, "the shares")
    for system, parts in payees.items():
        if system not in shares:
            raise ValueError(f"{system!r} has payees but no share of the emission")
        _check_parts(parts, f"the payees of {system!r}")
    hotkeys = sorted({hotkey for parts in payees.values() for hotkey in parts})
    weights = {
        hotkey: math.fsum(shares[system] * parts.get(hotkey, 0.0) for system, parts in payees.items())
        for hotkey in hotkeys
    }
    paid = {hotkey: weight for hotkey, weight in weights.items() if weight > 0}
    total = math.fsum(paid.values())
    if burn:
        return Emission(paid, max(0.0, 1.0 - total))
    if total == 0:
        return Emission({}, 0.0)
    return Emission({hotkey: weight / total for hotkey, weight in paid.items()}, 0.0)


def _check_parts(parts: Mapping[str, float], what: str) -> None:
    for name, part in parts.items():
        if not (math.isfinite(part) and part >= 0):
            raise ValueError(f"Among {what}, {name!r} has {part!r}; it must be a number of 0 or more")
    if math.fsum(parts.values()) > 1 + _SUM_TOLERANCE:
        raise ValueError(f"The sum of {what} is {math.fsum(parts.values()):.6g}; it must be at most 1")
