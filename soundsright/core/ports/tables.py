"""Three tables for services that are not rounds: records, counters and accounts.

`Records` are facts that are written once. `Counters` count what happens in an interval. `Accounts` hold money in
RAO: 1 TAO is 1e9 RAO, and an amount is always an integer. Positions are positive and grow in the order of writing.
Every write is one transaction, and repeating it is safe. Organisers who share one database share no rows.

The names, facts and amounts of every method are bounded. A value outside its bounds is a `ValueError`, and nothing
is written. `StateUnavailable` means that the database did not answer. A write may then be done or not: repeat it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from soundsright.core.canonical import canonical_json

MAX_FACTS_BYTES = 1_000_000
MAX_NAME_LENGTH = 255
MAX_STREAM_LENGTH = 64
MAX_COUNT = 2**53 - 1
"""The highest value of a counter. Every JSON reader gets integers up to it exactly."""
MAX_DELTAS = 64
MAX_RAO = 21_000_000 * 10**9
"""The highest amount and balance: all TAO that can exist."""
MAX_ROWS = 1_000
"""The highest number of rows that one call reads."""
MARKS_KEPT = 2
"""The number of closed intervals in which a repeated `Counters.add` is still recognised."""

EventKind = Literal["credit", "charge", "refund"]

_NAME = re.compile(r"[!-~]+")
_COUNTER = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class NewRecord:
    """Facts to append to a stream under a key. The facts are JSON values; names are printable ASCII.

    Raises:
        ValueError: a name is malformed or too long, or the facts are not JSON or too large.
    """

    stream: str
    key: str
    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        checked_name(self.stream, "stream", MAX_STREAM_LENGTH)
        checked_name(self.key, "key")
        canonical_facts(self.facts)


@dataclass(frozen=True)
class Record:
    """A row of a stream."""

    position: int
    stream: str
    key: str
    facts: Mapping[str, Any]


class Records(Protocol):
    """Streams of facts. A row is written once, and never changed or removed."""

    def append(self, stream: str, key: str, facts: Mapping[str, Any]) -> Record:
        """Write the facts. If the key already has the same facts, return the row that has them.

        Raises:
            RecordConflict: the key has other facts, which stay.
            ValueError: a name or the facts are outside their bounds.
            StateUnavailable: the database does not answer.
        """
        ...

    def read(self, stream: str, *, after: int = 0, limit: int = 100) -> tuple[Record, ...]:
        """The rows of a stream whose position is higher than `after`, oldest first, at most `limit`.

        A reader that continues after the last position it saw misses no row.

        Raises:
            ValueError: a name is malformed, `after` is not from 0 to `MAX_COUNT`, or `limit` is not from 1 to
                `MAX_ROWS`.
            StateUnavailable: the database does not answer.
        """
        ...

    def latest(self, stream: str, key: str | None = None) -> Record | None:
        """The row of a key, or the last row of the stream if no key is given. None if there is none.

        Raises:
            StateUnavailable: the database does not answer.
        """
        ...

    def close(self) -> None: ...


class Counters(Protocol):
    """Whole numbers that only grow until their interval is closed.

    A scope is what is counted, such as a hotkey. Each scope has counters by name, such as `attempts`.
    """

    def add(self, scope: str, deltas: Mapping[str, int], *, once: str | None = None) -> bool:
        """Add to the counters of a scope, all or none. Returns False if `once` was counted before.

        `once` names this addition within its scope. A repeat with the same name changes nothing, until `MARKS_KEPT`
        further intervals after its own are closed. Without `once`, a repeat counts again: then do not repeat a
        call that ended in `StateUnavailable`.

        Raises:
            ValueError: a name or a delta is outside its bounds, or a counter would pass `MAX_COUNT`.
            StateUnavailable: the database does not answer.
        """
        ...

    def read(self, scope: str) -> Mapping[str, int]:
        """The counters of a scope. A counter to which nothing was added is absent.

        Raises:
            StateUnavailable: the database does not answer.
        """
        ...

    def read_all(self) -> Mapping[str, Mapping[str, int]]:
        """The counters of every scope that has any.

        Raises:
            StateUnavailable: the database does not answer.
        """
        ...

    def close_interval(self, name: str, *, keep: Collection[str] = ()) -> Mapping[str, Mapping[str, int]]:
        """Archive all counters under the interval's name, set them to zero, and return what was archived.

        The three are one step. An addition is counted either in the closed interval or in the next one. Closing the
        same interval again returns the same counts and changes nothing. Therefore a caller that was killed closes
        again, and decides from the same numbers. The counters in `keep` are archived, and continue.

        Raises:
            RecordConflict: the interval was closed, and its counts were removed by `forget_intervals`.
            ValueError: a name is malformed.
            StateUnavailable: the database does not answer.
        """
        ...

    def interval(self, name: str) -> Mapping[str, Mapping[str, int]] | None:
        """The counts of a closed interval by scope, or None if no interval of this name was closed.

        Raises:
            RecordConflict: its counts were removed by `forget_intervals`.
            StateUnavailable: the database does not answer.
        """
        ...

    def forget_intervals(self, *, keep: int) -> tuple[str, ...]:
        """Remove the counts of all closed intervals except the latest `keep`. Returns the names of those removed.

        The names stay, so that an old interval cannot be closed a second time.

        Raises:
            ValueError: `keep` is not positive.
            StateUnavailable: the database does not answer.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class AccountEvent:
    """A change of one account. `balance_rao` is the balance after it.

    `purpose` is what the event is for, such as a tournament; it can be empty. `refunded` is the charge that a
    refund undoes.
    """

    position: int
    event_id: str
    kind: EventKind
    coldkey: str
    amount_rao: int
    balance_rao: int
    purpose: str = ""
    refunded: str | None = None


class Accounts(Protocol):
    """Balances of coldkeys. Each event counts once, and no balance falls below zero.

    The sum of all balances is the sum of all credits, less the charges that were not refunded. With `record`, a
    write also appends that record, in the same transaction: either both are written or none.

    Each write returns its event. A repeat with the same `event_id` and the same values returns the first event.
    """

    def credit(
        self,
        event_id: str,
        coldkey: str,
        amount_rao: int,
        *,
        purpose: str = "",
        record: NewRecord | None = None,
    ) -> AccountEvent:
        """Add to a balance. The first credit opens the account.

        Raises:
            RecordConflict: the event exists with other values, or the key of `record` is taken.
            ValueError: a name or the amount is outside its bounds, or the balance would pass `MAX_RAO`.
            StateUnavailable: the database does not answer.
        """
        ...

    def charge(
        self,
        event_id: str,
        coldkey: str,
        amount_rao: int,
        *,
        purpose: str = "",
        record: NewRecord | None = None,
    ) -> AccountEvent:
        """Take from a balance.

        Raises:
            BalanceTooLow: the balance is lower than the amount. The event was not used, and can be tried again.
            RecordConflict: the event exists with other values, or the key of `record` is taken.
            ValueError: a name or the amount is outside its bounds.
            StateUnavailable: the database does not answer.
        """
        ...

    def refund(self, event_id: str, charge_id: str, *, record: NewRecord | None = None) -> AccountEvent:
        """Give a whole charge back to the coldkey that paid it. The event has the purpose of the charge.

        Raises:
            UsageError: there is no charge `charge_id`.
            RecordConflict: the charge was refunded by another event, the event exists with other values, or the key
                of `record` is taken.
            ValueError: a name is malformed.
            StateUnavailable: the database does not answer.
        """
        ...

    def balance(self, coldkey: str) -> int:
        """The balance in RAO; 0 for a coldkey without an account.

        Raises:
            ValueError: the coldkey is malformed.
            StateUnavailable: the database does not answer.
        """
        ...

    def events(
        self, *, coldkey: str | None = None, purpose: str | None = None, after: int = 0, limit: int = 100
    ) -> tuple[AccountEvent, ...]:
        """The events of a coldkey, of a purpose, of both, or all. Positions and limits are as in `Records.read`.

        Raises:
            ValueError: a name is malformed, `after` is not from 0 to `MAX_COUNT`, or `limit` is not from 1 to
                `MAX_ROWS`.
            StateUnavailable: the database does not answer.
        """
        ...

    def close(self) -> None: ...


def canonical_facts(facts: Mapping[str, Any]) -> str:
    """The facts as canonical JSON: ASCII, sorted keys, no spaces. Equal facts give equal text.

    Raises:
        ValueError: they are not JSON, have a number that is not finite or a key that is not text, or are larger
            than `MAX_FACTS_BYTES`.

    >>> canonical_facts({"b": [1, 2.5], "a": None})
    '{"a":null,"b":[1,2.5]}'
    """
    try:
        text = canonical_json(dict(facts))
        has_text_keys = _has_text_keys(facts)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"the facts are not JSON: {error}") from error
    if len(text) > MAX_FACTS_BYTES:
        raise ValueError(f"the facts have {len(text)} bytes as JSON, more than {MAX_FACTS_BYTES}")
    if not has_text_keys:
        raise ValueError("the facts have a key that is not text")
    return text


def _has_text_keys(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _has_text_keys(item) for key, item in value.items())
    return all(map(_has_text_keys, value)) if isinstance(value, (list, tuple)) else True


def checked_name(name: str, meaning: str, max_length: int = MAX_NAME_LENGTH) -> str:
    """The name, if it is printable ASCII without spaces.

    Raises:
        ValueError: it is not, or it is too long.
    """
    if not isinstance(name, str) or len(name) > max_length or not _NAME.fullmatch(name):
        raise ValueError(
            f"the {meaning} {str(name)[:80]!r} must be 1 to {max_length} printable ASCII characters without spaces"
        )
    return name


def checked_deltas(deltas: Mapping[str, int]) -> dict[str, int]:
    """The deltas in alphabetical order of their names, without zeros.

    Raises:
        ValueError: a name is malformed, a delta is not a whole number from 0 to `MAX_COUNT`, or there are too many.
    """
    if len(deltas) > MAX_DELTAS:
        raise ValueError(f"{len(deltas)} deltas are too many: at most {MAX_DELTAS}")
    for name, delta in deltas.items():
        if not _COUNTER.fullmatch(name):
            raise ValueError(f"the counter {name[:80]!r} must be lower-case letters, digits and '_', at most 64")
        if type(delta) is not int or not 0 <= delta <= MAX_COUNT:
            raise ValueError(f"{name}={delta!r} must be a whole number from 0 to {MAX_COUNT}")
    return {name: deltas[name] for name in sorted(deltas) if deltas[name]}


def checked_amount(amount_rao: int) -> int:
    """The amount, if it is a whole number of RAO from 1 to `MAX_RAO`.

    Raises:
        ValueError: it is not.
    """
    if type(amount_rao) is not int or not 0 < amount_rao <= MAX_RAO:
        raise ValueError(f"{amount_rao!r} RAO must be a whole number from 1 to {MAX_RAO}")
    return amount_rao


def check_page(after: int, limit: int) -> None:
    """Check the position and the limit of a reader.

    Raises:
        ValueError: `after` is not from 0 to `MAX_COUNT`, or `limit` is not from 1 to `MAX_ROWS`.
    """
    if not 0 <= after <= MAX_COUNT or not 1 <= limit <= MAX_ROWS:
        raise ValueError(f"after={after}, limit={limit}: give 0 to {MAX_COUNT}, and a limit from 1 to {MAX_ROWS}")
