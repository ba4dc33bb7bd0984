"""What was found about the entries of a round, beside their scores. Entries are named by their hotkeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from soundsright.core.results import Apart, ApartReason


@dataclass(frozen=True)
class TitleModel:
    """The champion's model in this round.

    `hotkeys` are those whose entry has the model, by content, tensors or behaviour. `exact` are those of them with
    the champion's own source or content, which therefore do what the champion did. If `apart` is True, one of
    these ran and is ranked apart. `reigns` has, by hotkey, the block of the first title of the entry's model, if
    that model was champion before.
    """

    hotkeys: frozenset[str] = frozenset()
    apart: bool = False
    exact: frozenset[str] = frozenset()
    reigns: Mapping[str, int] = field(default_factory=dict)


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

    def title_model(self, metric: str) -> TitleModel:
        """The model of the metric's champion, and those of earlier champions."""
        return self.title_models.get(metric, TitleModel())
