"""The executor's commitment to its private corpus. Blocks are counted, times are in seconds.

Validators pay only on recordings that were committed before the seed's block. Otherwise an executor could choose
among several corpora once it knows the seed. A hotkey has one text on the chain, and the executor's hotkey may be a
validator's as well. So the text keeps what else it says.
"""

from __future__ import annotations

from collections.abc import Collection

from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.errors import HistoryGone
from soundsright.core.round_commitment import keeps, reason_to_leave
from soundsright.services.executor.context import ExecutorContext
from soundsright.services.rounds import commitment_of, commitment_to, committed_block, material_of_round

COMMIT_EVERY_S = 600.0
"""The time between two looks for the commitment on the chain."""


class CorpusCommitter:
    """Commits the executor's hotkey to its private corpus. Use one thread."""

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._due_s = float("-inf")
        self._committed: CorpusCommitment | None = None
        self._is_written = False

    def tend(self) -> str:
        """Publish the commitment if the chain lacks it. Returns why it cannot be there; empty if nothing is wrong.

        Raises:
            ChainUnavailable: the chain does not answer.
            UsageError: the corpus cannot be read.
        """
        context, now_s = self._context, self._context.clock.now()
        material = material_of_round(context.material, context.schedule, now_s)
        if now_s < self._due_s or not material.is_private:
            return ""
        wanted = commitment_to(material, context.round_clips)
        own = commitment_of(context.chain.commitments(), context.account.address)
        present = "" if own is None else own.digest
        self._due_s = now_s + COMMIT_EVERY_S
        problem = self._published(present, wanted)
        return problem and f"{problem}. Until this hotkey is committed to its corpus, validators pay nobody"

    def is_late(self, roots: Collection[str], seed_block: int) -> bool:
        """Whether the hotkey committed to the `roots` of its corpus, but not before the seed's block.

        It is not late if there is no commitment at all, or if the chain no longer knows.

        Raises:
            ChainUnavailable: the chain does not answer.
        """
        context = self._context
        if not context.material.is_private:
            return False
        hotkey = context.account.address
        try:
            if committed_block(context.chain, hotkey, roots, seed_block) is not None:
                return False
        except HistoryGone:
            return False
        own = commitment_of(context.chain.commitments(), hotkey)
        named = None if own is None else corpus_commitment_in(own.digest)
        return self._is_written or (named is not None and named.root in roots)

    def _published(self, present: str, wanted: CorpusCommitment) -> str:
        """Publish the commitment unless `present` has it or must stay. Returns why it is not published."""
        named = corpus_commitment_in(present)
        if named is not None and named.root == wanted.root:
            self._committed, self._is_written = wanted, False
            return ""
        if problem := reason_to_leave(present, committed=self._committed if self._committed == wanted else None):
            return problem
        context = self._context
        result = context.chain.publish(context.account.address, keeps(present, wanted))
        self._is_written = result.ok or result.unknown
        if result.ok:
            self._committed = wanted
        elif result.unknown:
            self._due_s = float("-inf")  # Look again at the next tick.
        else:
            return f"The chain refused the commitment to the corpus: {result.message or result.code}"
        return ""
