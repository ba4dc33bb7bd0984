"""The chain as one round sees it: who was registered when entries closed, whatever happens while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.ports import BlockRef, LiveChain, Neuron, Snapshot, TxResult
from soundsright.core.schedule import Round
from soundsright.core.submission import Commitment


def at_the_close(chain: LiveChain, plan: Round, entries: Mapping[str, Any] | None) -> Snapshot:
    """The chain when entries closed.

    Once the round's `entries` are recorded, no more is needed of it than whose each uid was, and since when, which
    is recorded with them: a node that is no archive has lost the block before a long round ends. Older records lack
    since when, or both.

    Raises:
        ChainUnavailable: the chain does not answer, or has the block no more.
    """
    close = plan.entries_close_block
    recorded = entries or {}
    if "neurons" in recorded:
        held = recorded["neurons"]
    elif "hotkeys" in recorded:
        # Who is still registered tells since when; of who left in the meantime nobody knows any more.
        since = {neuron.hotkey: neuron.registered_at for neuron in chain.neurons() if neuron.registered_at <= close}
        held = {uid: (hotkey, since.get(hotkey, 0)) for uid, hotkey in recorded["hotkeys"].items()}
    else:
        return chain.snapshot(close)
    neurons = tuple(Neuron(int(uid), hotkey, registered_at) for uid, (hotkey, registered_at) in held.items())
    return Snapshot(BlockRef(close, ""), neurons, ())


class PinnedChain:
    """The `Chain` port with registrations and commitments as of one block, which sets no weights.

    A uid means the hotkey that had it at that block.
    """

    def __init__(self, chain: LiveChain, closed: Snapshot) -> None:
        self._chain = chain
        self._pinned = closed

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
        """Nothing yet: the validator does, in its own thread, when the round has ended."""
        return TxResult(True, "later")

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
