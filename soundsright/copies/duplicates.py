"""Finds entries that are copies of earlier ones.

If two entries share a part, the entry whose hotkey held the part first stays. In the same block, the lower uid
stays. A hotkey holds its model from the block of its commitment on. If it later enters an improved model, the
unchanged parts count as held since the first commitment. A copy is dropped, with the rule that found it and the
entry that it copies. Only entries that stay count as originals. Blocks are counted on the chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import TypeVar

from soundsright.core.competition import Competition
from soundsright.core.results import Refusal
from soundsright.core.submission import FetchedModel, Submission

T = TypeVar("T")


class DuplicateRule(StrEnum):
    """The rules, in the order in which they are tried. The value is the code of the refusal."""

    SAME_REFERENCE = "same_reference"
    SAME_CONTENT = "same_content_hash"
    SHARED_CHECKPOINT = "shared_checkpoint"
    SAME_TENSORS = "same_tensors"
    NEAR_COPY = "near_copy"


_SENTENCES: Mapping[DuplicateRule, str] = {
    DuplicateRule.SAME_REFERENCE: "It has the same source as {original}, which came first",
    DuplicateRule.SAME_CONTENT: "Its content is byte for byte the same as that of {original}, which came first",
    DuplicateRule.SHARED_CHECKPOINT: "It shares a file of weights or an image with {original}, which came first",
    DuplicateRule.SAME_TENSORS: "It has the same tensors as {original}, which came first",
    DuplicateRule.NEAR_COPY: "Its output on probe clips is nearly the same as that of {original}, which came first",
}


@dataclass(frozen=True)
class Duplicate:
    """An entry that copies `original`, the rule that found it, and the evidence.

    `original_since` is the block from which the original's hotkey has held the shared part. It is None if that is
    the block of the original's commitment.
    """

    duplicate: Submission
    original: Submission
    rule: DuplicateRule
    evidence: Mapping[str, str] = field(default_factory=dict)
    original_since: int | None = None

    @property
    def sentence(self) -> str:
        entry = self.original
        came = f"block {entry.block}" if self.original_since is None else f"held since block {self.original_since}"
        return _SENTENCES[self.rule].format(original=f"{entry.source.repository} (uid {entry.uid}, {came})")

    def refusal(self) -> Refusal:
        """The refusal of the copy, for the leaderboard and the miner."""
        return Refusal(
            hotkey=self.duplicate.hotkey,
            uid=self.duplicate.uid,
            label=self.duplicate.source.repository,
            competition_id=self.duplicate.competition.id,
            code=self.rule.value,
            sentence=self.sentence,
            evidence={
                "original_hotkey": self.original.hotkey,
                "original_uid": str(self.original.uid),
                "original_model": str(self.original.source),
                "original_block": str(self.original.block),
                **({} if self.original_since is None else {"original_since_block": str(self.original_since)}),
                "block": str(self.duplicate.block),
                **self.evidence,
            },
        )


@dataclass(frozen=True)
class Likeness:
    """Two entries, by `Submission.entry_id`, of which one must be a copy. Their blocks decide which one.

    `since` are the blocks from which each hotkey has held the shared part. It is None if they are the blocks of the
    two commitments.
    """

    first: str
    second: str
    rule: DuplicateRule
    evidence: Mapping[str, str] = field(default_factory=dict)
    since: tuple[int, int] | None = None


@dataclass(frozen=True)
class Unique:
    """The entries that stay, earliest first, and the copies. The `suspected` stay too, and are reported."""

    kept: tuple[FetchedModel, ...]
    duplicates: tuple[Duplicate, ...]
    suspected: tuple[Duplicate, ...] = ()

    def copies_of(self, submission: Submission) -> int:
        """The number of entries in its competition that copy this one. They widen the margin of a champion."""
        own = submission.competition.id
        return sum(c.original == submission and c.duplicate.competition.id == own for c in self.duplicates)


def precedence(submission: Submission) -> tuple[int, int]:
    """The key that orders entries: the block of the commitment, then the uid."""
    return submission.block, submission.uid


def earliest_of_duplicates(
    items: Iterable[T],
    *,
    order: Callable[[T, Hashable], tuple[int, int]],
    marks: Callable[[T], Iterable[Hashable]],
) -> tuple[list[T], list[tuple[T, T, Hashable]]]:
    """Split items into those that stay and those that share a mark with an earlier one that stays.

    Each dropped item comes as (item, the item that stays, the shared mark). `order` gives the block from which an
    item has had a mark, and its uid. The earlier of two items is the one that had one of their shared marks first;
    marks that it shares with other items do not count. If three or more items are each earlier than the next in a
    circle, the item with the earliest mark of all stays.

    >>> items = [(3, "a"), (1, "a"), (2, "b")]
    >>> earliest_of_duplicates(items, order=lambda i, _mark: (i[0], 0), marks=lambda i: i[1])
    ([(1, 'a'), (2, 'b')], [((3, 'a'), (1, 'a'), 'a')])
    """
    all_items = list(items)
    claims = [{mark: order(item, mark) for mark in marks(item)} for item in all_items]
    first = [min(own.values(), default=()) for own in claims]
    earlier: dict[int, set[int]] = {index: set() for index in range(len(all_items))}  # only undecided items
    shared = _shared_claims(claims)
    low = {index: min(own.values()) for index, own in shared.items()}
    high = {index: max(own.values()) for index, own in shared.items()}
    for a, b in combinations(shared, 2):
        if not shared[a].keys().isdisjoint(shared[b]):
            # Most items got all their marks in one block. Then `low` and `high` decide without comparing marks.
            a_first = high[a] <= low[b] or (low[a] < high[b] and _is_first(shared[a], shared[b]))
            earlier[b if a_first else a].add(a if a_first else b)
    kept: list[T] = []
    dropped: list[tuple[T, T, Hashable]] = []
    owner: dict[Hashable, T] = {}
    while earlier:
        index = min(earlier, key=lambda i: (bool(earlier[i]), first[i], i))
        del earlier[index]
        for undecided in earlier.values():
            undecided.discard(index)
        item = all_items[index]
        owned_mark = next((mark for mark in claims[index] if mark in owner), None)
        if owned_mark is not None:
            dropped.append((item, owner[owned_mark], owned_mark))
            continue
        kept.append(item)
        owner.update(dict.fromkeys(claims[index], item))
    return kept, dropped


def _shared_claims(claims: Sequence[Mapping[Hashable, tuple[int, int]]]) -> dict[int, dict[int, tuple[int, int]]]:
    """The claims on marks that several items have, by the item's index. Marks become numbers for speed."""
    holders = Counter(mark for own in claims for mark in own)
    numbers = {mark: number for number, mark in enumerate(mark for mark, count in holders.items() if count > 1)}
    shared = ({numbers[mark]: since for mark, since in own.items() if mark in numbers} for own in claims)
    return {index: own for index, own in enumerate(shared) if own}


def _is_first(a: Mapping[int, tuple[int, int]], b: Mapping[int, tuple[int, int]]) -> bool:
    """Whether a had one of the marks that it shares with b before b had any of these marks."""
    both = a.keys() & b.keys()
    return min(map(a.__getitem__, both)) <= min(map(b.__getitem__, both))


def marks_of(model: FetchedModel) -> dict[str, DuplicateRule]:
    """The marks of an entry by its source and its bytes, with the rule of each, in the order of the rules."""
    return {
        str(model.submission.source): DuplicateRule.SAME_REFERENCE,
        model.content_hash: DuplicateRule.SAME_CONTENT,
        **dict.fromkeys(model.checkpoint_hashes, DuplicateRule.SHARED_CHECKPOINT),
    }


def contest_of(competition: Competition) -> str:
    """The task and rate by which a competition's entries are compared.

    Two competitions can have one task and one rate. A copy in one of them could take the prize of the other.
    """
    return f"{competition.task}_{competition.sample_rate_hz}HZ"


def contested_marks(models: Sequence[FetchedModel]) -> dict[str, list[str]]:
    """By entry id, the marks that another entry for the same task and rate also has."""
    holders = Counter(
        (contest_of(model.submission.competition), mark) for model in models for mark in marks_of(model)
    )
    contested = {
        model.submission.entry_id: [
            mark for mark in marks_of(model) if holders[contest_of(model.submission.competition), mark] > 1
        ]
        for model in models
    }
    return {entry_id: marks for entry_id, marks in contested.items() if marks}


def without_duplicates(
    models: Sequence[FetchedModel],
    *,
    since: Mapping[str, Mapping[str, int]] | None = None,
    likenesses: Sequence[Likeness] = (),
    reported_only: Collection[DuplicateRule] = (),
) -> Unique:
    """Split the models into those that stay and those that copy an earlier one for the same task and rate.

    `since` gives, by entry id and mark, the block from which the entry's hotkey has held the mark. Without it, the
    block of the entry's commitment counts. `likenesses` are pairs that a comparison of tensors or outputs found. A
    pair whose rule is in `reported_only` excludes no entry; it is listed under `suspected`.
    """
    blocks = since or {}

    def held_since(entry: Submission, mark: str) -> int:
        return min(entry.block, blocks.get(entry.entry_id, {}).get(mark, entry.block))

    def marks(model: FetchedModel) -> list[tuple[str, str]]:
        return [(contest_of(model.submission.competition), mark) for mark in marks_of(model)]

    kept, dropped = earliest_of_duplicates(
        models, order=lambda m, mark: (held_since(m.submission, _value(mark)), m.submission.uid), marks=marks
    )
    duplicates = []
    for copy, original, mark in dropped:
        value = _value(mark)
        first = min(
            held_since(original.submission, both) for both in marks_of(copy).keys() & marks_of(original).keys()
        )
        duplicates.append(
            _duplicate(copy.submission, original.submission, marks_of(copy)[value], {"shared": value}, first)
        )
    stayed, alike = _without_likenesses(kept, [pair for pair in likenesses if pair.rule not in reported_only])
    stayed.sort(key=_order)
    suspected = [
        Duplicate(model.submission, original.submission, likeness.rule, likeness.evidence)
        for model in sorted(kept, key=_order)
        for original in stayed
        if _order(original) < _order(model)
        for likeness in likenesses
        if likeness.rule in reported_only and _is_of(likeness, model.submission, original.submission)
    ]
    return Unique(tuple(stayed), (*duplicates, *alike), tuple(suspected))


def _without_likenesses(
    models: Sequence[FetchedModel], likenesses: Sequence[Likeness]
) -> tuple[list[FetchedModel], list[Duplicate]]:
    """The models without those that are like an earlier one. Each pair acts as a mark of its two entries."""
    by_id = {model.submission.entry_id: model.submission for model in models}
    pairs = [pair for pair in likenesses if pair.first in by_id and pair.second in by_id]
    pairs = [pair for pair in pairs if _is_of(pair, by_id[pair.first], by_id[pair.second])]

    def since(number: int, entry: Submission) -> int:
        pair = pairs[number]
        return entry.block if pair.since is None else pair.since[(pair.first, pair.second).index(entry.entry_id)]

    def other(number: int, entry: Submission) -> Submission:
        pair = pairs[number]
        return by_id[pair.first if entry.entry_id == pair.second else pair.second]

    def marks(model: FetchedModel) -> list[int]:
        entry = model.submission
        own = [number for number, pair in enumerate(pairs) if entry.entry_id in (pair.first, pair.second)]
        return sorted(own, key=lambda number: precedence(other(number, entry)))

    def order_by_mark(model: FetchedModel, mark: Hashable) -> tuple[int, int]:
        assert isinstance(mark, int)
        return since(mark, model.submission), model.submission.uid

    stayed, dropped = earliest_of_duplicates(models, order=order_by_mark, marks=marks)
    duplicates = []
    for copy, original, mark in dropped:
        assert isinstance(mark, int)
        pair, first = pairs[mark], since(mark, original.submission)
        duplicates.append(_duplicate(copy.submission, original.submission, pair.rule, pair.evidence, first))
    return stayed, duplicates


def _duplicate(
    copy: Submission, original: Submission, rule: DuplicateRule, evidence: Mapping[str, str], since: int
) -> Duplicate:
    return Duplicate(copy, original, rule, evidence, None if since == original.block else since)


def _value(mark: Hashable) -> str:
    """The mark of an entry, without the task and rate."""
    assert isinstance(mark, tuple)
    return str(mark[1])


def _order(model: FetchedModel) -> tuple[int, int]:
    return precedence(model.submission)


def _is_of(likeness: Likeness, a: Submission, b: Submission) -> bool:
    are_compared = contest_of(a.competition) == contest_of(b.competition)
    return are_compared and {likeness.first, likeness.second} == {a.entry_id, b.entry_id}
