"""Which entries are copies of an earlier one.

The earliest commitment stays; in the same block the lowest uid. A copy is dropped with the rule that found it and
the entry that it copies. Only entries that stay count as originals: what shares nothing with them stays itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from soundsright.core.results import Refusal
from soundsright.core.submission import FetchedModel, Submission

T = TypeVar("T")


class DuplicateRule(StrEnum):
    """In the order in which they are tried; the value is the refusal's code."""

    SAME_REFERENCE = "same_reference"
    SAME_CONTENT = "same_content_hash"
    SHARED_CHECKPOINT = "shared_checkpoint"
    SAME_TENSORS = "same_tensors"
    NEAR_COPY = "near_copy"


_SENTENCES: Mapping[DuplicateRule, str] = {
    DuplicateRule.SAME_REFERENCE: "The same repository at the same commit as {original}, which came first",
    DuplicateRule.SAME_CONTENT: "Byte for byte the same content as {original}, which came first",
    DuplicateRule.SHARED_CHECKPOINT: "Shares a file of weights with {original}, which came first",
    DuplicateRule.SAME_TENSORS: "Holds the same tensors as {original}, which came first",
    DuplicateRule.NEAR_COPY: "Answers probe clips as {original} does, which came first",
}


@dataclass(frozen=True)
class Duplicate:
    """An entry that copies `original`, by which rule, and what shows it."""

    duplicate: Submission
    original: Submission
    rule: DuplicateRule
    evidence: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        return _SENTENCES[self.rule].format(original=_title(self.original))

    def refusal(self) -> Refusal:
        """The line under the leaderboard."""
        return Refusal(
            hotkey=self.duplicate.hotkey,
            uid=self.duplicate.uid,
            label=self.duplicate.model.repository,
            competition_id=self.duplicate.competition.id,
            code=self.rule.value,
            sentence=self.sentence,
            evidence={
                "original_hotkey": self.original.hotkey,
                "original_uid": str(self.original.uid),
                "original_model": str(self.original.model),
                "original_block": str(self.original.block),
                "block": str(self.duplicate.block),
                **self.evidence,
            },
        )


@dataclass(frozen=True)
class Likeness:
    """Two entries, by `Submission.entry_id`, of which one must be a copy; which one, their blocks say."""

    first: str
    second: str
    rule: DuplicateRule
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unique:
    """The entries that stay, earliest first, and those that do not. `suspected` stay, and are reported."""

    kept: tuple[FetchedModel, ...]
    duplicates: tuple[Duplicate, ...]
    suspected: tuple[Duplicate, ...] = ()

    def copies_of(self, submission: Submission) -> int:
        """How many entries copied this one: what tightens a champion's defence."""
        return sum(found.original == submission for found in self.duplicates)


def precedence(submission: Submission) -> tuple[int, int]:
    """What the order of entries is decided by: the block of the commitment, then the uid."""
    return submission.block, submission.uid


def earliest_of_duplicates(
    items: Iterable[T], *, order: Callable[[T], tuple[int, int]], marks: Callable[[T], Iterable[Hashable]]
) -> tuple[list[T], list[tuple[T, T, Hashable]]]:
    """The items that share no mark with an earlier kept one; and each other as (item, the kept one, the mark).

    >>> items = [(3, "a"), (1, "a"), (2, "b")]
    >>> earliest_of_duplicates(items, order=lambda i: (i[0], 0), marks=lambda i: i[1])
    ([(1, 'a'), (2, 'b')], [((3, 'a'), (1, 'a'), 'a')])
    """
    kept: list[T] = []
    dropped: list[tuple[T, T, Hashable]] = []
    owner: dict[Hashable, T] = {}
    for item in sorted(items, key=order):
        own = list(marks(item))
        known = next((mark for mark in own if mark in owner), None)
        if known is not None:
            dropped.append((item, owner[known], known))
            continue
        kept.append(item)
        owner.update(dict.fromkeys(own, item))
    return kept, dropped


def without_duplicates(
    models: Sequence[FetchedModel],
    *,
    likenesses: Sequence[Likeness] = (),
    reported_only: Collection[DuplicateRule] = (),
) -> Unique:
    """The models that copy no earlier one of the same competition.

    `likenesses` are pairs found by comparing tensors or behaviour. A pair found by a rule in `reported_only`
    excludes nobody: it is told under `suspected`.
    """

    def marks(model: FetchedModel) -> list[Hashable]:
        scope = model.submission.competition.id
        return [
            (scope, DuplicateRule.SAME_REFERENCE, str(model.submission.model)),
            (scope, DuplicateRule.SAME_CONTENT, model.content_hash),
            *((scope, DuplicateRule.SHARED_CHECKPOINT, checkpoint) for checkpoint in model.checkpoint_hashes),
        ]

    kept, dropped = earliest_of_duplicates(models, order=lambda m: precedence(m.submission), marks=marks)
    duplicates = []
    for copy, original, mark in dropped:
        assert isinstance(mark, tuple)
        _, rule, value = mark
        duplicates.append(Duplicate(copy.submission, original.submission, rule, {"shared": value}))
    stayed: list[FetchedModel] = []
    suspected: list[Duplicate] = []
    for model in kept:
        found = [
            Duplicate(model.submission, original.submission, likeness.rule, likeness.evidence)
            for original in stayed
            for likeness in likenesses
            if _is_of(likeness, model.submission, original.submission)
        ]
        suspected += [one for one in found if one.rule in reported_only]
        excluding = [one for one in found if one.rule not in reported_only]
        if excluding:
            duplicates.append(excluding[0])
        else:
            stayed.append(model)
    return Unique(tuple(stayed), tuple(duplicates), tuple(suspected))


def _is_of(likeness: Likeness, a: Submission, b: Submission) -> bool:
    same_competition = a.competition.id == b.competition.id
    return same_competition and {likeness.first, likeness.second} == {a.entry_id, b.entry_id}


def _title(submission: Submission) -> str:
    return f"{submission.model.repository} (uid {submission.uid}, block {submission.block})"
