"""The recordings of a set whose seed's block is known, and the validator's commitment to them.

Blocks are counted, times are in seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from soundsright.core.corpus_commitment import corpus_commitment_in
from soundsright.core.material import Material
from soundsright.core.ports import Chain
from soundsright.core.schedule import Schedule
from soundsright.core.submission import Commitment


def material_of_round(material: Material, schedule: Schedule | None, time_s: float) -> Material:
    """The material of a round whose seed's block has that time.

    A private corpus has recordings for each of the organiser's ordinary rounds. The last ordinary round that
    started before the seed's block decides which of them are used.
    """
    if not material.is_private:
        return material
    number = None if schedule is None else schedule.last_started(time_s)
    return replace(material, round_number=0 if number is None else number)


def committed_block(chain: Chain, hotkey: str, roots: Collection[str], before: int) -> int | None:
    """The block before `before` in which a hotkey committed to one of the `roots` of a corpus; None if it did not.

    Raises:
        ChainUnavailable: the chain does not answer.
        HistoryGone: the hotkey has committed again since, and the chain no longer knows the state of that time.
    """
    own = commitment_of(chain.commitments(), hotkey)
    if own is None or own.block >= before:
        own = commitment_of(chain.snapshot(before - 1).commitments, hotkey)
    named = None if own is None else corpus_commitment_in(own.digest)
    return own.block if own is not None and named is not None and named.root in roots else None


def commitment_of(commitments: Sequence[Commitment], hotkey: str) -> Commitment | None:
    """The commitment of a hotkey; None if it has none."""
    return next((each for each in commitments if each.hotkey == hotkey), None)
