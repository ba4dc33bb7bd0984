"""What was found about the entries of a round, beside their scores. Entries are named by their hotkeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from soundsright.core.results import Apart, ApartReason


@dataclass(frozen=True)
class TitleModel:
    """The champion's model in this round.

    `hotkeys` are those whose entry has the model, by content, tensors or behaviour. If `apart` is True, the
    champion's entry ran and is ranked apart.
    """

    hotkeys: frozenset[str] = frozenset()
    apart: bool = False


@dataclass(frozen=True)
class Examined:
    """The findings about a round's entries in one competition.

    `suspected` has the earlier entries that an entry is suspected to copy, the earliest first. `title_models` are
    by metric. `apart` are the entries that are not ranked with the others, and `unmeasured` says why a test for
    them was not possible.
    """

    suspected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    title_models: Mapping[str, TitleModel] = field(default_factory=dict)
    apart: tuple[Apart, ...] = ()
    unmeasured: Mapping[ApartReason, str] = field(default_factory=dict)

    def same_model_as_champion(self, metric: str) -> frozenset[str]:
        """The hotkeys of entries that have the model of the metric's champion."""
        return self.title_models.get(metric, TitleModel()).hotkeys

    def champion_is_apart(self, metric: str) -> bool:
        """Whether the champion's entry is ranked apart in this round."""
        return self.title_models.get(metric, TitleModel()).apart
