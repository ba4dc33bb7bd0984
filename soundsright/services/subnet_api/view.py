"""The coordinator's data for the health-check API: its competitions. It has no models, scores or seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CoordinatorView:
    """The competitions, which take turns."""

    competition_ids: tuple[str, ...]

    def current_models(self) -> dict[str, list[dict[str, Any]]] | None:
        return None

    def best_models(self) -> dict[str, list[dict[str, Any]]] | None:
        return None

    def competitions(self) -> list[str]:
        return list(self.competition_ids)

    def competition_scores(self) -> dict[str, dict[str, float]] | None:
        return None

    def scores(self) -> list[float] | None:
        return None

    def next_competition(self) -> str | None:
        return None

    def seed(self) -> dict[str, Any] | None:
        return None
