"""The groups of clips that share something, such as a noise recording, a prompt or a room.

Clips that share something are not independent. Inference for new material treats them as one witness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_FACTORS = 4
"""The cost of the clustered variance grows exponentially with the number of factors."""
FEWEST_GROUPS = 3
"""With fewer groups of a factor, nothing can be said about new ones."""


@dataclass(frozen=True)
class ClipGroups:
    """The group of each clip, by factor: `noise`, `prompt`, `room` or another field of the set's manifest.

    `factors` has one label per clip, in the order of `clip_ids`. The labels of two factors are unrelated.

    Raises:
        ValueError: a clip appears twice, there is no factor or more than `MAX_FACTORS`, or a factor has another
            number of labels.
    """

    clip_ids: tuple[str, ...]
    factors: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if len(set(self.clip_ids)) != len(self.clip_ids):
            raise ValueError("a clip appears twice")
        if not self.factors:
            raise ValueError("groups need at least one factor")
        if len(self.factors) > MAX_FACTORS:
            raise ValueError(f"there are {len(self.factors)} factors, and at most {MAX_FACTORS} are possible")
        for factor, labels in self.factors.items():
            if len(labels) != len(self.clip_ids):
                raise ValueError(f"{factor}: {len(labels)} labels for {len(self.clip_ids)} clips")

    def labels(self, clip_ids: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """The labels of these clips, in their order: one tuple for each factor.

        Raises:
            KeyError: a clip is not among them.

        >>> ClipGroups(("a", "b"), {"noise": ("rain", "wind")}).labels(["b", "a"])
        (('wind', 'rain'),)
        """
        row = {clip_id: number for number, clip_id in enumerate(self.clip_ids)}
        order = [row[clip_id] for clip_id in clip_ids]
        return tuple(tuple(labels[number] for number in order) for labels in self.factors.values())

    @property
    def counts(self) -> dict[str, int]:
        """The number of groups by factor.

        >>> ClipGroups(("a", "b", "c"), {"noise": ("rain", "wind", "rain")}).counts
        {'noise': 2}
        """
        return {factor: len(set(labels)) for factor, labels in self.factors.items()}

    def numbered(self) -> ClipGroups:
        """The same groups with numbers in place of labels, so that they name no recording.

        The numbers follow the first clip of each group, in the order of the clips' ids.

        >>> dict(ClipGroups(("b", "a"), {"noise": ("rain", "wind")}).numbered().factors)
        {'noise': ('1', '0')}
        """
        order = sorted(range(len(self.clip_ids)), key=lambda row: self.clip_ids[row])
        factors = {}
        for factor, labels in self.factors.items():
            numbers = {label: str(n) for n, label in enumerate(dict.fromkeys(labels[row] for row in order))}
            factors[factor] = tuple(numbers[label] for label in labels)
        return ClipGroups(self.clip_ids, factors)
