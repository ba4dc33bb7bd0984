"""The results of a round that a replay can check, and the sample of them that a block decides.

A signer could choose which results it falsifies, but not which a sample draws: the order follows from the hash of a
block that was made after the document was signed, and from the document's own digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.errors import BundleRefused, UsageError
from soundsright.core.ports import Chain
from soundsright.services.records import OpenedRound, RoundBundle, ScoreLine, first_commitment_block
from soundsright.services.replay.deciding import UNPROCESSED
from soundsright.services.rounds import steps

BLOCKS_AFTER = 10
"""A sample is drawn by the block so many blocks after the signer's commitment. Its hash is not known before."""


@dataclass(frozen=True)
class ScoredPair:
    """One recorded result and the audio that it was computed from, each signal by the SHA-256 of its WAV file.

    `answer` is None if the model did not answer the clip.
    """

    line: ScoreLine
    clean: str
    degraded: str
    answer: str | None

    @property
    def key(self) -> tuple[str, str, str]:
        """The competition, the entry's hotkey, and the clip."""
        return self.line.competition, self.line.entry, self.line.id


def pairs_of(bundle: RoundBundle) -> tuple[ScoredPair, ...]:
    """All results of a round with their audio, in the order of scores.jsonl.

    Raises:
        BundleRefused: a file is missing or damaged, or a result has no clip or no answer.
    """
    clips = {(row["competition"], row["clip"]): row for row in bundle.clips()}
    answers = {(row["entry"], row["clip"]): row.get("sha256") for row in bundle.answers()}
    entry_ids = entry_ids_of(bundle)
    pairs = []
    for line in bundle.scores():
        clip = clips.get((line.competition, line.id))
        if clip is None:
            raise BundleRefused(f"clips.jsonl has no clip {line.id} of {line.competition}, which has scores")
        answer: str | None = clip["degraded"]
        if line.entry != UNPROCESSED:
            key = (entry_ids.get((line.competition, line.entry), ""), line.id)
            if key not in answers:
                raise BundleRefused(f"answers.jsonl has no answer of {line.entry} to {line.id}, which has scores")
            answer = answers[key]
        pairs.append(ScoredPair(line, clip["clean"], clip["degraded"], answer))
    return tuple(pairs)


def sampled(
    pairs: Sequence[ScoredPair], count: int, block_hash: str, document_sha256: str
) -> tuple[ScoredPair, ...]:
    """The results that a block draws, in the order in which it draws them.

    Results are ordered by SHA-256 over `soundsright.sample/1`, the block's hash, the SHA-256 of the round document,
    the competition, the entry and the clip, one a line.

    Raises:
        UsageError: the hash is not one of a block, or no result is to be drawn.
    """
    digits = block_hash.removeprefix("0x").lower()
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise UsageError(
            f"--block-hash {block_hash[:80]} is not the hash of a block", "Give 64 hex digits, with or without 0x."
        )
    if count < 1:
        raise UsageError(f"--sample {count} draws nothing", "Give 1 or a larger number.")

    def place(pair: ScoredPair) -> bytes:
        lines = ("soundsright.sample/1", digits, document_sha256, *pair.key)
        return hashlib.sha256("\n".join(lines).encode()).digest()

    return tuple(sorted(pairs, key=place)[:count])


@dataclass(frozen=True)
class SampleBlock:
    """The block that draws a sample: its number and its hash, and the block of the signer's commitment."""

    number: int
    hash: str
    committed: int


def sample_block(chain: Chain, opened: OpenedRound, hint: int | None) -> SampleBlock:
    """The block that draws the sample of a round: `BLOCKS_AFTER` after the signer's first commitment to it.

    The signer had to write the document before that block existed, and everyone reads the same block. `hint` is the
    block of the commitment that the bundle names.

    Raises:
        UsageError: nobody signed the document, or the block is not final yet.
        BundleRefused: the signer did not commit to the document, or committed to another one.
        ChainUnavailable: the chain does not answer, or has forgotten the block.
    """
    if opened.signer is None:
        raise UsageError(
            "Nobody signed the round document, so no chain has a commitment to it", "Give --block-hash instead."
        )
    committed = first_commitment_block(chain, opened.signer, opened.document.round.id, opened.sha256, hint)
    number, final = committed + BLOCKS_AFTER, chain.finalized().number
    if final < number:
        raise UsageError(
            f"Block {number}, which draws the sample, is not final yet: the chain is at block {final}",
            "Try again when it is.",
        )
    return SampleBlock(number, chain.block_hash(number), committed)


def disclosed_clips(bundle: RoundBundle) -> frozenset[tuple[str, str]]:
    """The competition and the id of each clip whose recipe was withheld when the round ended, and is shown now."""
    return frozenset((c.id, clip) for c in bundle.document.competitions for clip in bundle.disclosed(c.id))


def entry_ids_of(bundle: RoundBundle) -> Mapping[tuple[str, str], str]:
    """The ids of entries by competition and hotkey."""
    entries = steps.RoundSteps(bundle.document.round.id, bundle.steps()).get(steps.ENTRIES)
    return {(e.competition_id, e.hotkey): e.entry_id for e in (entries.submissions if entries else ())}
