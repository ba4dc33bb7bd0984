"""The validator's data for the health-check API, read from the state alone, at most once a second.

Shares are in percent of the emission, weights are fractions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from soundsright.core.competition import Competition
from soundsright.core.ports import StateStore
from soundsright.core.schedule import Schedule, seed_of_round
from soundsright.core.sources import ModelRef, Source
from soundsright.services.http import Models
from soundsright.services.rounds import steps

Record = TypeVar("Record", bound=steps.StepRecord)

_FRESH_S = 1.0
_ROUNDS_SHOWN = 2
"""The running round, and the round before it for the steps that are not done yet."""


class ValidatorView:
    """The `View` of a validator's state. `chain_time_s` gives the time that decides when rounds start."""

    def __init__(
        self,
        state: StateStore,
        competitions: Sequence[Competition],
        schedule: Schedule,
        chain_time_s: Callable[[], float],
    ) -> None:
        self._state = state
        self._competitions = tuple(competitions)
        self._schedule = schedule
        self._chain_time_s = chain_time_s
        self._lock = threading.Lock()
        self._records: dict[tuple[str, str], steps.StepRecord] = {}
        self._rounds: tuple[str, ...] = ()
        self._read_at_s = -_FRESH_S

    def current_models(self) -> Models | None:
        entries = self._latest(steps.ENTRIES)
        if entries is None:
            return None
        models: Models = {competition.id: [] for competition in self._competitions}
        for entry in entries.submissions:
            models.setdefault(entry.competition_id, []).append(_model_row(entry))
        return models

    def best_models(self) -> Models | None:
        models: Models = {}
        for competition in self._competitions:
            decided = self._latest(steps.decide(competition.id))
            for metric, champion in sorted(decided.champions.items()) if decided else ():
                models.setdefault(competition.id, []).append(
                    {
                        **_model_row(champion),
                        "metric_name": metric,
                        "average_metric": champion.mean,
                        "since_block": champion.since_block,
                    }
                )
        return models or None

    def competitions(self) -> list[str]:
        return [competition.id for competition in self._competitions]

    def competition_scores(self) -> dict[str, dict[str, float]] | None:
        entries = self._latest(steps.ENTRIES)
        uids = {entry.hotkey: str(entry.uid) for entry in entries.submissions} if entries else {}
        shares: dict[str, dict[str, float]] = {}
        for competition in self._competitions:
            decided = self._latest(steps.decide(competition.id))
            if decided is not None:
                shares[competition.id] = {uids.get(hk, hk): share for hk, share in sorted(decided.shares.items())}
        return shares or None

    def scores(self) -> list[float] | None:
        weights = self._latest(steps.WEIGHTS)
        if weights is None:
            return None
        return [weights.by_uid.get(uid, 0.0) for uid in range(max(weights.by_uid, default=-1) + 1)]

    def next_competition(self) -> str | None:
        start_s = self._schedule.next_start_s(self._chain_time_s())
        if start_s is None:
            return None
        return datetime.fromtimestamp(start_s, UTC).strftime("%Y-%m-%d %H:%M:%S GMT")

    def seed(self) -> dict[str, Any] | None:
        seed = self._latest(steps.SEED)
        if seed is None:
            return None
        # As text, because most JSON readers lose digits of a 64-bit number.
        sets = {c.id: str(seed_of_round(seed.hash, c.id)) for c in self._competitions}
        return {"block": seed.block, "hash": seed.hash, "sets": sets}

    def _latest(self, key: steps.StepKey[Record]) -> Record | None:
        """The record of the step in the latest round that has it."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._read_at_s >= _FRESH_S:
                self._rounds, self._read_at_s = self._state.rounds(), now_s
            for round_id in reversed(self._rounds[-_ROUNDS_SHOWN:]):
                cached = self._records.get((round_id, key.name))
                if isinstance(cached, key.record):
                    return cached
                record = steps.read(self._state, round_id, key)
                if record is not None:
                    self._records[round_id, key.name] = record
                    return record
        return None


def _model_row(entry: steps.RecordedEntry | steps.RecordedChampion) -> dict[str, Any]:
    return {
        "uid": entry.uid,
        "hotkey": entry.hotkey,
        **_source_columns(entry.source),
        "block": entry.block,
    }


def _source_columns(source: Source) -> dict[str, str]:
    """The columns of a model's source. Repositories on a hub keep the columns of the original API."""
    if isinstance(source, ModelRef):
        return {
            "hf_model_namespace": source.namespace,
            "hf_model_name": source.name,
            "hf_model_revision": source.revision,
        }
    return {"source": str(source)}
