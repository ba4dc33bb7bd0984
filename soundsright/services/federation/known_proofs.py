"""The proofs of equivocation that a validator has: found by itself, or listed in a peer's view and then fetched.

Every proof is checked before it counts, and is served in the own bucket. Blocks are counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from itertools import chain, zip_longest

from soundsright.core.errors import RecordConflict, RequestRefused
from soundsright.core.federation import View
from soundsright.core.ports import Bucket, Records
from soundsright.core.ports.tables import MAX_ROWS
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.equivocation import MAX_EVIDENCE_BYTES, Evidence, evidence_of, open_evidence
from soundsright.services.federation.mirror import Mirror, Sought
from soundsright.services.federation.object_keys import evidence_key
from soundsright.services.federation.verdict import TaskFacts
from soundsright.services.federation.verdict_reader import Equivocation
from soundsright.services.records import ValidSignature

PROOFS = "federation:proofs"
MAX_FETCHED = 64
"""So many proofs are fetched in one epoch, or one for each view. A peer could list any number that nobody has."""

_log = logging.getLogger(__name__)


class KnownProofs:
    """Keeps proofs in `contents` and `records`, and serves them in the bucket `own`. Use one thread.

    `facts` gives the facts of a task, None if they are unknown. A proof counts only if both verdicts have them.
    """

    def __init__(
        self,
        own: Bucket,
        contents: Contents,
        mirror: Mirror,
        records: Records,
        *,
        facts: Callable[[int], TaskFacts | None],
        valid_signature: ValidSignature,
    ) -> None:
        self._own = own
        self._contents = contents
        self._mirror = mirror
        self._records = records
        self._facts = facts
        self._valid_signature = valid_signature
        self._by_place: dict[tuple[int, str], str] = {}
        self._read_up_to = 0

    def within(self, tasks: range) -> dict[int, dict[str, str]]:
        """The digests of the proofs against validators in these tasks, by task and validator.

        Raises:
            StateUnavailable: the state does not answer.
        """
        self._read_new()
        found: dict[int, dict[str, str]] = {}
        for (task, validator), digest in sorted(self._by_place.items()):
            if task in tasks:
                found.setdefault(task, {})[validator] = digest
        return found

    def prove(self, found: Iterable[Equivocation]) -> None:
        """Make the proof of each equivocation that was met, and publish it.

        Raises:
            InfrastructureFault: the chain, the own bucket, this machine's disk or its state fails.
        """
        self._read_new()
        for each in found:
            raws = self._contents.get(each.first), self._contents.get(each.second)
            if (each.task, each.validator) in self._by_place or raws[0] is None or raws[1] is None:
                continue
            with suppress(RequestRefused):  # They are verdicts of two federations.
                proof = evidence_of(raws[0], raws[1], valid_signature=self._valid_signature)
                if self._counts(proof):
                    self._keep(proof)

    def learn(self, views: Mapping[str, View]) -> None:
        """Fetch the proofs that peers' views list, and keep those that are right.

        Raises:
            InfrastructureFault: the chain, the own bucket, this machine's disk or its state fails.
        """
        self._read_new()
        listed = {task for view in views.values() for task in view.evidence}
        self._mirror.fetch(self._shared(views), lambda digest, raw: self._accept(digest, raw, listed))

    def _shared(self, views: Mapping[str, View]) -> list[Sought]:
        """The proofs to fetch, of all views in turns, so that no view can take the places of the others."""
        new = {
            hotkey: {
                digest: None
                for task, proofs in view.evidence.items()
                for against, digest in proofs.items()
                if (task, against) not in self._by_place
            }
            for hotkey, view in views.items()
        }
        chosen: dict[str, None] = {}
        for digest in chain.from_iterable(zip_longest(*new.values())):
            if len(chosen) == max(MAX_FETCHED, len(views)):
                break
            if digest is not None:
                chosen[digest] = None
        return [
            Sought(digest, MAX_EVIDENCE_BYTES, None, tuple(hotkey for hotkey, own in new.items() if digest in own))
            for digest in chosen
        ]

    def _accept(self, digest: str, raw: bytes, listed: Collection[int]) -> bool:
        try:
            proof = open_evidence(raw, valid_signature=self._valid_signature)
        except RequestRefused:
            return False
        if proof.digest != digest or proof.task not in listed:
            return False
        if (proof.task, proof.validator) not in self._by_place:
            if not self._counts(proof):
                return False
            self._keep(proof)
        return True

    def _counts(self, proof: Evidence) -> bool:
        known = self._facts(proof.task)
        return known is not None and proof.is_of(known)

    def _keep(self, proof: Evidence) -> None:
        self._contents.put(proof.digest, proof.raw)
        self._own.put(evidence_key(proof.task, proof.validator), proof.raw)
        with suppress(RecordConflict):  # Another process had a proof first, and any right one will do.
            self._records.append(PROOFS, f"{proof.task}-{proof.validator}", {"digest": proof.digest})
        _log.warning(
            "a validator signed two verdicts on one task, and the proof is published",
            extra={"action": "equivocation_proved", "task": proof.task, "peer": proof.validator},
        )
        self._read_new()

    def _read_new(self) -> None:
        while rows := self._records.read(PROOFS, after=self._read_up_to, limit=MAX_ROWS):
            for row in rows:
                task, _, validator = row.key.partition("-")
                self._by_place[int(task), validator] = str(row.facts["digest"])
            self._read_up_to = rows[-1].position
