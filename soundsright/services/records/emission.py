"""The weights of all systems together, as a validator records them for its pages, and in words.

Shares, parts and weights are fractions; blocks are counted. The stream `emission` has a record for each change.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.emission import COMPETITIONS
from soundsright.core.errors import UsageError
from soundsright.core.ports import Records
from soundsright.ranking import Emission, combined_emission

EMISSION_STREAM = "emission"


class PayeesStatus(StrEnum):
    """The knowledge of a system: its payees count, they are too old, or it never had any."""

    KNOWN = "known"
    STALE = "stale"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class SystemPayees:
    """A system, its share, and the part of the share that each hotkey gets; none unless the payees count.

    `block` is the block of the last payees if these are too old.
    """

    name: str
    share: float
    by_hotkey: Mapping[str, float]
    status: PayeesStatus = PayeesStatus.KNOWN
    block: int | None = None


@dataclass(frozen=True)
class PaidHotkey:
    """A hotkey's weight, and the part of it that each system gives."""

    hotkey: str
    weight: float
    parts: Mapping[str, float]


@dataclass(frozen=True)
class RecordedEmission:
    """The emission since a block. `burn_hotkey` gets what burns; it is empty if there is none.

    >>> executor = SystemPayees("executor", 0.5, {"a": 0.5})
    >>> emission = RecordedEmission(7, (executor,), burn_hotkey="burn")
    >>> emission.weights, emission.burns_of(executor), emission.unassigned
    ({'a': 0.25, 'burn': 0.75}, 0.25, 0.5)
    """

    block: int
    systems: tuple[SystemPayees, ...]
    burn_hotkey: str = ""

    @cached_property
    def combined(self) -> Emission:
        """The weights without what burns."""
        return combined_emission(
            {system.name: system.share for system in self.systems},
            {system.name: system.by_hotkey for system in self.systems},
            burn=bool(self.burn_hotkey),
        )

    @cached_property
    def weights(self) -> dict[str, float]:
        """The weights by hotkey, with what burns. They sum to 1, or are empty."""
        weights = dict(self.combined.by_hotkey)
        if self.combined.burned > 0:
            weights[self.burn_hotkey] = weights.get(self.burn_hotkey, 0.0) + self.combined.burned
        return weights

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the weights, which changes exactly if they do."""
        return hashlib.sha256(canonical_json(self.weights).encode()).hexdigest()

    @property
    def unassigned(self) -> float:
        """The part of the emission that no system has."""
        return max(0.0, 1.0 - math.fsum(system.share for system in self.systems))

    def burns_of(self, system: SystemPayees) -> float:
        """The part of the emission that burns because this system does not pay it."""
        paid = math.fsum(part for hotkey, part in system.by_hotkey.items() if hotkey != self.burn_hotkey)
        left = system.share * max(0.0, 1.0 - paid)
        return left if self.burn_hotkey and left > 1e-12 else 0.0

    def reason(self, system: SystemPayees) -> str:
        """Why a part of the system's share is not paid; empty if all of it is."""
        paid = math.fsum(part for hotkey, part in system.by_hotkey.items() if hotkey != self.burn_hotkey)
        if system.status is PayeesStatus.STALE:
            return f"stale: the last payees are of block {system.block}"
        if system.status is PayeesStatus.UNKNOWN:
            return "its payees were never known"
        if paid == 0:
            return "nobody is paid"
        return "" if paid > 1 - 1e-9 else f"it pays {paid:.1%} of its share"

    @property
    def rows(self) -> tuple[PaidHotkey, ...]:
        """A row for each hotkey that is paid, with its parts; the largest weight comes first."""
        given = math.fsum(system.share * part for system in self.systems for part in system.by_hotkey.values())
        scale = 1.0 if self.burn_hotkey or given == 0 else 1.0 / given
        rows = [
            PaidHotkey(
                hotkey,
                weight,
                {s.name: scale * s.share * s.by_hotkey[hotkey] for s in self.systems if hotkey in s.by_hotkey},
            )
            for hotkey, weight in self.combined.by_hotkey.items()
            if hotkey != self.burn_hotkey
        ]
        return tuple(sorted(rows, key=lambda row: (-row.weight, row.hotkey)))

    @property
    def burned(self) -> float:
        """The weight of the burn hotkey."""
        return self.weights.get(self.burn_hotkey, 0.0) if self.burn_hotkey else 0.0

    def facts(self) -> dict[str, Any]:
        """The fields as JSON values, without the block, which is in the record's key."""
        return {"burn_hotkey": self.burn_hotkey, "systems": [asdict(system) for system in self.systems]}

    @classmethod
    def of(cls, key: str, facts: Mapping[str, Any]) -> RecordedEmission:
        """The emission of a record.

        Raises:
            UsageError: the record is damaged.
        """
        try:
            systems = tuple(
                SystemPayees(
                    str(row["name"]),
                    float(row["share"]),
                    {str(hotkey): float(part) for hotkey, part in row["by_hotkey"].items()},
                    PayeesStatus(row["status"]),
                    row["block"],
                )
                for row in facts["systems"]
            )
            emission = cls(int(key.partition("-")[0]), systems, str(facts["burn_hotkey"]))
            emission.combined  # noqa: B018 - checks the numbers
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(
                f"The recorded emission {key[:20]} is damaged ({type(error).__name__}: {error})",
                "Restore the last backup of the state database.",
            ) from error
        return emission

    def shown_fields(self) -> dict[str, Any]:
        """The emission as JSON values, for pages and programs."""
        return {
            "block": self.block,
            "digest": self.digest,
            "burn_hotkey": self.burn_hotkey,
            "burned": self.burned,
            "unassigned": self.unassigned,
            "systems": [
                {
                    "name": system.name,
                    "share": system.share,
                    "status": system.status,
                    "burned": self.burns_of(system),
                    "reason": self.reason(system),
                }
                for system in self.systems
            ],
            "hotkeys": [asdict(row) for row in self.rows],
        }


def recorded_emission(records: Records) -> RecordedEmission | None:
    """The last recorded emission; None if a validator recorded none.

    Raises:
        UsageError: the record is damaged.
        StateUnavailable: the state does not answer.
    """
    record = records.latest(EMISSION_STREAM)
    return None if record is None else RecordedEmission.of(record.key, record.facts)


def emission_of_rounds(by_hotkey: Mapping[str, float]) -> RecordedEmission:
    """The emission of a validator whose rounds have everything."""
    return RecordedEmission(0, (SystemPayees(COMPETITIONS, 1.0, by_hotkey),))


def emission_sentence(emission: RecordedEmission) -> str:
    """One sentence on what burns."""
    if not emission.weights:
        return "Nobody is paid, and there is no burn hotkey, so no weights are set."
    if not emission.burn_hotkey:
        return "Nothing burns, because there is no burn hotkey: the weights are scaled to 100 %."
    return f"{emission.burned:.2%} burns at {emission.burn_hotkey}."


def unpaid_lines(emission: RecordedEmission) -> Sequence[tuple[str, float, str]]:
    """The unpaid parts, as (system, part of the emission, reason)."""
    lines = [(s.name, emission.burns_of(s), reason) for s in emission.systems if (reason := emission.reason(s))]
    if emission.unassigned > 1e-12:
        lines.append(("no system", emission.unassigned if emission.burn_hotkey else 0.0, "this share is not given"))
    return lines
