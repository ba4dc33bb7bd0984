"""Collects the reveals of the miners' commitments outside a round, by the code with which rounds collect them.

Miners show their model to validators once the entries of a round of the organiser's schedule have closed. So a
system beside the rounds asks for the reveals of the last round that closed. A younger commitment waits for the next
close. Plain and sealed commitments need no miner. Blocks are counted, times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from soundsright.core.errors import EntryRefused
from soundsright.core.ports import Clock, LiveChain, Peers, Snapshot, StateStore, Timelock
from soundsright.core.schedule import Schedule
from soundsright.core.submission import Commitment, CommitmentKind, Reveal
from soundsright.core.system_commitments import is_entry_commitment
from soundsright.services.http import Health
from soundsright.services.records import ValidSignature
from soundsright.services.validator.peers import RevealCollector

REVEALS_SCOPE = "federation-reveals"
"""The scope of the state in which these reveals are kept, by the id of their round. All systems share it."""
_OPEN_TEXTS = "texts"


def as_digests(
    commitments: Iterable[Commitment], reveals: Mapping[str, Reveal | EntryRefused]
) -> tuple[Commitment, ...]:
    """The commitments to entries, each revealed one as the digest of its reveal, as `screened` compares it."""
    entries = [each for each in commitments if is_entry_commitment(each.digest)]
    return tuple(
        replace(each, digest=reveal.digest(each.hotkey))
        if isinstance(reveal := reveals.get(each.hotkey), Reveal)
        else each
        for each in entries
    )


@dataclass(frozen=True)
class MinerReveals:
    """Gives the reveals of a snapshot's commitments.

    `state` is scoped by `REVEALS_SCOPE`. `validator_state` is that of the validator's own rounds, if it has any;
    its reveals are used too. `unsalted` says whether the organiser admits commitments of format 1.
    """

    chain: LiveChain
    peers: Peers
    state: StateStore
    clock: Clock
    health: Health
    valid_signature: ValidSignature
    schedule: Schedule | None
    kind: CommitmentKind = CommitmentKind.DIGEST
    timelock: Timelock | None = None
    unsalted: bool = False
    validator_state: StateStore | None = None

    def __call__(self, closed: Snapshot) -> Mapping[str, Reveal | EntryRefused]:
        """The reveals by hotkey, and the refusals of those that are not valid. Silent miners are left out.

        Raises:
            ChainUnavailable: the chain does not answer.
            PeerUnavailable: a seal cannot be opened now, although its time has come.
            StateUnavailable: the state does not answer.
        """
        entries = [c for c in closed.commitments if is_entry_commitment(c.digest)]
        if self.kind is not CommitmentKind.DIGEST:
            # A new collector each time, because a seal that was refused as too young opens later.
            collector = self._collector(_OPEN_TEXTS, self.state)
            collector.read(entries, opened_by_s=self.chain.timestamp_s(closed.block.number))
            return collector.revealed(entries)
        round_id = self._closed_round()
        if round_id is None:
            return {}
        known: Mapping[str, Reveal | EntryRefused] = {}
        if self.validator_state is not None and self.validator_state.round_facts(round_id) is not None:
            known = self._collector(round_id, self.validator_state).revealed(entries)
        unknown = [commitment for commitment in entries if commitment.hotkey not in known]
        collector = self._collector(round_id, self.state)
        collector.ask(unknown, self.chain.neurons(), last=True)
        return {**collector.revealed(unknown), **known}

    def _closed_round(self) -> str | None:
        """The id of the last round of the schedule that has started; None before the first."""
        if self.schedule is None:
            return None
        number = self.schedule.last_started(self.chain.timestamp_s(self.chain.finalized().number))
        return None if number is None else self.schedule.id_of(number)

    def _collector(self, round_id: str, state: StateStore) -> RevealCollector:
        if state is self.state:
            state.begin_round(round_id, {})
        return RevealCollector(
            round_id,
            self.peers,
            state,
            self.clock,
            self.health,
            self.valid_signature,
            kind=self.kind,
            timelock=self.timelock,
            unsalted=self.unsalted,
        )
