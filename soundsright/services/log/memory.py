"""The memory of an audit: the last head that was checked, and what goes on from there.

It is one JSON file. A mirror has it beside its entries, so that the next audit and a server of the mirror know how
many of them were checked.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import LogRefused, StateUnavailable, UsageError
from soundsright.core.merkle import Frontier
from soundsright.services.log.entries import MAX_ENTRIES, LogEntry
from soundsright.services.log.heads import MAX_HEAD_BYTES, LogHead, open_head
from soundsright.services.log.stores import ENTRIES_FILE, MIRROR_AGAIN, FolderStore
from soundsright.services.log.tree_log import MAX_SHOWN, TransparencyLog
from soundsright.services.records import ValidSignature, write_json

MEMORY_FILE = "audit.json"
_SCHEMA = "soundsright.log-audit/1"
_MAX_BYTES = 400_000_000
_REMEDY = "Remove the file to check the log from its first entry."


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["soundsright.log-audit/1"] = Field(alias="schema")
    head: Annotated[str, Field(max_length=MAX_HEAD_BYTES)]
    nodes: list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
    bytes_: Annotated[int, Field(alias="bytes", ge=0)]
    single: list[tuple[str, str, str, list[Annotated[int, Field(ge=0, lt=MAX_ENTRIES)]]]]


@dataclass
class AuditMemory:
    """The checked part of a log. `edge` is that of the tree at `head`, `bytes` the size of the mirror's entries.

    `single` has the entries of which a signer should have one for each round, by kind, signer and round.
    """

    head: LogHead | None = None
    edge: Frontier = field(default_factory=Frontier)
    bytes: int = 0
    single: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of entries that were checked."""
        return 0 if self.head is None else self.head.size

    def add(self, entry: LogEntry) -> bool:
        """Take the next entry. Returns whether its signer had signed another document for the same round."""
        index = self.edge.size
        self.edge.append(entry.leaf)
        self.bytes += len(entry.text) + 1
        if entry.single is None:
            return False
        indexes = self.single.setdefault(entry.single, [])
        if len(indexes) < MAX_SHOWN:
            indexes.append(index)
        return len(indexes) > 1


def read_memory(path: Path, *, valid_signature: ValidSignature) -> AuditMemory:
    """The memory in a file; an empty one if there is no such file.

    Raises:
        UsageError: the file cannot be used.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path} is not the memory of an audit", _REMEDY)
        found = _File.model_validate_json(path.read_bytes())
        head = open_head(found.head.encode(), valid_signature=valid_signature)
        edge = Frontier(head.size, [bytes.fromhex(node) for node in found.nodes])
    except FileNotFoundError:
        return AuditMemory()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", _REMEDY) from error
    except (ValidationError, ValueError, LogRefused) as error:
        raise UsageError(f"{path} is not the memory of an audit", _REMEDY) from error
    if edge.root() != head.root:
        raise UsageError(f"{path} has nodes that do not belong to its head", _REMEDY)
    return AuditMemory(head, edge, found.bytes_, {(a, b, c): indexes for a, b, c, indexes in found.single})


def write_memory(path: Path, memory: AuditMemory) -> None:
    """Write the whole memory or nothing. It needs a head.

    Raises:
        InfrastructureFault: the disk is full or not writable.
    """
    assert memory.head is not None
    write_json(
        path,
        {
            "schema": _SCHEMA,
            "head": memory.head.envelope,
            "nodes": [node.hex() for node in memory.edge.nodes],
            "bytes": memory.bytes,
            "single": [[*key, indexes] for key, indexes in memory.single.items()],
        },
    )


class MirrorLog(TransparencyLog):
    """A mirror that is served again, with the signed head of its log. It follows the audits of its folder.

    Raises:
        UsageError: the folder is not a mirror.
        StateUnavailable: in every method, if the entries are not those of the head.
    """

    def __init__(self, folder: Path, *, valid_signature: ValidSignature) -> None:
        self._folder_store = FolderStore(folder)
        super().__init__(self._folder_store, self._stored_head)
        self._memory_path = folder / MEMORY_FILE
        self._valid_signature = valid_signature
        self._stamp = (-1, -1)
        self._head, _ = self._read_head()
        if self._head is None:
            raise UsageError(
                f"{folder} is not a mirror of a log", "Make one: soundsright log audit URL --mirror FOLDER"
            )

    def refresh(self) -> None:
        """Read what an audit added since the last time."""
        with self._lock:
            try:
                found, stamp = self._read_head()
            except UsageError as error:
                raise StateUnavailable(error.problem, error.remedy) from error
            head = found or self._head
            assert head is not None
            self._folder_store.size = head.size
            super().refresh()
            if len(self._tree) != head.size or self._tree.root(head.size) != head.root:
                raise StateUnavailable("The entries of the mirror are not those of its head", MIRROR_AGAIN)
            self._head, self._stamp = head, stamp

    def _read_head(self) -> tuple[LogHead | None, tuple[int, int]]:
        """The head of the last audit, or None if that was used before or there is none; and the file's stamp."""
        try:
            found = self._memory_path.stat()
        except OSError:
            return None, self._stamp
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp:
            return None, stamp
        memory = read_memory(self._memory_path, valid_signature=self._valid_signature)
        return memory.head, stamp

    def _stored_head(self, _size: int, _root: Callable[[], bytes]) -> LogHead:
        assert self._head is not None
        return self._head


class MirrorWriter:
    """Adds entries to a mirror's folder. One process at a time may do so.

    Raises:
        UsageError: the folder cannot be written, or another process mirrors into it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ENTRIES_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise
        except BlockingIOError as error:
            raise UsageError(f"Another process mirrors into {folder}", "Wait until it ends.") from error
        except OSError as error:
            raise UsageError(f"{folder} cannot be written ({error.strerror})", "Give another folder.") from error

    def resume(self, memory: AuditMemory) -> None:
        """Remove the entries after the last audit.

        Raises:
            UsageError: the folder has fewer entries than its audit says.
        """
        if self._file.seek(0, os.SEEK_END) < memory.bytes:
            raise UsageError(f"{self._path} is shorter than its last audit says", MIRROR_AGAIN)
        self._file.truncate(memory.bytes)

    def add(self, text: str) -> None:
        """Write an entry."""
        self._file.write(text.encode() + b"\n")

    def flush(self) -> None:
        """Flush all entries to the disk, before the memory counts them."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
