"""A validator's weights on the chain: set once a round is decided, and again every tempo, as the chain allows.

Blocks are counted. Every write of a validator's is made here, from the one thread that follows the chain: so the
weights of the round before are never taken for those of this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.ports import Clock, LiveChain, Neuron, SubnetRules
from soundsright.services.http import Health

REFUSED_PAUSE_BLOCKS = 10


@dataclass(frozen=True)
class _Sent:
    """A round's weights of which it is not known whether they landed; if they did, then after block `since`."""

    round_id: str
    since: int


class WeightKeeper:
    """Sets the weights of one round after the other for `hotkey`. What becomes of it shows in `health`."""

    def __init__(self, chain: LiveChain, hotkey: str, clock: Clock, health: Health) -> None:
        self._chain = chain
        self._hotkey = hotkey
        self._clock = clock
        self._health = health
        self._round_id: str | None = None
        self._due_block = 0
        self._unsure: _Sent | None = None

    def tend(
        self, round_id: str, payees: Mapping[str, float], head: int, neurons: Sequence[Neuron], *, every_blocks: int
    ) -> int | None:
        """Set a round's weights, by hotkey, if they are due; the block in which they are then known to be set.

        A new round's are due at once, the same ones again `every_blocks` later, 0: after the chain's tempo. Who is
        not among the `neurons` is not paid: a uid may be another's by now.

        Raises:
            ChainUnavailable: the chain does not answer.
        """
        if round_id != self._round_id:
            self._round_id, self._due_block = round_id, 0
        registered = {neuron.hotkey for neuron in neurons}
        present = {hk: float(weight) for hk, weight in payees.items() if hk in registered}
        if head < self._due_block or not any(present.values()):
            return None
        rules = self._chain.rules()
        set_at = next((n.weights_set_at for n in neurons if n.hotkey == self._hotkey), None) or 0
        unsure, self._unsure = self._unsure, None
        same = unsure is not None and unsure.round_id == round_id
        if unsure is not None and same and set_at > unsure.since:
            # They had landed, though no answer came.
            return self._were_set(set_at, len(present), rules, every_blocks)
        result = self._chain.set_weights(self._hotkey, present)
        if result.ok:
            return self._were_set(result.block or head, len(present), rules, every_blocks)
        allowed_block = set_at + rules.rate_limit_blocks
        if result.code == "rate_limited" and allowed_block > head:
            self._due_block = allowed_block
            self._health.problem("weights", None)
            self._health.event(
                "success",
                f"The weights of round {round_id} are set at block {allowed_block}: "
                f"the chain takes none sooner than {rules.rate_limit_blocks} blocks after the last",
                action="weights_wait",
            )
            return None
        # Asked again a few blocks later, not at once.
        self._due_block = head + REFUSED_PAUSE_BLOCKS
        if result.unknown and (same or unsure is None):
            # Where other weights may still be on their way, only an answer tells which of them have landed.
            self._unsure = unsure or _Sent(round_id, max(head, set_at))
        told = f"The chain refused the weights: {result.message or result.code}"
        remedy = "" if result.retryable else ". See that the validator is registered and has a permit."
        self._health.problem("weights", told + remedy)
        return None

    def _were_set(self, block: int, targets: int, rules: SubnetRules, every_blocks: int) -> int:
        """Count it, and know when they are due again: never sooner than the chain allows."""
        self._due_block = block + max(every_blocks or rules.tempo_blocks, rules.rate_limit_blocks)
        self._health.problem("weights", None)
        self._health.set("weights.targets", targets)
        for count, time_, happened in (
            ("weights.total_count_set", "weights.last_set_timestamp", True),
            ("weights.total_count_committed", "weights.last_committed_timestamp", rules.commit_reveal),
        ):
            if happened:
                self._health.add(count)
                self._health.set(time_, self._clock.now())
        return block
