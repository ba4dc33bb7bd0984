"""Three validators with a bucket each, and one machine that reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.adapters.peers import valid_signature
from soundsright.core.errors import BucketUnavailable
from soundsright.core.ports import Bucket, ETag, Records, StoredObject
from soundsright.services.federation import (
    BucketReader,
    Contents,
    FirstSeen,
    Mirror,
    ReadVerdict,
    TaskFacts,
    VerdictReader,
    ViewReader,
)
from soundsright.testing import MemoryRecords, VirtualClock
from tests.services.federation.published import ADDRESSES


@dataclass
class Watched:
    """A bucket that counts its reads. `fault` may raise for a key or give another content."""

    inner: Bucket
    fault: Callable[[str], bytes | None] = lambda key: None
    reads: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str, max_bytes: int) -> bytes:
        with self._lock:
            self.reads.append(key)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            instead = self.fault(key)
            return self.inner.get(key, max_bytes) if instead is None else instead
        finally:
            with self._lock:
                self.at_once -= 1

    def put(self, key: str, data: bytes, create: bool = False) -> ETag:
        return self.inner.put(key, data, create)

    def head(self, key: str) -> StoredObject:
        return self.inner.head(key)

    def list(self, prefix: str, max_keys: int) -> tuple[StoredObject, ...]:
        return self.inner.list(prefix, max_keys)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def presigned(self, key: str, seconds: int) -> str | None:
        return self.inner.presigned(key, seconds)


def away(key: str) -> bytes | None:
    """The fault of a bucket whose service does not answer."""
    raise BucketUnavailable(f"{key} is away")


@dataclass
class Machine:
    """One validator: its disk, its state, and the readers over the buckets of all."""

    folder: Path
    buckets: Mapping[str, Bucket]
    own: str = ADDRESSES[0]
    records: Records = field(default_factory=MemoryRecords)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new process on the same disk and state."""
        self.contents = Contents(self.folder / "contents")
        self.seen = FirstSeen(self.records)
        self.objects = BucketReader(self.buckets, self.clock)
        self.verdicts = VerdictReader(self.objects, self.contents, self.seen, valid_signature=valid_signature)
        self.mirror = Mirror(self.buckets[self.own], self.objects, self.contents)
        self.views = ViewReader(self.objects, self.mirror, self.contents, valid_signature=valid_signature)

    def read(
        self, wanted: Iterable[tuple[TaskFacts, str]], finalized: int = 10**6
    ) -> Mapping[tuple[int, str], ReadVerdict]:
        return self.verdicts.read(wanted, finalized=finalized)


def folders(root: Path) -> dict[str, Watched]:
    """A bucket in a folder for each validator."""
    return {
        hotkey: Watched(FolderBucket(new_bucket_folder(root / hotkey), own=number == 0))
        for number, hotkey in enumerate(ADDRESSES)
    }
