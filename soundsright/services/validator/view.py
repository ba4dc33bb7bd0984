"""What the health-check API shows of a validator: read from the state alone, at most once a second.

Shares are percent of the emission, weights fractions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from soundsright.core.competition import Competition
from soundsright.core.ports import StateStore
from soundsright.core.schedule import Schedule, seed_of_round
from soundsright.services.http import Models

_FRESH_S = 1.0


class ValidatorView:
    """The `View` of a validator's state. `chain_time_s` gives the time that rounds start by."""

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
        self._steps: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._rounds: tuple[str, ...] = ()
        self._read_at_s = -_FRESH_S

    def current_models(self) -> Models | None:
        facts = self._latest("entries")
        if facts is None:
            return None
        models: Models = {competition.id: [] for competition in self._competitions}
        for entry in facts["submissions"]:
            namespace, name, revision = entry["model"]
            models.setdefault(entry["competition"], []).append(
                {
                    "uid": entry["uid"],
                    "hotkey": entry["hotkey"],
                    "hf_model_namespace": namespace,
                    "hf_model_name": name,
                    "hf_model_revision": revision,
                    "block": entry["block"],
                }
            )
        return models

    def best_models(self) -> Models | None:
        models: Models = {}
        for competition in self._competitions:
            facts = self._latest(f"decide:{competition.id}")
            for metric, holder in sorted(facts["champions"].items()) if facts else ():
                namespace, name, revision = holder["model"]
                models.setdefault(competition.id, []).append(
                    {
                        "uid": holder["uid"],
                        "hotkey": holder["hotkey"],
                        "hf_model_namespace": namespace,
                        "hf_model_name": name,
                        "hf_model_revision": revision,
                        "block": holder["block"],
                        "metric_name": metric,
                        "average_metric": holder["mean"],
                        "since_block": holder["since_block"],
                    }
                )
        return models or None

    def competitions(self) -> list[str]:
        return [competition.id for competition in self._competitions]

    def competition_scores(self) -> dict[str, dict[str, float]] | None:
        entries = self._latest("entries")
        uids = {e["hotkey"]: str(e["uid"]) for e in entries["submissions"]} if entries else {}
        found: dict[str, dict[str, float]] = {}
        for competition in self._competitions:
            facts = self._latest(f"decide:{competition.id}")
            if facts is not None:
                found[competition.id] = {uids.get(hk, hk): share for hk, share in sorted(facts["shares"].items())}
        return found or None

    def scores(self) -> list[float] | None:
        facts = self._latest("weights")
        if facts is None:
            return None
        by_uid = {int(uid): float(weight) for uid, weight in facts["by_uid"].items()}
        return [by_uid.get(uid, 0.0) for uid in range(max(by_uid, default=-1) + 1)]

    def next_competition(self) -> str | None:
        start_s = self._schedule.next_start_s(self._chain_time_s())
        if start_s is None:
            return None
        return datetime.fromtimestamp(start_s, UTC).strftime("%Y-%m-%d %H:%M:%S GMT")

    def seed(self) -> dict[str, Any] | None:
        facts = self._latest("seed")
        if facts is None:
            return None
        sets = {c.id: str(seed_of_round(str(facts["hash"]), c.id)) for c in self._competitions}
        # As text: a 64-bit number loses digits in most JSON readers.
        return {"block": facts["block"], "hash": facts["hash"], "sets": sets}

    def _latest(self, step: str) -> Mapping[str, Any] | None:
        """What the step left in the latest round that has it."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._read_at_s >= _FRESH_S:
                self._rounds, self._read_at_s = self._state.rounds(), now_s
            for round_id in reversed(self._rounds[-2:]):
                key = (round_id, step)
                if key not in self._steps:
                    facts = self._state.step_done(round_id, step)
                    if facts is None:
                        continue
                    self._steps[key] = facts
                return self._steps[key]
        return None
