"""The private recordings of verdicts: whether their validators had committed to them on the chain before the task.

A verdict names the block of the commitment, and the chain must show that one. Speech that a program spoke from the
task's seed needs no commitment if a majority of the validators state the same program and recordings: one validator
alone could call anything spoken. Blocks are counted. The chain of a final block does not change, so an answer is
recorded and asked for once. The stream `federation:corpora` has one record for each task and validator, with the
block in which its hotkey had committed to the recordings:

    {"digest": "5a…", "block": 1200}
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress

from soundsright.core.errors import RecordConflict, SoundsRightError
from soundsright.core.federation import Verdict
from soundsright.core.ports import LiveChain, Records
from soundsright.ranking import majority
from soundsright.services.rounds import committed_block

CORPORA = "federation:corpora"

_log = logging.getLogger(__name__)

SourceOfSets = tuple[str, tuple[tuple[str, str], ...]]
"""The digest of recordings, and the facts of the program that speaks in their voices; no facts without one."""


class PrivateCorpora:
    """Finds on the chain the commitments that verdicts name. A task has `interval` blocks. Use one thread."""

    def __init__(self, chain: LiveChain, records: Records, interval: int) -> None:
        self._chain = chain
        self._records = records
        self._interval = interval
        self._known: dict[tuple[int, str, str], int | None] = {}

    def may_pay(self, verdict: Verdict, agreed: Collection[SourceOfSets] = ()) -> bool:
        """Whether the verdict's private recordings were committed before its task, or it needs no commitment.

        `agreed` is what a majority states. A verdict without anything private needs no commitment.

        Raises:
            ChainUnavailable: the chain does not answer, or no longer knows. Then it is unknown.
            StateUnavailable: the state does not answer.
        """
        material = verdict.material
        if material is None or set(material.public) >= set(verdict.sets):
            return True
        if material.speech and source_of_sets(verdict) in agreed:
            return True
        return self.is_committed(verdict)

    def is_committed(self, verdict: Verdict) -> bool:
        """Whether the validator was committed to the verdict's recordings before its task. Raises as `may_pay`."""
        material = verdict.material
        if material is None:
            return False
        first_block = verdict.task * self._interval
        if material.committed_block is None or material.committed_block >= first_block:
            return False
        place = verdict.task, verdict.validator, material.digest
        if place not in self._known:
            self._known[place] = self._recorded(place, first_block)
        return self._known[place] == material.committed_block

    def look(self, verdicts: Iterable[Verdict]) -> None:
        """Ask the chain early, while it knows the tasks' blocks. What it does not answer is asked again later."""
        for verdict in verdicts:
            try:
                self.may_pay(verdict)
            except SoundsRightError as error:
                _log.info("a commitment is not known: %s", error, extra={"action": "corpus_unknown"})
                return

    def _recorded(self, place: tuple[int, str, str], first_block: int) -> int | None:
        task, validator, digest = place
        key = f"{task}-{validator}"
        record = self._records.latest(CORPORA, key)
        if record is not None and record.facts.get("digest") == digest and "block" in record.facts:
            block = record.facts["block"]
            return block if type(block) is int else None
        found = committed_block(self._chain, validator, {digest}, first_block)
        if record is None:
            with suppress(RecordConflict):
                self._records.append(CORPORA, key, {"digest": digest, "block": found})
        return found


def source_of_sets(verdict: Verdict) -> SourceOfSets | None:
    """The recordings and the program that a verdict states; None if it states nothing."""
    material = verdict.material
    return None if material is None else (material.digest, tuple(sorted(material.speech.items())))


def agreed_sources(verdicts: Iterable[Verdict], validators: Collection[str]) -> frozenset[SourceOfSets]:
    """The recordings and programs that verdicts of a strict majority of the validators state."""
    stated = {(each, verdict.validator) for verdict in verdicts if (each := source_of_sets(verdict)) is not None}
    voters = Counter(each for each, validator in stated if validator in validators)
    return frozenset(each for each, count in voters.items() if count >= majority(len(validators)))
