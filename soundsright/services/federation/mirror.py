"""Copies of peers' documents in the own bucket, and reading a document from its author or from any copy.

A validator serves whatever its view lists. So a verdict that a majority has read stays readable, even if its
author's bucket goes away. A copy is named by its document's digest, so it is right or it is ignored. Copies that no
view lists any more are removed after a while.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from soundsright.core.errors import BucketTooLarge, InfrastructureFault, SoundsRightError
from soundsright.core.ports import Bucket
from soundsright.core.submission import is_sha256
from soundsright.services.federation.bucket_reader import BucketReader, ObjectOf, TooLarge
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.object_keys import mirror_key

MAX_MIRRORED = 1_000_000
KEPT_EPOCHS = 10
"""A copy that was not needed in so many epochs is removed. Until then slower validators can read it."""
MAX_PRUNED = 1_000
"""So many copies are removed in one epoch. An epoch adds fewer."""

_log = logging.getLogger(__name__)


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
        self._served: dict[str, int] | None = None
        self._epochs = 0

    def serve(self, digests: Iterable[str]) -> None:
        """Put a copy of each document into the own bucket, unless it is there.

        Raises:
            InfrastructureFault: the own bucket or this machine's disk fails, or a document is not on the disk.
        """
        served = self._served_before()
        for digest in digests:
            if digest in served:
                served[digest] = self._epochs
                continue
            raw = self._contents.get(digest)
            if raw is None:
                raise InfrastructureFault(f"The document {digest[:16]} is not on this machine", "Read it again.")
            self._own.put(mirror_key(digest), raw)
            served[digest] = self._epochs

    def end_epoch(self) -> None:
        """Remove the copies that were not served again in the last `KEPT_EPOCHS` epochs.

        Call it once in each epoch, after everything that is listed was served. A failure is logged, since nothing
        depends on it.
        """
        try:
            served = self._served_before()
            self._epochs += 1
            old = [digest for digest, epoch in served.items() if epoch < self._epochs - KEPT_EPOCHS]
            for digest in old[:MAX_PRUNED]:
                self._own.delete(mirror_key(digest))
                del served[digest]
        except SoundsRightError as error:
            _log.warning("old copies are not removed: %s", error, extra={"action": "mirror_not_pruned"})

    def _served_before(self) -> dict[str, int]:
        """The copies in the own bucket, with the epoch in which each was served last. A restart counts as one."""
        if self._served is None:
            self._served = dict.fromkeys(self._listed(), self._epochs)
        return self._served

    def _listed(self) -> list[str]:
        try:
            listed = self._own.list("mirror/", MAX_MIRRORED)
        except BucketTooLarge:
            # Put again what is needed. Only the bucket's owner can remove so many old copies.
            _log.warning("mirror/ has too many objects to list", extra={"action": "mirror_too_large"})
            return []
        digests = (item.key.removeprefix("mirror/").removesuffix(".json") for item in listed)
        return [digest for digest in digests if is_sha256(digest)]

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
