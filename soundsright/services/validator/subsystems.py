"""Other systems inside a validator, such as the executor: each is asked in turn, and none can stop another.

Blocks are counted, times are in seconds. Of each system the last payees that could be read are kept, with their
block. A system's records are in the stream `payees:NAME`; their key is the block:

    {"by_hotkey": {...}}    the payees that the system had in that block
    {"by_hotkey": null}     the first block in which the system was asked; it never had payees before

A record is written when payees change, at least every `REFRESH_BLOCKS`, and when they can no longer be read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Protocol

from soundsright.core.emission import COMPETITIONS
from soundsright.core.errors import SoundsRightError, UsageError
from soundsright.core.ports import Clock, Neuron, Records
from soundsright.ranking import KnownPayees
from soundsright.services.http import Health
from soundsright.services.validator.round import Backoff

Payees = Mapping[str, float]
"""The part of a system's share that each hotkey gets: numbers of 0 or more whose sum is at most 1."""

MAX_PAYEES = 4_096
REFRESH_BLOCKS = 300
LONGEST_PAUSE_S = 300.0

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_HOTKEY = re.compile(r"[!-~]{1,128}")
_TAKEN = frozenset(
    {"chain", "corpus", "disclosure", "disk", "emission", "endpoint", "publish", "round", "service", "start"}
    | {"weights", COMPETITIONS}
)
"""Names of problems that `/readyz` shows for other reasons."""

_log = logging.getLogger(__name__)


class Subsystem(Protocol):
    """A system that runs inside a validator, beside its rounds.

    `tick` is called in the validator's one thread every few seconds with the latest final block, so it must return
    soon: work that takes longer belongs in a thread of the system's own. It raises InfrastructureFault if something
    around it does not answer; it is then called again after a pause.

    `payees` is called after a tick that succeeded. None means that they are unknown now; the last ones count then.
    An empty mapping means that nobody is paid.
    """

    @property
    def name(self) -> str: ...
    def tick(self, finalized: int, neurons: Sequence[Neuron]) -> None: ...
    def payees(self) -> Payees | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Watched:
    """A system that never had payees, and the block since which it is asked."""

    block: int


def checked_subsystems(subsystems: Sequence[Subsystem]) -> tuple[Subsystem, ...]:
    """The systems, if each has a name of its own.

    Raises:
        UsageError: a name is taken or malformed.
    """
    names: set[str] = set()
    for subsystem in subsystems:
        name = subsystem.name
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN:
            raise UsageError(
                f"A system has the name {str(name)[:60]!r}",
                f"Use 1 to 32 lower-case letters, digits, - and _, and none of {', '.join(sorted(_TAKEN))}.",
            )
        if name in names:
            raise UsageError(f"Two systems have the name {name!r}", "Give each system a name of its own.")
        names.add(name)
    return tuple(subsystems)


def checked_payees(payees: object) -> dict[str, float]:
    """Payees as a system gave them, with their zeros removed.

    Raises:
        BadPayees: they are not a mapping of hotkeys to finite numbers of 0 or more that sum to at most 1.
    """
    if not isinstance(payees, Mapping):
        raise BadPayees(f"it is of type {type(payees).__name__}, and must be a mapping")
    if len(payees) > MAX_PAYEES:
        raise BadPayees(f"{len(payees)} hotkeys are too many; at most {MAX_PAYEES}")
    by_hotkey: dict[str, float] = {}
    for hotkey, part in payees.items():
        if not isinstance(hotkey, str) or not _HOTKEY.fullmatch(hotkey):
            raise BadPayees(f"{str(hotkey)[:60]!r} is not a hotkey")
        if isinstance(part, bool) or not isinstance(part, Real):
            raise BadPayees(f"{hotkey} gets {str(part)[:60]!r}, which is not a number")
        by_hotkey[hotkey] = float(part)
    try:
        KnownPayees(by_hotkey, block=0)
    except ValueError as error:
        raise BadPayees(str(error)) from error
    return {hotkey: part for hotkey, part in by_hotkey.items() if part > 0}


class BadPayees(ValueError):
    """A system gave payees that cannot be paid."""


class Subsystems:
    """The systems of a validator. `known` has by name what is known of each system with a share."""

    def __init__(
        self,
        subsystems: Sequence[Subsystem],
        *,
        paying: Collection[str],
        records: Records | None,
        clock: Clock,
        health: Health,
        first_pause_s: float,
    ) -> None:
        self._watches = tuple(
            _Watch(each, records if each.name in paying else None, clock, health, first_pause_s)
            for each in checked_subsystems(subsystems)
        )

    @property
    def known(self) -> dict[str, KnownPayees | Watched]:
        return {watch.name: watch.known for watch in self._watches if watch.known is not None}

    def tick(self, finalized: int, neurons: Sequence[Neuron]) -> None:
        """Ask each system whose pause is over. A system's own error is reported, and changes nothing else.

        Raises:
            StateUnavailable: what a system answered cannot be recorded.
        """
        for watch in self._watches:
            watch.tick(finalized, neurons)

    def close(self) -> None:
        """Close all systems. An error of one is logged."""
        for watch in self._watches:
            watch.close()


class _Watch:
    """One system: when it is asked again, and its last payees. With `records`, these survive a restart."""

    def __init__(
        self, subsystem: Subsystem, records: Records | None, clock: Clock, health: Health, first_pause_s: float
    ) -> None:
        self.name = subsystem.name
        self._subsystem = subsystem
        self._records = records
        self._clock = clock
        self._health = health
        self._retry = Backoff(first_s=first_pause_s, longest_s=LONGEST_PAUSE_S)
        self.known: KnownPayees | Watched | None = None
        self._recorded: KnownPayees | Watched | None = None
        if records is not None:
            self.known = self._recorded = recorded_payees(records, self.name)

    def tick(self, finalized: int, neurons: Sequence[Neuron]) -> None:
        payees = self._asked(finalized, neurons) if self._retry.is_due(self._clock.now()) else None
        if self._records is None:
            return
        if payees is not None:
            self._learned(self._records, KnownPayees(payees, finalized))
        elif self.known is None:
            self._record(self._records, Watched(finalized))
        elif self.known != self._recorded:
            # From now on they only get older, so the exact block matters.
            self._record(self._records, self.known)

    def _asked(self, finalized: int, neurons: Sequence[Neuron]) -> Payees | None:
        """The payees of the system after a tick; None if they are unknown. A failure is reported."""
        try:
            self._subsystem.tick(finalized, neurons)
            payees = self._subsystem.payees()
            if payees is None or self._is_known(payees):
                checked = payees
            else:
                checked = checked_payees(payees)
        except KeyboardInterrupt:
            raise
        except BadPayees as error:
            self._failed(f"What {self.name} wants to pay is refused: {error}. Its last payees count.")
        except SoundsRightError as error:
            self._failed(str(error))
        except BaseException as error:  # noqa: BLE001 - whatever one system raises, the others continue
            _log.exception("a system failed", extra={"action": "system_failed", "system": self.name})
            self._failed(f"{type(error).__name__}: {error}. The log has the traceback.")
        else:
            self._retry.succeeded()
            self._health.problem(self.name, None)
            self._health.series("subsystem.ready", self.name, 1)
            return checked
        return None

    def _is_known(self, payees: object) -> bool:
        """Whether these payees were checked before, which is much cheaper to see than to check them again."""
        known = self.known
        return isinstance(known, KnownPayees) and type(payees) is dict and payees == known.by_hotkey

    def _failed(self, problem: str) -> None:
        self._retry.failed(self._clock.now())
        self._health.problem(self.name, problem)
        self._health.series("subsystem.ready", self.name, 0)

    def _learned(self, records: Records, now: KnownPayees) -> None:
        before = self._recorded
        is_recent = before is not None and now.block - before.block < REFRESH_BLOCKS
        if is_recent and isinstance(before, KnownPayees) and before.by_hotkey == now.by_hotkey:
            # The same object, so that comparing it with itself costs nothing.
            self.known = replace(now, by_hotkey=before.by_hotkey)
        else:
            self._record(records, now)

    def _record(self, records: Records, known: KnownPayees | Watched) -> None:
        record_payees(records, self.name, known)
        self.known = self._recorded = known

    def close(self) -> None:
        try:
            self._subsystem.close()
        except Exception:  # noqa: BLE001 - the others are closed too
            _log.exception("a system failed to close", extra={"action": "system_failed", "system": self.name})


def recorded_payees(records: Records, name: str) -> KnownPayees | Watched | None:
    """The record of a system; None if it was never asked.

    Raises:
        UsageError: the record is damaged.
        StateUnavailable: the state does not answer.
    """
    record = records.latest(f"payees:{name}")
    return None if record is None else _known(record.key, record.facts)


def _known(key: str, facts: Mapping[str, Any]) -> KnownPayees | Watched:
    try:
        block, by_hotkey = int(key.partition("-")[0]), facts["by_hotkey"]
        return Watched(block) if by_hotkey is None else KnownPayees(checked_payees(by_hotkey), block)
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(
            f"The recorded payees of block {key[:20]} are damaged ({type(error).__name__}: {error})",
            "Restore the last backup of the state database.",
        ) from error


def record_payees(records: Records, name: str, known: KnownPayees | Watched) -> None:
    """Record what is known of a system. Writing the same again changes nothing.

    Raises:
        StateUnavailable: the state does not answer.
    """
    facts = {"by_hotkey": dict(known.by_hotkey) if isinstance(known, KnownPayees) else None}
    append_at(records, f"payees:{name}", known.block, facts)


def append_at(records: Records, stream: str, block: int, facts: Mapping[str, Any]) -> None:
    """Append facts to a stream under their block, unless its last record has the same block and facts.

    A key is written once. If the stream has a record of this block or a later one, the key is the latest block
    and a number: facts can change within a block, and another node of the chain can be some blocks behind.

    Raises:
        StateUnavailable: the state does not answer.
    """
    last = records.latest(stream)
    key = str(block)
    if last is not None:
        last_block, _, number = last.key.partition("-")
        if last.facts == facts and last_block == key:
            return
        if block <= int(last_block):
            key = f"{last_block}-{int(number or 0) + 1}"
    records.append(stream, key, facts)
