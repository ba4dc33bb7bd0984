"""A state in memory. Facts pass through JSON, as they do in a database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from soundsright.core.ports import TitleRow
from soundsright.core.results import ClipResult


@dataclass
class _Tables:
    """The rows of one scope."""

    rounds: dict[str, str] = field(default_factory=dict)
    steps: dict[tuple[str, str], str] = field(default_factory=dict)
    clips: dict[tuple[str, str], dict[str, ClipResult]] = field(default_factory=dict)
    titles: dict[tuple[str, str, str], str] = field(default_factory=dict)
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)


class MemoryState:
    """The `StateStore` port in memory. It behaves like `SqlState`: the first write stays, and facts are JSON."""

    def __init__(self) -> None:
        self._scopes: dict[str, _Tables] = {"": _Tables()}
        self._own = self._scopes[""]

    def scoped(self, scope: str) -> MemoryState:
        other = object.__new__(MemoryState)
        other._scopes = self._scopes
        other._own = self._scopes.setdefault(scope, _Tables())
        return other

    def begin_round(self, round_id: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        return _loaded(self._own.rounds.setdefault(round_id, _dumped(facts)))

    def rounds(self) -> tuple[str, ...]:
        return tuple(self._own.rounds)

    def round_facts(self, round_id: str) -> Mapping[str, Any] | None:
        return _loaded(self._own.rounds[round_id]) if round_id in self._own.rounds else None

    def step_done(self, round_id: str, step: str) -> Mapping[str, Any] | None:
        facts = self._own.steps.get((round_id, step))
        return None if facts is None else _loaded(facts)

    def steps(self, round_id: str) -> dict[str, Mapping[str, Any]]:
        """Every finished step of a round, by name in alphabetical order."""
        own = sorted((step, facts) for (round_, step), facts in self._own.steps.items() if round_ == round_id)
        return {step: _loaded(facts) for step, facts in own}

    def finish_step(
        self, round_id: str, step: str, facts: Mapping[str, Any], *, titles: Iterable[TitleRow] = ()
    ) -> None:
        self._require_begun(round_id)
        rows = {(t.competition_id, t.metric, t.round_id): json.dumps(t.champion, allow_nan=False) for t in titles}
        self._own.steps.setdefault((round_id, step), _dumped(facts))
        for key, champion in rows.items():
            self._own.titles.setdefault(key, champion)

    def titles(self, competition_id: str, *, before: str) -> tuple[TitleRow, ...]:
        rounds = self.rounds()
        later = rounds[rounds.index(before) :] if before in rounds else ()
        latest: dict[str, TitleRow] = {}
        for (competition, metric, round_id), champion in self._own.titles.items():
            if competition == competition_id and round_id not in later:
                latest[metric] = TitleRow(competition, metric, round_id, json.loads(champion))
        return tuple(latest[metric] for metric in sorted(latest))

    def add_clip_results(self, round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None:
        self._require_begun(round_id)
        own = self._own.clips.setdefault((round_id, entry_id), {})
        for result in results:
            own.setdefault(result.clip_id, result)

    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]:
        own = self._own.clips.get((round_id, entry_id), {})
        return tuple(own[clip_id] for clip_id in sorted(own))

    def entries_with_results(self, round_id: str) -> tuple[str, ...]:
        return tuple(
            sorted(entry for (round_, entry), clips in self._own.clips.items() if round_ == round_id and clips)
        )

    def take_lease(self, name: str, holder: str, *, now_s: float, duration_s: float) -> bool:
        current, expires_at_s = self._own.leases.get(name, (holder, now_s))
        if current != holder and expires_at_s > now_s:
            return False
        self._own.leases[name] = (holder, now_s + duration_s)
        return True

    def release_lease(self, name: str, holder: str) -> None:
        if self._own.leases.get(name, ("", 0.0))[0] == holder:
            del self._own.leases[name]

    def lease_holder(self, name: str, *, now_s: float) -> str | None:
        holder, expires_at_s = self._own.leases.get(name, ("", 0.0))
        return holder if holder and expires_at_s > now_s else None

    def forget_rounds(self, *, keep: int) -> tuple[str, ...]:
        if keep < 1:
            raise ValueError(f"keep={keep}: at least one round must be kept")
        own, removed = self._own, self.rounds()[:-keep]
        for round_id in removed:
            del own.rounds[round_id]
        own.steps = {key: facts for key, facts in own.steps.items() if key[0] in own.rounds}
        own.clips = {key: clips for key, clips in own.clips.items() if key[0] in own.rounds}
        return removed

    def close(self) -> None:
        """Do nothing. The rows stay readable, as on a disk."""

    def _require_begun(self, round_id: str) -> None:
        if round_id not in self._own.rounds:
            raise ValueError(f"round {round_id!r} has not begun: call begin_round before its steps and clips")


def _dumped(facts: Mapping[str, Any]) -> str:
    return json.dumps(dict(facts), sort_keys=True, allow_nan=False)


def _loaded(text: str) -> Mapping[str, Any]:
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded
