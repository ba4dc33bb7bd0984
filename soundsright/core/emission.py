"""An organiser's shares of the emission: which part of it each system of a subnet pays out.

Shares are fractions of a validator's whole weight; their sum is at most 1. Blocks are counted.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import UsageError

COMPETITIONS = "competitions"
"""The system of the rounds: their last weights are its payees."""
SYSTEMS = (COMPETITIONS, "executor", "federation", "tiers", "tournaments")
"""The names of the systems that can have a share."""
STALE_BLOCKS = 7_200
"""Number of blocks for which a system's last payees count while newer ones cannot be read: a day of 12 s blocks."""
MAX_STALE_BLOCKS = 100_000_000

_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class EmissionRules:
    """Each system's share of the emission, and how long payees count that cannot be read again.

    What no system has burns.

    Raises:
        UsageError: a share is negative or not finite, their sum is above 1, no system has any, a name is none of
            `SYSTEMS`, or `stale_blocks` is not from 1 to `MAX_STALE_BLOCKS`.

    >>> EmissionRules({"competitions": 0.5, "executor": 0.2}).digest[:12]
    '2000fcaded06'
    >>> EmissionRules().is_default
    True
    """

    shares: Mapping[str, float] = field(default_factory=lambda: {COMPETITIONS: 1.0})
    stale_blocks: int = STALE_BLOCKS

    def __post_init__(self) -> None:
        for name, share in self.shares.items():
            if name not in SYSTEMS:
                raise UsageError(f"{name!r} is no system", f"Choose from {', '.join(SYSTEMS)}.")
            if not (math.isfinite(share) and share >= 0):
                raise UsageError(f"{name} has the share {share!r}", "Write a number from 0 to 1.")
        total = math.fsum(self.shares.values())
        if total > 1 + _SUM_TOLERANCE:
            raise UsageError(f"the shares sum to {total:.6g}", "Lower them to at most 1.")
        if total == 0:
            raise UsageError("no system has a share", f"Write at least one, such as {COMPETITIONS} = 1.0.")
        if not 1 <= self.stale_blocks <= MAX_STALE_BLOCKS:
            raise UsageError(
                f"stale_blocks is {self.stale_blocks}", f"Write a number of blocks from 1 to {MAX_STALE_BLOCKS}."
            )

    @property
    def paying(self) -> Mapping[str, float]:
        """The shares above 0, in the order of `SYSTEMS`."""
        return {name: self.shares[name] for name in SYSTEMS if self.shares.get(name)}

    @property
    def is_default(self) -> bool:
        """Whether the rounds get everything."""
        return self.paying == {COMPETITIONS: 1.0}

    @property
    def unassigned(self) -> float:
        """The part of the emission that no system has."""
        return max(0.0, 1.0 - math.fsum(self.shares.values()))

    @property
    def canonical_json(self) -> str:
        """The shares above 0 and `stale_blocks` as JSON with sorted keys and no spaces."""
        facts = {"shares": self.paying, "stale_blocks": self.stale_blocks}
        return canonical_json(facts)

    @property
    def digest(self) -> str:
        """The SHA-256 of `canonical_json`, which identifies the rules."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()


DEFAULT_EMISSION = EmissionRules()
"""The rounds get everything."""
