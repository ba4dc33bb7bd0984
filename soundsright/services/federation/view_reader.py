"""The views of an epoch: those that validators committed to, read from their authors or from any copy.

A view counts with exactly the bytes that were committed. One that has the committed digest and its validator's
signature, but is no view of this epoch, is malformed for everybody. One that cannot be read is missing here, and is
asked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from soundsright.core.errors import RequestRefused
from soundsright.core.federation import View
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.ranking import Unusable
from soundsright.services.federation.bucket_reader import BucketReader, ObjectOf
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.mirror import Mirror, Sought
from soundsright.services.federation.object_keys import view_key
from soundsright.services.federation.views import MAX_VIEW_BYTES, VIEW, EpochFacts, check_view, open_view
from soundsright.services.records import ValidSignature, open_envelope

_Place = tuple[str, str]
"""A hotkey, and the digest to which it committed."""

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
        self._read: dict[_Place, View | Unusable] = {}

    def read(self, committed: Mapping[str, str | None], known: EpochFacts) -> Mapping[str, View | Unusable | None]:
        """The view of each validator: None if it committed to none. What was read before is not asked for again.

        Raises:
            InfrastructureFault: this machine's disk or state fails.
        """
        if known.epoch_block != self._epoch:
            self._epoch, self._read = known.epoch_block, {}
        by_digest: dict[str, list[str]] = {}
        for hotkey, digest in committed.items():
            if digest is not None:
                by_digest.setdefault(digest, []).append(hotkey)
        for digest, hotkeys in by_digest.items():
            raw = None if self._are_read(digest, hotkeys) else self._contents.get(digest)
            if raw is not None:
                self._accept(digest, raw, hotkeys, known)

        def accept(digest: str, raw: bytes) -> bool:
            if not self._accept(digest, raw, by_digest[digest], known):
                return False
            self._contents.put(digest, raw)
            return True

        # Several validators can commit to one document. It is looked for in the bucket of each of them.
        for number in range(max(map(len, by_digest.values()), default=0)):
            missing = [
                Sought(
                    digest,
                    MAX_VIEW_BYTES,
                    _object(known.epoch_block, hotkeys[number]),
                    self._others(hotkeys[number], known),
                )
                for digest, hotkeys in by_digest.items()
                if number < len(hotkeys) and not self._are_read(digest, hotkeys)
            ]
            self._mirror.fetch(missing, accept)
        return {
            hotkey: None if digest is None else self._read.get((hotkey, digest), Unusable.MISSING)
            for hotkey, digest in committed.items()
        }

    def _are_read(self, digest: str, hotkeys: Sequence[str]) -> bool:
        return all((hotkey, digest) in self._read for hotkey in hotkeys)

    def _others(self, hotkey: str, known: EpochFacts) -> tuple[str, ...]:
        return tuple(each for each in known.validators if each != hotkey)

    def _accept(self, digest: str, raw: bytes, hotkeys: Sequence[str], known: EpochFacts) -> bool:
        """Whether this is the document to which the hotkeys committed, with the signature of its author among them.

        It is read then, whatever it says. A document that names another author is malformed for a hotkey, whoever
        signed it: no signature could make it a view of that hotkey.
        """
        try:
            envelope = open_envelope(VIEW, raw, valid_signature=self._valid_signature, max_bytes=MAX_VIEW_BYTES)
        except RequestRefused:
            return False
        if envelope.digest != digest:
            return False
        author = _author_of(envelope.document)
        for hotkey in hotkeys:
            if (hotkey, digest) not in self._read and hotkey in (envelope.signer, author):
                if envelope.signer == hotkey:
                    self._read[hotkey, digest] = self._checked(raw, hotkey, known)
            else:
                self._read.setdefault((hotkey, digest), Unusable.MALFORMED)
        return self._are_read(digest, hotkeys)

    def _checked(self, raw: bytes, hotkey: str, known: EpochFacts) -> View | Unusable:
        try:
            view = open_view(raw, valid_signature=self._valid_signature).view
            check_view(view, known, validator=hotkey)
        except RequestRefused as refused:
            facts = {"action": "view_refused", "epoch": known.epoch_block, "peer": hotkey, "reason": refused.code}
            _log.warning("a view is refused", extra=facts)
            return Unusable.MALFORMED
        return view


def _author_of(document: str) -> str | None:
    """The validator that a document names; None if it names none."""
    try:
        facts = strict_json(document.encode())
    except NotStrictJson:
        return None
    author = facts.get("validator") if isinstance(facts, dict) else None
    return author if isinstance(author, str) else None


def _object(epoch_block: int, validator: str) -> ObjectOf:
    return ObjectOf(validator, view_key(epoch_block, validator), MAX_VIEW_BYTES)
