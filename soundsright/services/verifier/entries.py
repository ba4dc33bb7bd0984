"""The entries whose provers a verifier asks: those of the last round, or what the commitments on the chain reveal.

Blocks are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from soundsright.core.competition import Competition
from soundsright.core.entry_rules import EntryRules
from soundsright.core.errors import EntryRefused
from soundsright.core.ports import LiveChain, Snapshot, StateStore
from soundsright.core.submission import Reveal
from soundsright.services.rounds import StandingEntries, StandingEntry, screened
from soundsright.services.validator import as_digests

EVERY_BLOCKS = 10
"""The commitments are read again after this many blocks."""


class VerifiedEntries:
    """The entries of a verifier, as `VerifierContext.entries` gives them. Use one thread.

    `state` is that of the rounds which this machine judged. If it has none, the commitments in the last final block
    count, without those that break the organiser's rules. Of equal contents only the first commitment counts.
    """

    def __init__(
        self,
        chain: LiveChain,
        state: StateStore,
        reveals: Callable[[Snapshot], Mapping[str, Reveal | EntryRefused]],
        competitions: Sequence[Competition],
        rules: EntryRules,
    ) -> None:
        self._chain, self._reveals = chain, reveals
        self._competitions, self._rules = competitions, rules
        self._judged = StandingEntries(state, competitions)
        self._read: tuple[int, tuple[StandingEntry, ...]] | None = None

    def __call__(self) -> Sequence[StandingEntry]:
        """The entries.

        Raises:
            ChainUnavailable: the chain does not answer.
            PeerUnavailable: a seal cannot be opened now, although its time has come.
            StateUnavailable: the state does not answer.
            UsageError: a record of the last round is damaged.
        """
        judged = self._judged()
        if judged is not None:
            return judged
        block = self._chain.finalized().number
        if self._read is None or not self._read[0] <= block < self._read[0] + EVERY_BLOCKS:
            self._read = block, self._revealed(block)
        return self._read[1]

    def _revealed(self, block: int) -> tuple[StandingEntry, ...]:
        snapshot = self._chain.snapshot(block)
        reveals = self._reveals(snapshot)
        found = screened(
            as_digests(snapshot.commitments, reveals),
            reveals,
            snapshot.neurons,
            self._competitions,
            entries_close_block=block,
            rules=self._rules,
        )
        first: dict[str, StandingEntry] = {}
        for submission in found.submissions:
            reveal = reveals[submission.hotkey]
            content = reveal.content_hash if isinstance(reveal, Reveal) else ""
            first.setdefault(content or str(submission.source), StandingEntry(submission, content))
        return tuple(first.values())
