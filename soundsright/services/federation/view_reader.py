"""The views of an epoch: those that validators committed to, read from their authors or from any copy.

A view counts with exactly the bytes that were committed. One that has the committed digest and its validator's
signature, but is no view of this epoch, is malformed for everybody. One that cannot be read is missing here, and is
asked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from soundsright.core.errors import RequestRefused
from soundsright.core.federation import View
from soundsright.ranking import Unusable
from soundsright.services.federation.bucket_reader import BucketReader, ObjectOf
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.mirror import Mirror, Sought
from soundsright.services.federation.object_keys import view_key
from soundsright.services.federation.views import MAX_VIEW_BYTES, VIEW, EpochFacts, check_view, open_view
from soundsright.services.records import ValidSignature, open_envelope

_log = logging.getLogger(__name__)


class ViewReader:
    """Reads the views of an epoch through `mirror`, and keeps their envelopes in `contents`. Use one thread."""

    def __init__(
        self, reader: BucketReader, mirror: Mirror, contents: Contents, *, valid_signature: ValidSignature
    ) -> None:
        self._reader = reader
        self._mirror = mirror
        self._contents = contents
        self._valid_signature = valid_signature
        self._epoch = -1
        self._read: dict[str, View | Unusable] = {}

    def read(self, committed: Mapping[str, str | None], known: EpochFacts) -> Mapping[str, View | Unusable | None]:
        """The view of each validator: None if it committed to none. What was read before is not asked for again.

        Raises:
            InfrastructureFault: this machine's disk or state fails.
        """
        if known.epoch_block != self._epoch:
            self._epoch, self._read = known.epoch_block, {}
        by_digest = {digest: hotkey for hotkey, digest in committed.items() if digest is not None}
        for digest in by_digest.keys() - self._read.keys():
            raw = self._contents.get(digest)
            if raw is not None and not self._accept(digest, raw, by_digest[digest], known):
                self._contents.forget(digest)

        def accept(digest: str, raw: bytes) -> bool:
            if not self._accept(digest, raw, by_digest[digest], known):
                return False
            self._contents.put(digest, raw)
            return True

        missing = [
            Sought(digest, MAX_VIEW_BYTES, _object(known.epoch_block, hotkey), self._others(hotkey, known))
            for digest, hotkey in by_digest.items()
            if digest not in self._read
        ]
        self._mirror.fetch(missing, accept)
        return {
            hotkey: None if digest is None else self._read.get(digest, Unusable.MISSING)
            for hotkey, digest in committed.items()
        }

    def _others(self, hotkey: str, known: EpochFacts) -> tuple[str, ...]:
        return tuple(each for each in known.validators if each != hotkey)

    def _accept(self, digest: str, raw: bytes, hotkey: str, known: EpochFacts) -> bool:
        """Whether this is the document that the hotkey committed to. It is read then, whatever it says."""
        try:
            envelope = open_envelope(VIEW, raw, valid_signature=self._valid_signature, max_bytes=MAX_VIEW_BYTES)
        except RequestRefused:
            return False
        if envelope.digest != digest or envelope.signer != hotkey:
            return False
        try:
            view = open_view(raw, valid_signature=self._valid_signature).view
            check_view(view, known, validator=hotkey)
        except RequestRefused as refused:
            self._read[digest] = Unusable.MALFORMED
            facts = {"action": "view_refused", "epoch": known.epoch_block, "peer": hotkey, "reason": refused.code}
            _log.warning("a view is refused", extra=facts)
        else:
            self._read[digest] = view
        return True


def _object(epoch_block: int, validator: str) -> ObjectOf:
    return ObjectOf(validator, view_key(epoch_block, validator), MAX_VIEW_BYTES)
