"""Which entries are copies of an earlier one.

Who held first what two entries share stays; in the same block the lowest uid. A hotkey holds what it enters from
the block of that commitment on, and an entry that it improves has held for as long what it keeps. A copy is dropped
with the rule that found it and the entry that it copies. Only entries that stay count as originals: what shares
nothing with them stays itself. Blocks are the chain's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
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
    """An entry that copies `original`, by which rule, and what shows it.

    `original_since` is the block since which the original has held what they share, where it is not its own.
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
        """The line under the leaderboard."""
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
    """Two entries, by `Submission.entry_id`, of which one must be a copy; which one, their blocks say.

    `since` are the blocks since which each has held what makes them alike, where these are known to be others.
    """

    first: str
    second: str
    rule: DuplicateRule
    evidence: Mapping[str, str] = field(default_factory=dict)
    since: tuple[int, int] | None = None


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
    items: Iterable[T],
    *,
    order: Callable[[T, Hashable], tuple[int, int]],
    marks: Callable[[T], Iterable[Hashable]],
) -> tuple[list[T], list[tuple[T, T, Hashable]]]:
    """The items that share no mark with an earlier kept one; and each other as (item, the kept one, the mark).

    `order` says since when an item has a mark. Of two items that one is earlier which had one of their shared marks
    first: what an item shares with others makes it no earlier. Where three and more are each earlier than the next
    in a ring, the one with the earliest mark of all stays.

    >>> items = [(3, "a"), (1, "a"), (2, "b")]
    >>> earliest_of_duplicates(items, order=lambda i, _mark: (i[0], 0), marks=lambda i: i[1])
    ([(1, 'a'), (2, 'b')], [((3, 'a'), (1, 'a'), 'a')])
    """
    found = list(items)
    claims = [{mark: order(item, mark) for mark in marks(item)} for item in found]
    first = [min(own.values(), default=()) for own in claims]
    earlier: dict[int, set[int]] = {index: set() for index in range(len(found))}  # of those still to be decided
    shared = _shared_claims(claims)
    low = {place: min(own.values()) for place, own in shared.items()}
    high = {place: max(own.values()) for place, own in shared.items()}
    for a, b in combinations(shared, 2):
        if not shared[a].keys().isdisjoint(shared[b]):
            # Most often each has had all of its marks since one block, and none need be looked at.
            a_first = high[a] <= low[b] or (low[a] < high[b] and _is_first(shared[a], shared[b]))
            earlier[b if a_first else a].add(a if a_first else b)
    kept: list[T] = []
    dropped: list[tuple[T, T, Hashable]] = []
    owner: dict[Hashable, T] = {}
    while earlier:
        turn = min(earlier, key=lambda i: (bool(earlier[i]), first[i], i))
        del earlier[turn]
        for others in earlier.values():
            others.discard(turn)
        item = found[turn]
        known = next((mark for mark in claims[turn] if mark in owner), None)
        if known is not None:
            dropped.append((item, owner[known], known))
            continue
        kept.append(item)
        owner.update(dict.fromkeys(claims[turn], item))
    return kept, dropped


def _shared_claims(claims: Sequence[Mapping[Hashable, tuple[int, int]]]) -> dict[int, dict[int, tuple[int, int]]]:
    """The claims on marks that others have too, by the claims' place; marks as numbers, which are found fast."""
    holders = Counter(mark for own in claims for mark in own)
    numbers = {mark: number for number, mark in enumerate(mark for mark, count in holders.items() if count > 1)}
    shared = ({numbers[mark]: since for mark, since in own.items() if mark in numbers} for own in claims)
    return {place: own for place, own in enumerate(shared) if own}


def _is_first(a: Mapping[int, tuple[int, int]], b: Mapping[int, tuple[int, int]]) -> bool:
    """Whether a had one of the marks that it shares with b before b had any of them."""
    both = a.keys() & b.keys()
    return min(map(a.__getitem__, both)) <= min(map(b.__getitem__, both))


def marks_of(model: FetchedModel) -> dict[str, DuplicateRule]:
    """What an entry can share with another by its reference and its bytes, with the rule; the first rule first."""
    return {
        str(model.submission.source): DuplicateRule.SAME_REFERENCE,
        model.content_hash: DuplicateRule.SAME_CONTENT,
        **dict.fromkeys(model.checkpoint_hashes, DuplicateRule.SHARED_CHECKPOINT),
    }


def contested_marks(models: Sequence[FetchedModel]) -> dict[str, list[str]]:
    """By entry id, the marks that another entry of the same competition has too."""
    holders = Counter((model.submission.competition.id, mark) for model in models for mark in marks_of(model))
    found = {
        model.submission.entry_id: [m for m in marks_of(model) if holders[model.submission.competition.id, m] > 1]
        for model in models
    }
    return {entry_id: marks for entry_id, marks in found.items() if marks}


def without_duplicates(
    models: Sequence[FetchedModel],
    *,
    since: Mapping[str, Mapping[str, int]] | None = None,
    likenesses: Sequence[Likeness] = (),
    reported_only: Collection[DuplicateRule] = (),
) -> Unique:
    """The models that copy no earlier one of the same competition.

    `since` are, by entry id and mark, the blocks since which entries have held a mark, where these are known; else
    their own blocks count. `likenesses` are pairs found by comparing tensors or behaviour. A pair found by a rule
    in `reported_only` excludes nobody: it is told under `suspected`.
    """
    blocks = since or {}

    def held(entry: Submission, mark: str) -> int:
        return min(entry.block, blocks.get(entry.entry_id, {}).get(mark, entry.block))

    def marks(model: FetchedModel) -> list[tuple[str, str]]:
        return [(model.submission.competition.id, mark) for mark in marks_of(model)]

    kept, dropped = earliest_of_duplicates(
        models, order=lambda m, mark: (held(m.submission, _value(mark)), m.submission.uid), marks=marks
    )
    duplicates = []
    for copy, original, mark in dropped:
        value = _value(mark)
        first = min(held(original.submission, both) for both in marks_of(copy).keys() & marks_of(original).keys())
        duplicates.append(
            _duplicate(copy.submission, original.submission, marks_of(copy)[value], {"shared": value}, first)
        )
    stayed, alike = _without_likenesses(kept, [one for one in likenesses if one.rule not in reported_only])
    stayed.sort(key=_present_order)
    suspected = [
        Duplicate(model.submission, original.submission, likeness.rule, likeness.evidence)
        for model in sorted(kept, key=_present_order)
        for original in stayed
        if _present_order(original) < _present_order(model)
        for likeness in likenesses
        if likeness.rule in reported_only and _is_of(likeness, model.submission, original.submission)
    ]
    return Unique(tuple(stayed), (*duplicates, *alike), tuple(suspected))


def _without_likenesses(
    models: Sequence[FetchedModel], likenesses: Sequence[Likeness]
) -> tuple[list[FetchedModel], list[Duplicate]]:
    """The models that are like no earlier one; each pair is a mark that only its two have."""
    by_id = {model.submission.entry_id: model.submission for model in models}
    pairs = [one for one in likenesses if one.first in by_id and one.second in by_id]
    pairs = [one for one in pairs if _is_of(one, by_id[one.first], by_id[one.second])]

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

    def order(model: FetchedModel, mark: Hashable) -> tuple[int, int]:
        assert isinstance(mark, int)
        return since(mark, model.submission), model.submission.uid

    stayed, dropped = earliest_of_duplicates(models, order=order, marks=marks)
    found = []
    for copy, original, mark in dropped:
        assert isinstance(mark, int)
        pair, first = pairs[mark], since(mark, original.submission)
        found.append(_duplicate(copy.submission, original.submission, pair.rule, pair.evidence, first))
    return stayed, found


def _duplicate(
    copy: Submission, original: Submission, rule: DuplicateRule, evidence: Mapping[str, str], since: int
) -> Duplicate:
    return Duplicate(copy, original, rule, evidence, None if since == original.block else since)


def _value(mark: Hashable) -> str:
    """The mark of an entry, out of its competition's."""
    assert isinstance(mark, tuple)
    return str(mark[1])


def _present_order(model: FetchedModel) -> tuple[int, int]:
    return precedence(model.submission)


def _is_of(likeness: Likeness, a: Submission, b: Submission) -> bool:
    same_competition = a.competition.id == b.competition.id
    return same_competition and {likeness.first, likeness.second} == {a.entry_id, b.entry_id}
