"""The places of a log's entries: the `Records` of a service, or the folder of a mirror."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from soundsright.core.errors import RecordConflict, StateUnavailable
from soundsright.core.ports import Records
from soundsright.services.log.entries import MAX_ENTRY_BYTES, LogEntry

_ENTRIES, _PARTS = "log-entries", "log-parts"
_PART_CHARS = 400_000
"""As JSON text inside JSON, a part has at most twice as many bytes, and fits into a record."""
ENTRIES_FILE = "entries.jsonl"


class EntryStore(Protocol):
    """Entries in order. `texts` is asked for `first` from 0 upwards, and then again for any."""

    def texts(self, first: int, limit: int) -> tuple[str, ...]:
        """The entries from index `first` on, at most `limit`. Empty if there are no more."""
        ...


class RecordStore:
    """Entries in `Records`. An entry is one row. A long text continues in other rows, which are written first."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._positions: list[int] = []

    def texts(self, first: int, limit: int) -> tuple[str, ...]:
        """The entries from index `first` on.

        Raises:
            StateUnavailable: the database does not answer, or lacks a part of an entry.
        """
        after = self._positions[first - 1] if first else 0
        rows = self._records.read(_ENTRIES, after=after, limit=limit)
        for place, row in enumerate(rows, start=first):
            if place == len(self._positions):
                self._positions.append(row.position)
        return tuple(self._text(row.facts) for row in rows)

    def add(self, entry: LogEntry) -> None:
        """Write an entry. A document that is there already stays as it was written first.

        Raises:
            StateUnavailable: the database does not answer. Then repeat the call.
        """
        first, *more = [entry.text[at : at + _PART_CHARS] for at in range(0, len(entry.text), _PART_CHARS)]
        digest = hashlib.sha256(entry.text.encode()).hexdigest()
        for number, part in enumerate(more, start=1):
            self._records.append(_PARTS, f"{digest}/{number}", {"text": part})
        try:
            self._records.append(_ENTRIES, entry.key, {"text": first, "more": len(more), "digest": digest})
        except RecordConflict:
            return  # Two signatures of one document differ from each other. The first one stays.

    def _text(self, facts: Mapping[str, Any]) -> str:
        parts = [str(facts["text"])]
        for number in range(1, int(facts["more"]) + 1):
            row = self._records.latest(_PARTS, f"{facts['digest']}/{number}")
            if row is None:
                raise StateUnavailable("The database lacks a part of the log", "Restore it from a backup.")
            parts.append(str(row.facts["text"]))
        return "".join(parts)


class FolderStore:
    """The entries of a mirror's folder, up to the size that was audited. It only reads.

    Raises:
        StateUnavailable: in `texts`, if the folder has fewer entries than were audited.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ENTRIES_FILE
        self._offsets = [0]
        self.size = 0
        """The number of entries that `texts` gives, set by the mirror from the head that it serves."""

    def texts(self, first: int, limit: int) -> tuple[str, ...]:
        """The entries from index `first` on."""
        last = min(first + limit, self.size)
        if first >= last:
            return ()
        try:
            with self._path.open("rb") as file:
                file.seek(self._offsets[first])
                lines = [_whole_line(file, index, self._path) for index in range(first, last)]
        except OSError as error:
            raise StateUnavailable(f"{self._path} cannot be read ({error.strerror})", MIRROR_AGAIN) from error
        for index, line in enumerate(lines, start=first):
            if index + 1 == len(self._offsets):
                self._offsets.append(self._offsets[index] + len(line))
        return tuple(line[:-1].decode() for line in lines)


def _whole_line(file: IO[bytes], index: int, path: Path) -> bytes:
    line = file.readline(MAX_ENTRY_BYTES + 1)
    if not line.endswith(b"\n") or not line.isascii():
        raise StateUnavailable(f"{path} has no entry {index}, which was there when it was audited", MIRROR_AGAIN)
    return line


MIRROR_AGAIN = "Remove the folder, and mirror the log again."
