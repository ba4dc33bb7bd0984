"""The chain as one round sees it: who was registered when entries closed, whatever happens while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from soundsright.core.errors import UsageError
from soundsright.core.ports import BlockRef, LiveChain, Neuron, Snapshot, TxResult
from soundsright.core.submission import Commitment


class PinnedChain:
    """The `Chain` port with registrations and commitments as of one block, and weights that hold at any time.

    A uid means the hotkey that had it at that block. Who left since is paid nothing: a uid may be another's by now.
    `tell` is given the weights instead of the chain in a dry run.
    """

    def __init__(
        self, chain: LiveChain, block: int, *, tell: Callable[[Mapping[str, float]], None] | None = None
    ) -> None:
        self._chain = chain
        self._pinned = chain.snapshot(block)
        self._tell = tell

    def show(self, commitments: tuple[Commitment, ...]) -> None:
        """Show these instead of what the chain holds: the same ones, read."""
        self._pinned = replace(self._pinned, commitments=commitments)

    def head(self) -> BlockRef:
        return self._chain.head()

    def finalized(self) -> BlockRef:
        return self._chain.finalized()

    def block_hash(self, number: int) -> str:
        return self._chain.block_hash(number)

    def snapshot(self, number: int | None = None) -> Snapshot:
        return self._pinned if number in (None, self._pinned.block.number) else self._chain.snapshot(number)

    def neurons(self) -> tuple[Neuron, ...]:
        return self._pinned.neurons

    def commitments(self) -> tuple[Commitment, ...]:
        return self._pinned.commitments

    def publish(self, hotkey: str, digest: str) -> TxResult:
        return self._chain.publish(hotkey, digest)

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        """Set them for those who are still registered. Where nobody is, there is nothing to set."""
        if self._tell is not None:
            self._tell(by_hotkey)
            return TxResult(True, "dry_run")
        registered = {neuron.hotkey for neuron in self._chain.neurons()}
        present = {hk: weight for hk, weight in by_hotkey.items() if hk in registered}
        if not any(present.values()):
            return TxResult(True, "nobody", "nobody who won is registered any more")
        return self._chain.set_weights(hotkey, present)

    def close(self) -> None:
        """The chain is another's to close."""


def check_account(chain: LiveChain, address: str, *, sets_weights: bool) -> None:
    """What would make a validator useless, before it starts.

    Raises:
        UsageError: the hotkey is not registered, or has no validator permit and is to set weights.
        ChainUnavailable: the chain does not answer.
    """
    own = next((n for n in chain.neurons() if n.hotkey == address), None)
    if own is None:
        raise UsageError(
            f"HOTKEY: {address} is not registered on this chain",
            "Register it, or check NETUID and SUBTENSOR_CHAIN_ENDPOINT.",
        )
    if not own.permit and sets_weights:
        raise UsageError(
            f"HOTKEY: {address} (stake {own.stake:g}) has no validator permit",
            "Add stake, or ask the organiser of a private chain; --dry-run needs none.",
        )
