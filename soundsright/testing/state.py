"""A state in memory. Facts pass through JSON, as they do in a database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from soundsright.core.results import ClipResult


class MemoryState:
    """The `StateStore` port in memory, with the meaning of `SqlState`: first write counts, facts are JSON."""

    def __init__(self) -> None:
        self._rounds: dict[str, str] = {}
        self._steps: dict[tuple[str, str], str] = {}
        self._clips: dict[tuple[str, str], dict[str, ClipResult]] = {}
        self._leases: dict[str, tuple[str, float]] = {}

    def begin_round(self, round_id: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        return _loaded(self._rounds.setdefault(round_id, _dumped(facts)))

    def rounds(self) -> tuple[str, ...]:
        return tuple(self._rounds)

    def round_facts(self, round_id: str) -> Mapping[str, Any] | None:
        return _loaded(self._rounds[round_id]) if round_id in self._rounds else None

    def step_done(self, round_id: str, step: str) -> Mapping[str, Any] | None:
        facts = self._steps.get((round_id, step))
        return None if facts is None else _loaded(facts)

    def steps(self, round_id: str) -> dict[str, Mapping[str, Any]]:
        """Every finished step of a round, by name in alphabetical order."""
        own = sorted((step, facts) for (round_, step), facts in self._steps.items() if round_ == round_id)
        return {step: _loaded(facts) for step, facts in own}

    def finish_step(self, round_id: str, step: str, facts: Mapping[str, Any]) -> None:
        self._require(round_id)
        self._steps.setdefault((round_id, step), _dumped(facts))

    def add_clip_results(self, round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None:
        self._require(round_id)
        own = self._clips.setdefault((round_id, entry_id), {})
        for result in results:
            own.setdefault(result.clip_id, result)

    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]:
        own = self._clips.get((round_id, entry_id), {})
        return tuple(own[clip_id] for clip_id in sorted(own))

    def entries_with_results(self, round_id: str) -> tuple[str, ...]:
        return tuple(
            sorted(entry for (round_, entry), clips in self._clips.items() if round_ == round_id and clips)
        )

    def take_lease(self, name: str, holder: str, *, now_s: float, duration_s: float) -> bool:
        current, expires_at_s = self._leases.get(name, (holder, now_s))
        if current != holder and expires_at_s > now_s:
            return False
        self._leases[name] = (holder, now_s + duration_s)
        return True

    def release_lease(self, name: str, holder: str) -> None:
        if self._leases.get(name, ("", 0.0))[0] == holder:
            del self._leases[name]

    def lease_holder(self, name: str, *, now_s: float) -> str | None:
        holder, expires_at_s = self._leases.get(name, ("", 0.0))
        return holder if holder and expires_at_s > now_s else None

    def forget_rounds(self, *, keep: int) -> tuple[str, ...]:
        if keep < 1:
            raise ValueError(f"{keep} rounds cannot be kept; keep at least one")
        removed = self.rounds()[:-keep]
        for round_id in removed:
            del self._rounds[round_id]
        self._steps = {key: facts for key, facts in self._steps.items() if key[0] in self._rounds}
        self._clips = {key: clips for key, clips in self._clips.items() if key[0] in self._rounds}
        return removed

    def close(self) -> None:
        """Nothing to close: what was written stays readable, as on a disk."""

    def _require(self, round_id: str) -> None:
        if round_id not in self._rounds:
            raise ValueError(f"round {round_id!r} was not begun: call begin_round before its steps and clips")


def _dumped(facts: Mapping[str, Any]) -> str:
    return json.dumps(dict(facts), sort_keys=True, allow_nan=False)


def _loaded(text: str) -> Mapping[str, Any]:
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded
