"""The executor's data for the health-check API."""

from __future__ import annotations

from typing import Any

from soundsright.services.executor import executor_steps
from soundsright.services.executor.context import ExecutorContext
from soundsright.services.http import EmptyView, Models
from soundsright.services.rounds import steps


class ExecutorView(EmptyView):
    """The `View` of an executor. It pays nobody and has no schedule, so it has no weights and no next round."""

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context

    def current_models(self) -> Models | None:
        """The images that stand."""
        standing = sorted(self._context.store.standing().values())
        return {"images": [entry.facts() for entry in standing]}

    def best_models(self) -> Models | None:
        """The first image of the table, if it can be paid."""
        first = next(iter(self._context.store.table({}).rows), None)
        return {"images": [first.submission.facts()] if first is not None and first.is_winner_candidate else []}

    def competitions(self) -> list[str] | None:
        return [competition.id for competition in self._context.organiser.competitions]

    def seed(self) -> dict[str, Any] | None:
        """The block and the hash of the last round's seed."""
        last = steps.latest(self._context.state, executor_steps.SEED)
        return None if last is None else {"round": last[0], "block": last[1].block, "hash": last[1].hash}
