"""A signer's commitment to a round document, looked up on a chain. Blocks are counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from soundsright.core.errors import BundleRefused, HistoryGone
from soundsright.core.ports import Chain
from soundsright.core.round_commitment import round_commitment_in
from soundsright.core.submission import Commitment
from soundsright.services.records.round_bundle import bundled_object
from soundsright.services.records.round_making import COMMITTED, RECORD
from soundsright.services.records.round_store import BundleStore
from soundsright.services.rounds import write_text

_COMMITTED_SCHEMA = "soundsright.committed/1"
_MAX_EARLIER = 64
"""So many earlier commitments of a hotkey are looked up, the latest first."""


def commitment_block(chain: Chain, signer: str, round_id: str, sha256: str, hint: int | None = None) -> int:
    """The block in which the signer committed to the document. `hint` is the block that the bundle names.

    Raises:
        BundleRefused: it did not, or it committed to another document of that round.
        ChainUnavailable: the chain does not answer.
    """
    return next(_commitments_to(chain, signer, round_id, sha256, hint)).block


def first_commitment_block(chain: Chain, signer: str, round_id: str, sha256: str, hint: int | None = None) -> int:
    """The first known block in which the signer committed to the document.

    A signer that commits again cannot move it to a later block. The arguments and errors are those of
    `commitment_block`. Earlier commitments are known as far back as the node has history.
    """
    found = _commitments_to(chain, signer, round_id, sha256, hint)
    return min(c.block if c.first_block is None else min(c.first_block, c.block) for c in found)


def _commitments_to(
    chain: Chain, signer: str, round_id: str, sha256: str, hint: int | None
) -> Iterator[Commitment]:
    """The signer's commitments to the document, at least one."""
    found_any = False
    for commitment in _commitments(chain, signer, hint):
        found = round_commitment_in(commitment.digest)
        if found is None or found.round_id != round_id:
            continue
        if found.sha256 != sha256:
            raise BundleRefused(
                f"{signer} committed to another document of round {round_id}: {found.sha256} in block"
                f" {commitment.block}, and this one is {sha256}",
                "Keep this bundle: it is signed, so the two prove that the signer wrote two documents.",
            )
        found_any = True
        yield commitment
    if not found_any:
        raise BundleRefused(
            f"{signer} has no commitment to the document {sha256[:16]} of round {round_id} on this chain",
            "Check the network, or ask the signer for the block.",
        )


def _commitments(chain: Chain, signer: str, hint: int | None) -> Iterator[Commitment]:
    """The signer's commitment now, at the block that was named, and before."""
    now = next((c for c in chain.commitments() if c.hotkey == signer), None)
    if now is not None:
        yield now
    head = chain.head().number
    earlier = () if now is None else now.earlier_blocks[-_MAX_EARLIER:]
    for block in ([hint] if hint is not None and 0 <= hint <= head else []) + list(reversed(earlier)):
        try:
            closed = chain.snapshot(block)
        except HistoryGone:
            continue
        yield from (c for c in closed.commitments if c.hotkey == signer)


def write_committed(folder: Path, block: int) -> None:
    """Write down, beside the record in the folder of a run, in which block its signer committed to it.

    The file is not signed: it only says where to look.

    Raises:
        InfrastructureFault: the disk is full or not writable.
    """
    if (folder / RECORD).is_dir():
        write_text(folder / RECORD / COMMITTED, json.dumps({"schema": _COMMITTED_SCHEMA, "block": block}) + "\n")


def committed_block(store: BundleStore) -> int | None:
    """The block that the bundle names; None if it names none.

    Raises:
        BundleRefused: the file cannot be read.
    """
    if COMMITTED not in store.sizes:
        return None
    block = bundled_object(COMMITTED, store.read(COMMITTED)).get("block")
    return block if isinstance(block, int) and not isinstance(block, bool) else None
