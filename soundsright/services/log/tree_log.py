"""A log in memory of one process: the tree over its entries, and where each document is. Any thread may use it.

The entries themselves stay in their store. About 500 bytes of memory are needed for each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from soundsright.core.errors import RequestRefused, StateUnavailable
from soundsright.core.merkle import GrowingTree
from soundsright.services.log.entries import MAX_ENTRIES, LogEntry, stored_entry
from soundsright.services.log.heads import LogHead, counted
from soundsright.services.log.stores import EntryStore, RecordStore

MAX_PAGE = 256
MAX_PAGE_BYTES = 4_000_000
"""A page ends before this size, but always has one entry."""
MAX_SHOWN = 100
"""The first documents of one signer for one round are enough as evidence."""
_READ = 16


@dataclass(frozen=True)
class LogLimits:
    """The most entries and bytes of a log, and those of one signer. No signer can fill it alone."""

    entries: int = MAX_ENTRIES
    bytes: int = 256_000_000_000
    signer_entries: int = 20_000
    signer_bytes: int = 4_000_000_000


@dataclass
class _Used:
    entries: int = 0
    bytes: int = 0


HeadMaker = Callable[[int, Callable[[], bytes]], LogHead]
"""The head of a tree of some size. It may ask for the tree's root."""


@dataclass(frozen=True)
class Appended:
    """An entry that is in the log. `others` are other documents of its signer for the same round, by index."""

    index: int
    is_new: bool
    others: tuple[int, ...]


@dataclass(frozen=True)
class Equivocation:
    """Different documents of one kind that one signer signed for one round."""

    kind: str
    signer: str
    round: str
    indexes: tuple[int, ...]


@dataclass(frozen=True)
class InclusionProof:
    """The proof that the entry at `index` is in the tree of `size` entries."""

    index: int
    size: int
    leaf: bytes
    hashes: tuple[bytes, ...]


class TransparencyLog:
    """The tree over the entries of a store.

    Raises:
        StateUnavailable: in every method that reads entries, if the store cannot be read.
    """

    def __init__(self, store: EntryStore, heads: HeadMaker) -> None:
        self._store = store
        self._heads = heads
        self._lock = threading.RLock()
        self._tree = GrowingTree()
        self._lengths: list[int] = []
        self._indexes: dict[str, int] = {}
        self._by_document: dict[str, int] = {}
        self._single: dict[tuple[str, str, str], list[int]] = {}
        self._bytes = 0
        self._used: dict[str, _Used] = {}

    def refresh(self) -> None:
        """Read the entries that the store got since the last time."""
        with self._lock:
            while texts := self._store.texts(len(self._tree), _READ):
                for text in texts:
                    try:
                        self._index(stored_entry(text))
                    except ValueError as error:
                        raise StateUnavailable(str(error).capitalize(), "Restore the log from a backup.") from error

    @property
    def size(self) -> int:
        """The number of entries that were read."""
        with self._lock:
            return len(self._tree)

    def head(self) -> LogHead:
        """The head of all entries."""
        with self._lock:
            self.refresh()
            size = len(self._tree)
            return self._heads(size, lambda: self._tree.root(size))

    def entries(self, start: int, end: int) -> tuple[str, ...]:
        """The entries from `start` up to, and not including, `end`. The page may end earlier, but is never empty.

        Raises:
            RequestRefused: `no_entry` or `malformed`.
        """
        with self._lock:
            size = self._known(start)
            if end <= start:
                raise RequestRefused("malformed", "end must be higher than start", status=422)
            last, length = start, 0
            while last < min(end, size, start + MAX_PAGE):
                length += self._lengths[last]
                if last > start and length > MAX_PAGE_BYTES:
                    break
                last += 1
            return self._store.texts(start, last - start)

    def inclusion(self, index: int, size: int | None = None) -> InclusionProof:
        """The proof of one entry, in the tree of all entries or in that of the first `size`.

        Raises:
            RequestRefused: `no_entry`.
        """
        with self._lock:
            known = self._known(index)
            size = known if size is None else size
            if not index < size <= known:
                raise RequestRefused(
                    "no_entry", f"The log never had {size} entries with an entry {index}", status=404
                )
            return InclusionProof(index, size, self._tree.leaf(index), self._tree.inclusion(index, size))

    def index_of(self, sha256: str) -> int:
        """The index of the first entry whose document has that SHA-256.

        Raises:
            RequestRefused: `no_entry`.
        """
        with self._lock:
            self.refresh()
            index = self._by_document.get(sha256)
        if index is None:
            raise RequestRefused("no_entry", "The log has no document of that SHA-256", status=404)
        return index

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """The proof that the tree of `first` entries became that of `second`.

        Raises:
            RequestRefused: `no_entry`.
        """
        with self._lock:
            self.refresh()
            if not 0 < first <= second <= len(self._tree):
                raise RequestRefused(
                    "no_entry", f"The log did not grow from {first} to {second} entries", status=404
                )
            return self._tree.consistency(first, second)

    def equivocations(self, limit: int = 1_000) -> tuple[Equivocation, ...]:
        """The signers who signed different documents for one round, in the order of their first document."""
        with self._lock:
            self.refresh()
            found = (key for key, indexes in self._single.items() if len(indexes) > 1)
            return tuple(Equivocation(*key, tuple(self._single[key][:MAX_SHOWN])) for key in islice(found, limit))

    def _known(self, index: int) -> int:
        """The size of the tree, once it has that entry."""
        if not 0 <= index < len(self._tree):
            self.refresh()
        if not 0 <= index < len(self._tree):
            raise RequestRefused(
                "no_entry", f"The log has {counted(len(self._tree))} and no entry {index}", status=404
            )
        return len(self._tree)

    def _index(self, entry: LogEntry) -> None:
        index = len(self._tree)
        self._tree.append(entry.leaf)
        self._lengths.append(len(entry.text))
        self._bytes += len(entry.text)
        used = self._used.setdefault(entry.signer, _Used())
        used.entries += 1
        used.bytes += len(entry.text)
        self._indexes.setdefault(entry.key, index)
        self._by_document.setdefault(entry.sha256, index)
        if entry.single is not None:
            self._single.setdefault(entry.single, []).append(index)


class OwnLog(TransparencyLog):
    """A log that takes entries."""

    def __init__(self, store: RecordStore, heads: HeadMaker, limits: LogLimits | None = None) -> None:
        super().__init__(store, heads)
        self._limits = limits or LogLimits()
        self._own = store

    def append(self, entry: LogEntry) -> Appended:
        """Add an entry, or return the one that has the same document of the same signer.

        Raises:
            RequestRefused: `full`, or `signer_full` if its signer has all the room that one signer gets.
            StateUnavailable: the store cannot be written. Repeating the call is safe.
        """
        with self._lock:
            self.refresh()
            is_new = entry.key not in self._indexes
            if is_new:
                self._check_room(entry)
                self._own.add(entry)
                self.refresh()
            index = self._indexes[entry.key]
            same = [] if entry.single is None else self._single.get(entry.single, [])
            return Appended(index, is_new, tuple(each for each in same[:MAX_SHOWN] if each != index))

    def _check_room(self, entry: LogEntry) -> None:
        limits, size = self._limits, len(entry.text)
        if len(self._tree) >= limits.entries or self._bytes + size > limits.bytes:
            raise RequestRefused("full", f"The log is full, with {counted(len(self._tree))}", status=409)
        used = self._used.get(entry.signer, _Used())
        if used.entries >= limits.signer_entries or used.bytes + size > limits.signer_bytes:
            raise RequestRefused(
                "signer_full",
                f"The log has {counted(used.entries)} of this signer, and no room for more of it",
                status=409,
            )
