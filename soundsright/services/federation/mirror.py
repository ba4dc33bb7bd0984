"""Copies of peers' documents in the own bucket, and reading a document from its author or from any copy.

What a validator lists in its view it also serves. So a verdict that a majority has read stays readable, even if its
author's bucket goes away. A copy is named by its document's digest, so it is right or it is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from soundsright.core.errors import InfrastructureFault
from soundsright.core.ports import Bucket
from soundsright.services.federation.bucket_reader import BucketReader, ObjectOf, TooLarge
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.object_keys import mirror_key

MAX_MIRRORED = 1_000_000


@dataclass(frozen=True)
class Sought:
    """A document by its digest, and the places to look for it: its author's object, then copies of these owners."""

    digest: str
    max_bytes: int
    original: ObjectOf | None = None
    mirrors: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[ObjectOf, ...]:
        """All places in the order in which they are asked."""
        copies = (ObjectOf(owner, mirror_key(self.digest), self.max_bytes) for owner in self.mirrors)
        return (*(() if self.original is None else (self.original,)), *copies)


class Mirror:
    """Serves documents of `contents` in the bucket `own`, and fetches others through `reader`. Use one thread."""

    def __init__(self, own: Bucket, reader: BucketReader, contents: Contents) -> None:
        self._own = own
        self._reader = reader
        self._contents = contents
        self._served: set[str] | None = None

    def serve(self, digests: Iterable[str]) -> None:
        """Put a copy of each document into the own bucket, unless it is there.

        Raises:
            InfrastructureFault: the own bucket or this machine's disk fails, or a document is not on the disk.
            BucketTooLarge: the bucket has more than `MAX_MIRRORED` copies.
        """
        served = self._served_before()
        for digest in digests:
            if digest in served:
                continue
            raw = self._contents.get(digest)
            if raw is None:
                raise InfrastructureFault(f"The document {digest[:16]} is not on this machine", "Read it again.")
            self._own.put(mirror_key(digest), raw)
            served.add(digest)

    def _served_before(self) -> set[str]:
        if self._served is None:
            listed = self._own.list("mirror/", MAX_MIRRORED)
            self._served = {item.key.removeprefix("mirror/").removesuffix(".json") for item in listed}
        return self._served

    def fetch(self, sought: Sequence[Sought], accept: Callable[[str, bytes], bool]) -> tuple[str, ...]:
        """Fetch documents. `accept` gets a digest and an object, and says whether that is the document.

        The places of all documents are asked in turn: the first place of each, then the second of those that are
        still missing. Returns the digests that no place gave. They are unknown, not absent.

        Raises:
            InfrastructureFault: this machine's disk or state fails.
        """
        missing = {each.digest: each for each in sought}
        for turn in range(max((len(each.places) for each in sought), default=0)):
            asked = {each.places[turn]: digest for digest, each in missing.items() if turn < len(each.places)}
            for item, answer in self._reader.each(asked):
                if isinstance(answer, bytes) and accept(asked[item], answer):
                    del missing[asked[item]]
                elif isinstance(answer, bytes | TooLarge):
                    self._reader.refuse(item)
        return tuple(missing)
