"""The private recordings of verdicts: whether their validators had committed to them on the chain before the task.

Blocks are counted. The chain of a final block does not change, so an answer is recorded and asked for once. The
stream `federation:corpora` has one record for each task and validator:

    {"digest": "5a…", "committed": true}
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from soundsright.core.errors import RecordConflict, SoundsRightError
from soundsright.core.federation import Verdict
from soundsright.core.ports import LiveChain, Records
from soundsright.services.rounds import committed_block

CORPORA = "federation:corpora"

_log = logging.getLogger(__name__)


class PrivateCorpora:
    """Finds on the chain the commitments that verdicts name. A task has `interval` blocks. Use one thread."""

    def __init__(self, chain: LiveChain, records: Records, interval: int) -> None:
        self._chain = chain
        self._records = records
        self._interval = interval
        self._known: dict[tuple[int, str, str], bool] = {}

    def may_pay(self, verdict: Verdict) -> bool:
        """Whether the verdict's private recordings were committed before its task, or it needs no commitment.

        Speech that a program spoke from the task's seed needs none, nor does a verdict without anything private.

        Raises:
            ChainUnavailable: the chain does not answer, or no longer knows. Then it is unknown.
            StateUnavailable: the state does not answer.
        """
        material = verdict.material
        if material is None or set(material.public) >= set(verdict.sets) or material.speech:
            return True
        first_block = verdict.task * self._interval
        if material.committed_block is None or material.committed_block >= first_block:
            return False
        place = verdict.task, verdict.validator, material.digest
        if place not in self._known:
            self._known[place] = self._recorded(place, first_block)
        return self._known[place]

    def look(self, verdicts: Iterable[Verdict]) -> None:
        """Ask the chain early, while it knows the tasks' blocks. What it does not answer is asked again later."""
        for verdict in verdicts:
            try:
                self.may_pay(verdict)
            except SoundsRightError as error:
                _log.info("a commitment is not known: %s", error, extra={"action": "corpus_unknown"})
                return

    def _recorded(self, place: tuple[int, str, str], first_block: int) -> bool:
        task, validator, digest = place
        key = f"{task}-{validator}"
        record = self._records.latest(CORPORA, key)
        if record is not None and record.facts.get("digest") == digest:
            return record.facts.get("committed") is True
        found = committed_block(self._chain, validator, {digest}, first_block) is not None
        if record is None:
            with suppress(RecordConflict):
                self._records.append(CORPORA, key, {"digest": digest, "committed": found})
        return found
