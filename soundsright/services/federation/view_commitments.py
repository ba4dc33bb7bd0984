"""The commitments to views on a chain: those that were made in time, and the own one. Blocks are counted.

A hotkey has one text on the chain, and a validator may commit to a round or a corpus after its view. So the text is
looked up as of the last block in which views count. If it names no view of the epoch, the text before it counts, as
of the block before it was written, and so on. A chain shows the same to everybody, so all find the same views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from soundsright.core.errors import ChainUnavailable
from soundsright.core.federation_commitments import ViewCommitment, beside_view, view_commitment_in
from soundsright.core.ports import LiveChain, TxResult
from soundsright.core.submission import Commitment
from soundsright.core.system_commitments import is_entry_commitment

MAX_WRITES = 3
"""So often a view is written again, because another text came between."""
MAX_LATER = 16
"""So many texts that a hotkey wrote after its view are looked through. With more, it has no view."""


def committed_views(
    chain: LiveChain, validators: Iterable[str], epoch_block: int, until_block: int
) -> Mapping[str, str | None]:
    """By validator, the digest of the view that it committed to last in the blocks from one to the other; or None.

    Raises as `commitments_to_views`.
    """
    found = commitments_to_views(chain, validators, epoch_block, until_block)
    return {hotkey: None if view is None else view.sha256 for hotkey, view in found.items()}


def commitments_to_views(
    chain: LiveChain, validators: Iterable[str], epoch_block: int, until_block: int
) -> Mapping[str, ViewCommitment | None]:
    """By validator, its last commitment to a view of the epoch in the blocks from one to the other; or None.

    Raises:
        ChainUnavailable: the chain does not answer, `until_block` is not final yet, or the chain no longer knows
            the state of that time.
    """
    if chain.finalized().number < until_block:
        raise ChainUnavailable(f"Block {until_block} is not final yet", "Wait for it.")
    looks = _Looks(chain)
    return {hotkey: _view_of(looks, hotkey, epoch_block, until_block) for hotkey in validators}


def _view_of(looks: _Looks, hotkey: str, epoch_block: int, until_block: int) -> ViewCommitment | None:
    block = until_block
    for _ in range(MAX_LATER + 1):
        committed = looks.at(block).get(hotkey)
        if committed is None or committed.block < epoch_block:
            return None
        view = view_commitment_in(committed.digest)
        if view is not None and view.epoch_block == epoch_block:
            return view
        block = committed.block - 1
        if block < epoch_block:
            return None
    return None


class _Looks:
    """The commitments as of some blocks, each block read once."""

    def __init__(self, chain: LiveChain) -> None:
        self._chain = chain
        self._by_block: dict[int, dict[str, Commitment]] = {}

    def at(self, block: int) -> Mapping[str, Commitment]:
        if block not in self._by_block:
            self._by_block[block] = {each.hotkey: each for each in self._chain.snapshot(block).commitments}
        return self._by_block[block]


def commit_view(
    chain: LiveChain, hotkey: str, epoch_block: int, sha256: str, read: str = "", winners: tuple[str, ...] = ()
) -> TxResult:
    """Commit to the own view, and keep what the hotkey is committed to otherwise. A repeat writes nothing.

    `read` and `winners` are what else it states: the views that it has read, and the marks of its winners. Another
    program of the same hotkey can write a text after this one has read the last. So the chain is read again
    afterwards, and a text that was lost is written beside the view.

    Raises:
        ChainUnavailable: the chain does not answer.
    """
    present = _text_at(chain.commitments(), hotkey)
    beside = beside_view(present)
    for _ in range(MAX_WRITES):
        if beside and is_entry_commitment(beside):
            return TxResult(
                False, "has_entry", "This hotkey has an entry on the chain. Use another hotkey for the federation"
            )
        wanted = ViewCommitment(epoch_block, sha256, beside, read, winners).text
        result = TxResult(True) if present == wanted else chain.publish(hotkey, wanted)
        if not result.ok or result.block is None:
            return result
        replaced = _text_at(chain.snapshot(result.block - 1).commitments, hotkey)
        if replaced == present:
            return result
        present, beside = wanted, beside_view(replaced)
    return result


def _text_at(commitments: Iterable[Commitment], hotkey: str) -> str:
    return next((each.digest for each in commitments if each.hotkey == hotkey), "")
