"""An organiser's rules for entries, and every reason for which an entry is refused.

A reason's code never changes: miners, pages and other programs can rely on it. The words can change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

MAX_EARLIER_BLOCKS = 100
"""At most this many earlier commitments of a hotkey are considered, the latest ones."""


@dataclass(frozen=True)
class EntryRules:
    """An organiser's requirements for an entry, beyond a valid commitment. All rules are off by default.

    `banned_hotkeys` maps a hotkey to the block at which its ban ends. `banned_content` lists SHA-256 hashes of
    whole repositories or of single files of weights. `cooldown_blocks` is the least distance between two
    commitments of a hotkey. `max_commitments` limits its commitments in the `commitment_window_blocks` before
    entries close; 0 means any number. Both use only the commitments on the chain, so every validator agrees.
    `unsalted` accepts commitments of format 1, which have no salt.
    `released` and `refused` are the organiser's decisions on entries whose scores were held: content hashes of
    whole repositories, or hotkeys. A released entry is paid again. A refused one is never paid.

    Raises:
        ValueError: if a number is out of its range.
    """

    banned_hotkeys: Mapping[str, int] = field(default_factory=dict)
    banned_content: frozenset[str] = frozenset()
    cooldown_blocks: int = 0
    max_commitments: int = 0
    commitment_window_blocks: int = 7_200
    needs_licence: bool = False
    unsalted: bool = False
    released: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.cooldown_blocks < 0:
            raise ValueError(f"cooldown_blocks {self.cooldown_blocks} is negative")
        if not 0 <= self.max_commitments <= MAX_EARLIER_BLOCKS:
            raise ValueError(f"max_commitments {self.max_commitments} is not between 0 and {MAX_EARLIER_BLOCKS}")
        if self.commitment_window_blocks < 1:
            raise ValueError(f"commitment_window_blocks {self.commitment_window_blocks} is not positive")
        if both := sorted(self.released & self.refused):
            raise ValueError(f"{both[0]} is both released and refused")


NO_RULES = EntryRules()


@dataclass(frozen=True)
class RefusalReason:
    """The condition for a code, and what the miner can do about it."""

    when: str
    remedy: str


REFUSAL_REASONS: Mapping[str, RefusalReason] = MappingProxyType(
    {
        # The hotkey, and the time of its commitment.
        "not_registered": RefusalReason(
            "your hotkey was not registered when entries closed", "Register the hotkey, then commit."
        ),
        "stale_commitment": RefusalReason(
            "your commitment is older than your hotkey's registration", "Commit again."
        ),
        "too_late": RefusalReason(
            "your commitment came after entries closed", "Do nothing: it counts for the next round."
        ),
        "banned": RefusalReason(
            "the organiser has banned your hotkey until a given block", "Enter again after that block."
        ),
        "cooldown": RefusalReason(
            "you committed again too soon after your last commitment",
            "Wait for the number of blocks that the organiser requires, then commit again.",
        ),
        "too_many_commitments": RefusalReason(
            "you committed more often than a round allows", "Commit less often; one commitment is enough."
        ),
        # The commitment and its reveal.
        "not_revealed": RefusalReason(
            "your miner did not reveal the model behind its commitment",
            "Keep `soundsright miner` running and reachable until the round has begun.",
        ),
        "bad_reveal": RefusalReason(
            "your commitment, or your miner's reveal, does not have the form of an entry",
            "Update SoundsRight, then commit again with `soundsright miner`.",
        ),
        "bad_seal": RefusalReason(
            "your sealed commitment cannot be opened", "Commit again with `soundsright miner`."
        ),
        "sealed_too_long": RefusalReason(
            "your sealed commitment opens too late, after the seed is fixed",
            "Seal it until entries close, as `soundsright miner` does.",
        ),
        "two_reveals": RefusalReason(
            "your miner signed two different reveals of one commitment in the same round",
            "Do not change the miner's model between the close of entries and the seed's block.",
        ),
        "wrong_hotkey": RefusalReason(
            "your commitment names another hotkey", "Commit with the hotkey that enters."
        ),
        "unsalted": RefusalReason(
            "your commitment has no salt, so a list of public models opens it before entries close",
            "Update SoundsRight, then commit again with `soundsright miner`.",
        ),
        "digest_mismatch": RefusalReason(
            "the model that you revealed is not the model that you committed",
            "Reveal the committed model, or commit the new one.",
        ),
        "unknown_competition": RefusalReason(
            "this round has no competition of that name",
            "Choose a competition of the organiser's rules; `soundsright rules show` prints them.",
        ),
        "bad_reference": RefusalReason(
            "no hub allows the model's namespace or name",
            "Use letters, digits, `-`, `_` and `.`; begin and end with a letter or digit.",
        ),
        "bad_name": RefusalReason(
            "the model's name does not begin with `leoma` or does not end with your hotkey",
            "Rename the repository, then commit again. Only the profiles `doc` and `code` ask for it.",
        ),
        "bad_image_ref": RefusalReason(
            "the image is not named by its digest",
            "Write repository@sha256: and the 64 hex digits of the digest. A tag can move.",
        ),
        "image_not_public": RefusalReason(
            "the image's registry is not public",
            "Push the image to a registry with a domain name, or ask the organiser to trust yours.",
        ),
        "pull_failed": RefusalReason(
            "the image cannot be pulled",
            "Check that anybody can pull it by its digest, then submit again.",
        ),
        "bad_submission": RefusalReason(
            "a submission of an image has another form",
            "Send hotkey, image_ref and submit_time, as docs/reference/executor.md shows them.",
        ),
        "duplicate_hotkey": RefusalReason(
            "a list has two submissions of one hotkey", "Send the submission that stands now."
        ),
        "too_many": RefusalReason("a list has too many submissions", "Send at most 4096."),
        "bad_row": RefusalReason(
            "a row of an executor's table has another form", "Check that the address leads to an executor."
        ),
        "bad_source": RefusalReason(
            "the source code's address is not a plain https URL",
            "Write https://host/path, without a user, a password, a query or a fragment.",
        ),
        "bad_revision": RefusalReason(
            "the revision is not a full commit", "Give the 40 hex digits of the commit, not a branch or a tag."
        ),
        # The hub's answer, before any file is fetched.
        "not_found": RefusalReason(
            "the hub has no such repository or revision, or does not show it",
            "Check the name, and make the repository public.",
        ),
        "revision_not_found": RefusalReason(
            "the repository does not contain that commit",
            "Push the commit to the hub, or commit a revision that is there.",
        ),
        "gated": RefusalReason(
            "the repository asks readers for consent first", "Turn off gated access on the hub."
        ),
        "forbidden": RefusalReason("the repository is not public", "Make the repository public."),
        "disabled": RefusalReason(
            "the hub has disabled the repository", "Ask the hub why, or publish the model in another repository."
        ),
        "bad_path": RefusalReason(
            "a file's name is unsafe, or longer than 240 bytes",
            "Rename the file, publish again and commit the new revision.",
        ),
        "link": RefusalReason(
            "the repository contains a symbolic link", "Replace the link by the file that it points to."
        ),
        "file_type": RefusalReason(
            "the repository contains a file of a type that this competition does not accept",
            "Remove the file, publish again and commit the new revision.",
        ),
        "lfs_pointer": RefusalReason(
            "a file is a Git LFS pointer, not the file itself",
            "Run `git lfs pull` in the model's repository, publish again and commit the new revision.",
        ),
        "too_many_files": RefusalReason(
            "the repository has more files than this competition accepts",
            "Remove the files that the model does not need.",
        ),
        "too_large": RefusalReason(
            "the repository is larger than this competition accepts",
            "Remove the files that the model does not need, or make the weights smaller.",
        ),
        # The files.
        "revision_mismatch": RefusalReason(
            "the files do not match their revision", "Publish the model again and commit the new revision."
        ),
        "bad_archive": RefusalReason(
            "the sealed archive in the repository cannot be opened with the key that you revealed",
            "Seal the model again with `soundsright seal`, publish the archive and commit it.",
        ),
        "content_mismatch": RefusalReason(
            "the files in the repository are not the content that you committed",
            "Reveal a repository with the committed files, or commit the new content.",
        ),
        "banned_content": RefusalReason(
            "the organiser has banned this model, or a file of weights in it", "Enter another model."
        ),
        "no_dockerfile": RefusalReason(
            "there is no Dockerfile at the root of the repository",
            "Add one; `soundsright init-model` writes a model folder with a Dockerfile.",
        ),
        "dockerfile": RefusalReason(
            "the Dockerfile cannot be read, or asks for something that no model gets",
            "Change the lines that the message names.",
        ),
        "no_licence": RefusalReason(
            "there is no licence file at the root, and the organiser requires one", "Add a LICENSE file."
        ),
        # Copies of earlier entries.
        "same_reference": RefusalReason(
            "an earlier entry names the same repository at the same commit", "Enter a model of your own."
        ),
        "same_content_hash": RefusalReason(
            "an earlier entry has exactly the same files", "Enter a model of your own."
        ),
        "shared_checkpoint": RefusalReason(
            "an earlier entry contains one of your files of weights, or names the same image",
            "Train weights of your own, and build an image of your own.",
        ),
        "same_tensors": RefusalReason(
            "an earlier entry has at least 90 % of the same tensors, counted in the smaller model",
            "Train weights of your own. Renaming or converting a file does not change its tensors.",
        ),
        "near_copy": RefusalReason(
            "its output is nearly the same as an earlier entry's; the organiser decides whether that is refused or"
            " only reported. An image is refused unless its lead over the earlier one is certain",
            "Enter a model whose output differs, or an image that is clearly faster.",
        ),
        # Nobody is to blame. The entry gets no score.
        "not_evaluated": RefusalReason(
            "it could not be fetched or run in many tries, while other entries could",
            "Check that anyone can download the repository and its base image.",
        ),
    }
)
"""Every code with which an entry is refused, in the order in which the rules are applied."""


def remedy_of(code: str) -> str:
    """The remedy for a refusal, for the miner. Empty for a code that this version does not know.

    >>> remedy_of("forbidden")
    'Make the repository public.'
    """
    reason = REFUSAL_REASONS.get(code)
    return reason.remedy if reason is not None else ""
