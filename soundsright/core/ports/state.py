"""The state of a validator: what must survive a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from soundsright.core.results import ClipResult


class StateStore(Protocol):
    """Everything that a validator must not lose. Each write is one transaction, and repeating it is safe."""

    def begin_round(self, round_id: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Record the facts of a new round, or return those that were recorded before."""
        ...

    def step_done(self, round_id: str, step: str) -> Mapping[str, Any] | None:
        """The facts that a finished step recorded, or None if the step is not done."""
        ...

    def finish_step(self, round_id: str, step: str, facts: Mapping[str, Any]) -> None: ...
    def add_clip_results(self, round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None: ...
    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]: ...
    def rounds(self) -> tuple[str, ...]: ...
    def close(self) -> None: ...
