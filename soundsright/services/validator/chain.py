"""The chain as one round sees it: the registrations and commitments of the block in which entries closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from soundsright.core.errors import UsageError
from soundsright.core.ports import BlockRef, LiveChain, Neuron, Snapshot, TxResult
from soundsright.core.schedule import Round
from soundsright.core.submission import Commitment
from soundsright.core.system_commitments import is_entry_commitment
from soundsright.services.rounds import steps


def at_the_close(chain: LiveChain, plan: Round, entries: steps.EntriesStep | None) -> Snapshot:
    """The chain at the block in which entries closed.

    If the round's `entries` are recorded, their registrations are used. A node without an archive can lose the
    block before a long round ends. Old records lack the registrations, or their blocks.

    Raises:
        ChainUnavailable: the chain does not answer, or no longer has the block.
    """
    close = plan.entries_close_block
    if entries is None or entries.neurons is None:
        return chain.snapshot(close)
    if any(neuron.registered_at is None for neuron in entries.neurons):
        # The present registrations give the missing blocks, except those of hotkeys that have left since.
        since = {neuron.hotkey: neuron.registered_at for neuron in chain.neurons() if neuron.registered_at <= close}
        neurons = tuple(Neuron(n.uid, n.hotkey, since.get(n.hotkey, 0)) for n in entries.neurons)
    else:
        neurons = tuple(Neuron(n.uid, n.hotkey, n.registered_at or 0) for n in entries.neurons)
    return Snapshot(BlockRef(close, ""), neurons, ())


class PinnedChain:
    """The `Chain` port with the registrations and commitments of one block. It sets no weights.

    A uid belongs to the hotkey that had it at that block.
    """

    def __init__(self, chain: LiveChain, closed: Snapshot) -> None:
        self._chain = chain
        self._pinned = closed

    def replace_entries(self, entries: tuple[Commitment, ...]) -> None:
        """Show these entries instead of those of the chain: the same ones, decoded. Other commitments stay."""
        others = (c for c in self._pinned.commitments if not is_entry_commitment(c.digest))
        self._pinned = replace(self._pinned, commitments=(*entries, *others))

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
        """Do nothing. The validator sets the weights in its own thread when the round has ended."""
        return TxResult(True, "later")

    def close(self) -> None:
        """Do nothing. The owner of the chain closes it."""


def check_account(chain: LiveChain, address: str, *, sets_weights: bool) -> None:
    """Check before a validator starts that its hotkey can do the work.

    Raises:
        UsageError: the hotkey is not registered, or it must set weights and has no validator permit.
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
