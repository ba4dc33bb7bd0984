"""The result of a replay: what was checked, what was not, and the first difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from soundsright.services.rounds import Difference, Unchecked


class Depth(StrEnum):
    """The part of a round that a replay computes again."""

    DECIDE = "decide"
    """The statistics, prizes and weights, from the scores."""
    SCORE = "score"
    """The scores too, from the audio."""
    RUN = "run"
    """The answers too, from the models and the recordings."""


STEPS = "steps computed again"
SCORES = "scores computed again"
ANSWERS = "answers given again"
_RESULTS = {Depth.DECIDE: STEPS, Depth.SCORE: SCORES, Depth.RUN: ANSWERS}
"""The name in `checked` of the results of a depth."""


@dataclass(frozen=True)
class Sample:
    """The number of results that a replay drew, and the block hash that decided which.

    `block` is the number of that block and `committed` that of the signer's commitment. Both are None if the hash
    was given and not read from a chain.
    """

    results: int
    block_hash: str
    block: int | None = None
    committed: int | None = None

    @property
    def sentence(self) -> str:
        """Which block drew the sample, and why its signer could not choose it."""
        if self.block is None or self.committed is None:
            return (
                f"{self.results} results, drawn by the block with the hash {self.block_hash}. The signer could not "
                "choose them if that block was made after the signature."
            )
        return (
            f"{self.results} results, drawn by block {self.block} ({self.block_hash}). It was made "
            f"{self.block - self.committed} blocks after the signer committed to the bundle in block "
            f"{self.committed}, so the signer could not choose them."
        )


@dataclass(frozen=True)
class ReplayReport:
    """The result of a replay. `checked` counts results and steps by name.

    `difference` is the first difference, or None. `unchecked` are the parts that the bundle does not let anyone
    check, each with the reason. `remarks` are sentences for people.
    """

    depth: Depth
    checked: Mapping[str, int]
    difference: Difference | None
    unchecked: tuple[Unchecked, ...] = ()
    sample: Sample | None = None
    remarks: tuple[str, ...] = field(default=())
    is_whole: bool = True
    """Whether nothing was left out that this depth should compare, such as a result without its audio."""

    @property
    def is_same(self) -> bool:
        """Whether nothing that was checked differs."""
        return self.difference is None

    @property
    def is_checked(self) -> bool:
        """Whether all results of this depth were compared, so that "the same" says something.

        Whoever makes a bundle chooses what it lacks, so a part that agrees says nothing about the rest.
        """
        return self.difference is not None or (self.is_whole and self.has_results)

    @property
    def has_results(self) -> bool:
        """Whether any result of this depth was compared."""
        return bool(self.checked.get(_RESULTS[self.depth]))


def counted(parts: Iterable[tuple[str, str]]) -> tuple[Unchecked, ...]:
    """Unchecked parts with equal reasons as one line each, with their number.

    >>> [each.part for each in counted([("A: score", "no audio"), ("A: score", "no audio")])]
    ['A: score (2)']
    """
    numbers: dict[tuple[str, str], int] = {}
    for part in parts:
        numbers[part] = numbers.get(part, 0) + 1
    return tuple(
        Unchecked(part if number == 1 else f"{part} ({number})", why) for (part, why), number in numbers.items()
    )
