"""The owner's two lists in the API's database: the validators that may write, and the miners that are not shown.

A list is a stream of changes, and its present members follow from them. So several processes can change it at once,
and every change stays on record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from soundsright.core.errors import RecordConflict, RequestRefused, printable
from soundsright.core.ports import Records
from soundsright.core.ports.tables import MAX_ROWS

MAX_REASON = 200
"""The longest reason for a place in the blacklist, in characters."""
_MAX_MEMBERS = {"validators": 256, "blacklist": 4_096}
_TRIES = 100
_ADD, _REMOVE = "add", "remove"


@dataclass(frozen=True)
class Validator:
    """A validator that may send samples and reports. `uid` is None for one that was removed."""

    hotkey: str
    uid: int | None


class OwnerList:
    """One list by hotkey, with a value for each member. Any thread may call it.

    Each method reads the changes that other processes have made meanwhile. Every method raises `StateUnavailable`
    if the database does not answer.
    """

    def __init__(self, records: Records, name: str) -> None:
        self.name = name
        self._records = records
        self._lock = threading.Lock()
        self._members: dict[str, Any] = {}
        self._position = 0
        self._changes = 0

    def members(self) -> Mapping[str, Any]:
        """The present members with their values, in the order of their hotkeys."""
        with self._lock:
            self._read()
            return dict(sorted(self._members.items()))

    def add(self, hotkey: str, value: Any) -> bool:
        """Add a member, or give it another value. False if it has that value already.

        Raises:
            RequestRefused: `full`.
        """

        def change(members: Mapping[str, Any]) -> dict[str, Any] | None:
            if hotkey in members and members[hotkey] == value:
                return None
            if hotkey not in members and len(members) >= _MAX_MEMBERS[self.name]:
                sentence = f"The list has {len(members)} members, and takes no more; remove one first"
                raise RequestRefused("full", sentence, status=409)
            self.check(members, hotkey, value)
            return {"action": _ADD, "hotkey": hotkey, "value": value}

        return self._changed(change)

    def remove(self, hotkey: str) -> bool:
        """Remove a member. False if it is not in the list."""
        return self._changed(lambda members: {"action": _REMOVE, "hotkey": hotkey} if hotkey in members else None)

    def check(self, members: Mapping[str, Any], hotkey: str, value: Any) -> None:
        """Check that the members can get this one.

        Raises:
            RequestRefused: they cannot.
        """

    def _changed(self, change: Callable[[Mapping[str, Any]], dict[str, Any] | None]) -> bool:
        """Record the change that follows from the present members. False if none does."""
        with self._lock:
            for _ in range(_TRIES):
                self._read()
                facts = change(self._members)
                if facts is None:
                    return False
                try:
                    self._records.append(self.name, f"{self._changes:08d}", facts)
                except RecordConflict:
                    continue  # Another process made its change first, which this one has not seen.
                self._read()
                return True
        raise RequestRefused("busy", "Others change the list at the same time; try again", status=429)

    def _read(self) -> None:
        while True:
            rows = self._records.read(self.name, after=self._position, limit=MAX_ROWS)
            for row in rows:
                if row.facts["action"] == _ADD:
                    self._members[row.facts["hotkey"]] = row.facts["value"]
                else:
                    self._members.pop(row.facts["hotkey"], None)
                self._position = row.position
                self._changes += 1
            if len(rows) < MAX_ROWS:
                return


class ValidatorList(OwnerList):
    """The validators that may write, with their uids."""

    def __init__(self, records: Records) -> None:
        super().__init__(records, "validators")

    def validators(self) -> tuple[Validator, ...]:
        """The validators, in the order of their hotkeys: the rotation's order."""
        return tuple(Validator(hotkey, uid) for hotkey, uid in self.members().items())

    def check(self, members: Mapping[str, Any], hotkey: str, value: Any) -> None:
        """Check that the uid is free.

        Raises:
            RequestRefused: `uid_taken`.
        """
        holder = next((other for other, uid in members.items() if uid == value and other != hotkey), None)
        if holder is not None:
            sentence = f"The uid {value} is that of {holder}; remove that validator first, or give another uid"
            raise RequestRefused("uid_taken", sentence, status=409)


class Blacklist(OwnerList):
    """Miners that the API does not list as active, with the reason. Their scores do not change."""

    def __init__(self, records: Records) -> None:
        super().__init__(records, "blacklist")


def checked_reason(value: Any) -> str:
    """The reason for a place in the blacklist.

    Raises:
        RequestRefused: `malformed`.
    """
    if not isinstance(value, str) or len(value) > MAX_REASON or printable(value) != value:
        sentence = f"reason: give at most {MAX_REASON} printable characters on one line"
        raise RequestRefused("malformed", sentence, status=422)
    return value
