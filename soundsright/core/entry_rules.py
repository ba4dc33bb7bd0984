"""What an organiser may ask of an entry beyond a valid commitment, and every reason for which one is refused.

Blocks are counted. A reason's code is stable: miners, pages and other programs may rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

MAX_EARLIER_BLOCKS = 100
"""So many earlier commitments of a hotkey are looked at, the latest ones."""


@dataclass(frozen=True)
class EntryRules:
    """All off by default.

    `banned_hotkeys` maps a hotkey to the block at which its ban ends. `banned_content` holds SHA-256 hashes: of a
    repository's whole content, or of one of its files of weights. `cooldown_blocks` is the least distance between
    two commitments of a hotkey. `max_commitments` is how many it may make in the `commitment_window_blocks` that
    end with the close of entries; 0: any number. These two look at what the chain tells of earlier commitments, so
    that every validator comes to the same answer.

    Raises:
        ValueError: if a number is out of its range.
    """

    banned_hotkeys: Mapping[str, int] = field(default_factory=dict)
    banned_content: frozenset[str] = frozenset()
    cooldown_blocks: int = 0
    max_commitments: int = 0
    commitment_window_blocks: int = 7_200
    needs_licence: bool = False

    def __post_init__(self) -> None:
        if self.cooldown_blocks < 0:
            raise ValueError(f"cooldown_blocks {self.cooldown_blocks} is negative")
        if not 0 <= self.max_commitments <= MAX_EARLIER_BLOCKS:
            raise ValueError(
                f"max_commitments {self.max_commitments} does not lie between 0 and {MAX_EARLIER_BLOCKS}"
            )
        if self.commitment_window_blocks < 1:
            raise ValueError(f"commitment_window_blocks {self.commitment_window_blocks} is not positive")


NO_RULES = EntryRules()


@dataclass(frozen=True)
class RefusalReason:
    """When a code is given, and what a miner can do about it."""

    when: str
    remedy: str


REFUSAL_REASONS: Mapping[str, RefusalReason] = MappingProxyType(
    {
        # Who, and when.
        "not_registered": RefusalReason(
            "the hotkey was not registered when entries closed", "Register the hotkey, then commit."
        ),
        "stale_commitment": RefusalReason(
            "the commitment is older than the hotkey's registration", "Commit again."
        ),
        "too_late": RefusalReason("the commitment came after entries closed", "It counts for the next round."),
        "banned": RefusalReason("the hotkey is banned until a block", "Enter again once the ban has ended."),
        "cooldown": RefusalReason(
            "too few blocks lie between two commitments of the hotkey", "Wait longer before you commit again."
        ),
        "too_many_commitments": RefusalReason(
            "the hotkey committed more often than a round allows", "Commit less often."
        ),
        # What was committed.
        "not_revealed": RefusalReason(
            "the miner did not tell what its commitment stands for",
            "Keep the miner running and reachable until the round has begun.",
        ),
        "bad_reveal": RefusalReason(
            "what the miner told, or committed, is no entry", "Run the present `soundsright miner`."
        ),
        "bad_seal": RefusalReason("a sealed commitment cannot be opened", "Commit again with `soundsright miner`."),
        "sealed_too_long": RefusalReason(
            "a sealed commitment opens only after the seed is fixed", "Seal it to the close of entries."
        ),
        "wrong_hotkey": RefusalReason(
            "the commitment was written for another hotkey", "Commit with the hotkey that enters."
        ),
        "digest_mismatch": RefusalReason(
            "what was revealed does not hash to what was committed",
            "Reveal the very model that was committed, or commit the new one.",
        ),
        "unknown_competition": RefusalReason("this round has no such competition", "Enter one that it has."),
        "bad_reference": RefusalReason(
            "namespace or name is none that a hub has", "Use letters, digits and - _ . within the name."
        ),
        "bad_revision": RefusalReason(
            "the revision is not a commit", "Give the 40 hex digits of the commit, not a branch or tag."
        ),
        # What the hub says of it, before anything is fetched.
        "not_found": RefusalReason(
            "the hub has no such repository or revision, or does not show it",
            "Publish the repository for everybody to read.",
        ),
        "revision_not_found": RefusalReason(
            "the repository has no such commit", "Give a commit that is on the hub."
        ),
        "gated": RefusalReason("the repository asks for consent first", "Open the repository."),
        "forbidden": RefusalReason("the repository may not be read by everybody", "Open the repository."),
        "disabled": RefusalReason("the hub has disabled the repository", "Ask the hub, or publish it elsewhere."),
        "bad_path": RefusalReason("a file's name is unsafe, or longer than 240 bytes", "Rename the file."),
        "link": RefusalReason("the repository holds a link", "Publish the file itself."),
        "file_type": RefusalReason("the repository holds a file of a type that is not taken", "Remove the file."),
        "too_many_files": RefusalReason("the repository holds too many files", "Publish what the model needs."),
        "too_large": RefusalReason("the repository is too large", "Publish what the model needs."),
        # What the files say.
        "revision_mismatch": RefusalReason(
            "the files do not hash to their revision", "Publish the model anew and commit the new revision."
        ),
        "banned_content": RefusalReason(
            "the content, or a file of weights in it, is banned", "Enter a model of your own."
        ),
        "no_dockerfile": RefusalReason(
            "there is no Dockerfile at the root", "Start from `soundsright init-model`."
        ),
        "dockerfile": RefusalReason(
            "the Dockerfile cannot be read, or asks for what no model gets", "Change the lines that are named."
        ),
        "no_licence": RefusalReason(
            "there is no licence file at the root, and the organiser asks for one", "Add a LICENSE file."
        ),
        # Whose it is.
        "same_reference": RefusalReason(
            "an earlier entry names the same repository at the same commit", "Enter a model of your own."
        ),
        "same_content_hash": RefusalReason(
            "an earlier entry has the same bytes under the same paths", "Enter a model of your own."
        ),
        "shared_checkpoint": RefusalReason(
            "an earlier entry holds one of its files of weights", "Train weights of your own."
        ),
        "same_tensors": RefusalReason(
            "nine tenths of the smaller one's tensors are in an earlier entry too, in whatever file",
            "Train weights of your own.",
        ),
        "near_copy": RefusalReason(
            "it answers as an earlier entry does; refused where the organiser says so, else reported",
            "Enter a model that differs in what it does.",
        ),
        # Nobody's: no score, and no mark against the miner.
        "not_evaluated": RefusalReason(
            "it could not be fetched or run, in many tries, while others could",
            "See that everybody can have the repository and its base image.",
        ),
    }
)
"""Every code with which an entry is refused, in the order in which the rules are applied."""


def remedy_of(code: str) -> str:
    """What a miner can do about a refusal; empty for a code of a later version.

    >>> remedy_of("too_late")
    'It counts for the next round.'
    """
    reason = REFUSAL_REASONS.get(code)
    return reason.remedy if reason is not None else ""
