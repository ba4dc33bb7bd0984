"""The exchange of a round's reveals: first with the miners, then among the validators. Blocks are counted.

Miners are asked up to the deadline for reveals, half-way to the seed's block. From the close to the seed's block,
validators ask each other for what they got. So a reveal that one validator got in time reaches all the others, and
all of them admit the entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from soundsright.core.ports import Clock, Neuron, Peers
from soundsright.core.schedule import Round
from soundsright.core.submission import Commitment
from soundsright.services.rounds import steps
from soundsright.services.validator.gossip import RevealGossip, SharedReveals
from soundsright.services.validator.peers import RevealCollector


class RevealExchange:
    """Collects the reveals of one round. `step` does the work that is due."""

    def __init__(
        self,
        round_: Round,
        collector: RevealCollector,
        shared: SharedReveals,
        own_hotkey: str,
        peers: Peers,
        clock: Clock,
    ) -> None:
        self.round = round_
        self._collector = collector
        self._shared = shared
        self._gossip = RevealGossip(round_.id, own_hotkey, peers, clock, accept=lambda _document: None)

    def step(self, commitments: Sequence[Commitment], neurons: Sequence[Neuron], finalized: int) -> int:
        """Ask miners and validators whose turn it is. Returns the number of reveals that are missing.

        Call it once more when the seed's block is final: it then asks everybody a last time.
        """
        collector, round_ = self._collector, self.round
        last = finalized >= round_.seed_block
        missing = len(commitments)
        if finalized < round_.reveal_deadline_block:
            missing = collector.ask(commitments, neurons)
            if not self._has_collected():
                steps.write(collector.state, round_.id, steps.COLLECTED, steps.CollectedStep(finalized))
        self._share(commitments)
        by_hotkey = {commitment.hotkey: commitment for commitment in commitments}
        self._gossip.accept = partial(collector.accept, commitments=by_hotkey)
        self._gossip.ask(neurons, last=last)
        if finalized >= round_.reveal_deadline_block and self._asks_late(neurons):
            missing = collector.ask(commitments, neurons, last=last)
        self._share(commitments)
        return missing if missing == 0 else len(commitments) - len(collector.recorded(commitments))

    def _has_collected(self) -> bool:
        return steps.read(self._collector.state, self.round.id, steps.COLLECTED) is not None

    def _asks_late(self, neurons: Sequence[Neuron]) -> bool:
        """Whether to ask miners after the deadline too.

        A validator does so if no other answers, since there is nobody to agree with, or if it came late itself and
        most others did too. Otherwise what the others give is all that counts.
        """
        if not self._gossip.heard:
            return True
        return not (self._has_collected() or self._gossip.majority_collected(neurons))

    def _share(self, commitments: Sequence[Commitment]) -> None:
        signed = self._collector.signed(commitments)
        self._shared.share(self.round.id, signed, collected=self._has_collected())
