"""The state of a validator, which survives a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from soundsright.core.results import ClipResult


@dataclass(frozen=True)
class TitleRow:
    """The champion of one metric after a round, as JSON values; None if nobody has the title."""

    competition_id: str
    metric: str
    round_id: str
    champion: Mapping[str, Any] | None


class StateStore(Protocol):
    """Everything that a validator must not lose. Each write is one transaction, and repeating it is safe.

    A state has one scope. Two organisers whose rounds have the same names can share a database if each uses
    `scoped` with its own name.
    """

    def scoped(self, scope: str) -> StateStore:
        """The same database with another scope. The two share no rows."""
        ...

    def begin_round(self, round_id: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Record the facts of a new round, or return those that were recorded before."""
        ...

    def round_facts(self, round_id: str) -> Mapping[str, Any] | None:
        """The facts that were recorded when the round began, or None if it did not begin."""
        ...

    def steps(self, round_id: str) -> Mapping[str, Mapping[str, Any]]:
        """The facts of every finished step of a round, by name in alphabetical order."""
        ...

    def step_done(self, round_id: str, step: str) -> Mapping[str, Any] | None:
        """The facts that a finished step recorded, or None if the step is not done."""
        ...

    def finish_step(
        self, round_id: str, step: str, facts: Mapping[str, Any], *, titles: Iterable[TitleRow] = ()
    ) -> None:
        """Record that a step is done, together with the titles that follow from it. The first write stays."""
        ...

    def titles(self, competition_id: str, *, before: str) -> tuple[TitleRow, ...]:
        """The latest title of each metric, from the rounds that began before the round `before`."""
        ...

    def add_clip_results(self, round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None: ...
    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]: ...
    def rounds(self) -> tuple[str, ...]: ...
    def close(self) -> None: ...
