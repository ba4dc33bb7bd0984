"""The coordinator's data for the health-check API: its competitions. It has no models, scores or seeds."""

from __future__ import annotations

from dataclasses import dataclass

from soundsright.services.http import EmptyView


@dataclass(frozen=True)
class CoordinatorView(EmptyView):
    """The competitions, which take turns."""

    competition_ids: tuple[str, ...]

    def competitions(self) -> list[str]:
        return list(self.competition_ids)
