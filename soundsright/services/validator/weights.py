"""A validator's weights on the chain: set once they change, and again every tempo.

Blocks are counted. All writes happen here, in the one thread that follows the chain. So the weights of the round
before are never mistaken for those of this round. Weights have a key: the id of their round, or the digest of the
combined weights of several systems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.ports import Clock, LiveChain, Neuron, SubnetRules
from soundsright.services.http import Health

REFUSED_PAUSE_BLOCKS = 10


@dataclass(frozen=True)
class _UnknownWrite:
    """A write of weights whose result is unknown. If it took effect, that was after block `since`."""

    key: str
    since: int


class WeightKeeper:
    """Sets weights for `hotkey`, one after another. The result shows in `health`."""

    def __init__(self, chain: LiveChain, hotkey: str, clock: Clock, health: Health) -> None:
        self._chain = chain
        self._hotkey = hotkey
        self._clock = clock
        self._health = health
        self._key: str | None = None
        self._due_block = 0
        self._reported = ("", 0)
        self._unknown: _UnknownWrite | None = None

    def set_if_due(
        self, round_id: str, payees: Mapping[str, float], head: int, neurons: Sequence[Neuron], *, every_blocks: int
    ) -> int | None:
        """Set a round's weights, by hotkey, if they are due. Returns the block if they are known to be set.

        The weights of a new round are due at once, and again after `every_blocks` (0: the chain's tempo). Hotkeys
        that are not among the `neurons` are not paid, because their uid can belong to another hotkey by now.

        Raises:
            ChainUnavailable: the chain does not answer.
        """
        return self._tend(round_id, f"round {round_id}", payees, head, neurons, every_blocks=every_blocks)

    def tend(
        self, digest: str, weights: Mapping[str, float], head: int, neurons: Sequence[Neuron], *, every_blocks: int
    ) -> int | None:
        """Set the combined weights of several systems if they are due. Returns the block if they are set.

        Changed weights, which have another digest, are due as soon as the chain's rate limit allows. They change
        more often than rounds end, so the limit is read before they are tried. Otherwise as `set_if_due`.

        Raises:
            ChainUnavailable: the chain does not answer.
        """
        return self._tend(
            digest, "all systems", weights, head, neurons, every_blocks=every_blocks, limit_first=True
        )

    def _tend(
        self,
        key: str,
        whose: str,
        payees: Mapping[str, float],
        head: int,
        neurons: Sequence[Neuron],
        *,
        every_blocks: int,
        limit_first: bool = False,
    ) -> int | None:
        if key != self._key:
            self._key, self._due_block = key, 0
        registered = {neuron.hotkey for neuron in neurons}
        present = {hk: float(weight) for hk, weight in payees.items() if hk in registered}
        if head < self._due_block or not any(present.values()):
            return None
        rules = self._chain.rules()
        set_at = next((n.weights_set_at for n in neurons if n.hotkey == self._hotkey), None) or 0
        unknown, self._unknown = self._unknown, None
        same = unknown is not None and unknown.key == key
        if unknown is not None and same and set_at > unknown.since:
            # The write took effect, although no answer came.
            return self._were_set(set_at, len(present), rules, every_blocks)
        allowed_block = set_at + rules.rate_limit_blocks
        if limit_first and set_at and allowed_block > head:
            self._unknown = unknown
            self._wait(allowed_block, whose, rules)
            return None
        result = self._chain.set_weights(self._hotkey, present)
        if result.ok:
            return self._were_set(result.block or head, len(present), rules, every_blocks)
        if result.code == "rate_limited" and allowed_block > head:
            self._wait(allowed_block, whose, rules)
            return None
        # Tried again a few blocks later, not at once.
        self._due_block = head + REFUSED_PAUSE_BLOCKS
        if result.unknown and (same or unknown is None):
            # While other weights can still be on their way, only an answer shows which ones took effect.
            self._unknown = unknown or _UnknownWrite(key, max(head, set_at))
        problem = f"The chain refused the weights: {result.message or result.code}"
        remedy = "" if result.retryable else ". Check that the validator is registered and has a permit."
        self._health.problem("weights", problem + remedy)
        return None

    def _wait(self, allowed_block: int, whose: str, rules: SubnetRules) -> None:
        """Wait for the block in which the chain allows the next write, and report it once."""
        self._due_block = allowed_block
        self._health.problem("weights", None)
        if self._reported == (whose, allowed_block):
            return
        self._reported = (whose, allowed_block)
        self._health.event(
            "success",
            f"The weights of {whose} will be set at block {allowed_block}: the chain allows one write"
            f" every {rules.rate_limit_blocks} blocks",
            action="weights_wait",
        )

    def _were_set(self, block: int, targets: int, rules: SubnetRules, every_blocks: int) -> int:
        """Count the write, and compute when the next one is due. It is never earlier than the chain allows."""
        self._due_block = block + max(every_blocks or rules.tempo_blocks, rules.rate_limit_blocks)
        self._health.problem("weights", None)
        self._health.set("weights.targets", targets)
        for counter, timestamp, happened in (
            ("weights.total_count_set", "weights.last_set_timestamp", True),
            ("weights.total_count_committed", "weights.last_committed_timestamp", rules.commit_reveal),
        ):
            if happened:
                self._health.add(counter)
                self._health.set(timestamp, self._clock.now())
        return block
