"""A validator's memory of an executor: the newest round, and the order of this period.

So a validator that was restarted refuses an older round as before, checks no round twice, and pays the same until
the period ends. Blocks are counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import UsageError
from soundsright.core.ports import Record, Records

ROUNDS = "executor:seen-rounds"
READINGS = "executor:readings"

T = TypeVar("T")


@dataclass(frozen=True)
class SeenRound:
    """A round that was checked: the SHA-256 of its signed results, and the verdict.

    `basis` describes the validator's own settings that the verdict depends on.

    Raises:
        ValueError: a value has another type.
    """

    round_id: str
    seed_block: int
    results_sha256: str
    basis: str
    reason: str
    sentence: str

    def __post_init__(self) -> None:
        texts = (self.round_id, self.results_sha256, self.basis, self.reason, self.sentence)
        if type(self.seed_block) is not int or not all(isinstance(text, str) for text in texts):
            raise ValueError("a value has another type")


@dataclass(frozen=True)
class PayableOrder:
    """The reading of one period of `every_blocks`: the part that burns, and the hotkeys to pay, best first.

    Raises:
        ValueError: a value is out of its range.
    """

    period: int
    every_blocks: int
    burn_ratio: float
    hotkeys: tuple[str, ...]

    def __post_init__(self) -> None:
        if type(self.period) is not int or type(self.every_blocks) is not int or not 0 <= self.burn_ratio <= 1:
            raise ValueError("a value is out of its range")
        if not all(isinstance(hotkey, str) for hotkey in self.hotkeys):
            raise ValueError("a hotkey is not a text")

    def payees(self, registered: Collection[str]) -> dict[str, float]:
        """The part that the burn ratio leaves, for the first hotkey that is registered; empty if none is."""
        part = 1.0 - self.burn_ratio
        first = next((hotkey for hotkey in self.hotkeys if hotkey in registered), None)
        return {first: part} if first is not None and part > 0 else {}


class SeenRounds:
    """The newest round that a validator has checked. Use one thread."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def newest(self) -> SeenRound | None:
        """The newest round; None before the first.

        Raises:
            UsageError: the record is damaged.
            StateUnavailable: the state does not answer.
        """
        return _read(self._records.latest(ROUNDS), lambda facts: SeenRound(**_of(SeenRound, facts)))

    def keep(self, seen: SeenRound) -> None:
        """Record a round that is not older than the newest one. Recording the same again changes nothing.

        Raises:
            StateUnavailable: the state does not answer.
        """
        if self.newest() != seen:
            facts = asdict(seen)
            name = hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:32]
            # A verdict that comes back after another one needs a name of its own.
            last = self._records.latest(ROUNDS)
            self._records.append(ROUNDS, f"{name}-{0 if last is None else last.position}", facts)


def last_order(records: Records) -> PayableOrder | None:
    """The order of the last period in which the table could be read; None before the first.

    Raises:
        UsageError: the record is damaged.
        StateUnavailable: the state does not answer.
    """
    return _read(
        records.latest(READINGS),
        lambda facts: PayableOrder(**{**_of(PayableOrder, facts), "hotkeys": tuple(facts["hotkeys"])}),
    )


def keep_order(records: Records, order: PayableOrder) -> None:
    """Record the order of a period. The first one of a period stays.

    Raises:
        StateUnavailable: the state does not answer.
    """
    key = f"{order.every_blocks}-{order.period}"
    if records.latest(READINGS, key) is None:
        records.append(READINGS, key, {**asdict(order), "hotkeys": list(order.hotkeys)})


def _read(record: Record | None, read: Callable[[Mapping[str, Any]], T]) -> T | None:
    if record is None:
        return None
    try:
        return read(record.facts)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"The record {record.position} of {record.stream} is damaged ({type(error).__name__}: {error})",
            "Restore the last backup of the state database.",
        ) from error


def _of(kind: type, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: facts[each.name] for each in fields(kind)}
