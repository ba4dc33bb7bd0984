"""The settings of a round, and the row that records them when the round begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.competition import Competition
from soundsright.core.entry_rules import EntryRules
from soundsright.core.errors import UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import SandboxLimits
from soundsright.core.rulesets import Ruleset
from soundsright.core.schedule import Round


@dataclass(frozen=True)
class RoundPlan:
    """What an organiser decided for a round.

    `metrics` are measured and shown; the metrics that pay are among them. `incumbents` are the champions before the
    first round of this state: a hotkey by competition id. A model gets `batch_audio_s` seconds of audio at once.
    `retry_pauses_s` are the pauses before the last tries of an entry for which the hub or the sandbox fails.
    """

    round: Round
    competitions: tuple[Competition, ...]
    clips: int
    metrics: tuple[str, ...]
    ruleset: Ruleset
    floors: Mapping[str, float]
    corpus_root: Path | None = None
    incumbents: Mapping[str, str] = field(default_factory=dict)
    entry_rules: EntryRules = EntryRules()
    sandbox_limits: SandboxLimits = SandboxLimits()
    fetch_limits: FetchLimits = FetchLimits()
    batch_audio_s: float = 24.0
    burn_uid: int | None = None
    exclude_near_copies: bool = False
    retry_pauses_s: tuple[float, ...] = (15.0, 60.0, 240.0)


@dataclass(frozen=True)
class BegunRound:
    """The part of a begun round's row that other code needs. `round` is None in rows that do not contain it."""

    round: Round | None
    clips: int
    competition_ids: tuple[str, ...]

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> BegunRound:
        """The plan in a row that `plan_facts` made."""
        blocks = facts.get("round")
        return cls(
            None if blocks is None else Round(**blocks),
            int(facts.get("clips", 0)),
            tuple(facts.get("competitions", ())),
        )


def plan_facts(plan: RoundPlan) -> dict[str, Any]:
    """The row of a round that begins: everything that its result depends on and that no step records."""
    return {
        "round": asdict(plan.round),
        "clips": plan.clips,
        "metrics": list(plan.metrics),
        "ruleset": plan.ruleset.name,
        "ruleset_digest": plan.ruleset.digest,
        "competitions": [c.id for c in plan.competitions],
        "rewards": {c.id: [c.max_score, c.remainder, dict(c.metric_weights)] for c in plan.competitions},
        "floors": dict(plan.floors),
        "batch_audio_s": plan.batch_audio_s,
        "exclude_near_copies": plan.exclude_near_copies,
    }


def check_same_plan(round_id: str, recorded: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    """Check that a round continues under the plan that it began with. Values that were not recorded are ignored.

    Raises:
        UsageError: a value has changed.

    >>> check_same_plan("r1", {"clips": 8}, {"clips": 8, "metrics": ["ESTOI"]})
    """
    as_recorded = json.loads(json.dumps(present))
    changed = [name for name, before in recorded.items() if name in as_recorded and as_recorded[name] != before]
    if changed:
        differences = "; ".join(
            f"{name.replace('_', ' ')} {_short(recorded[name])}, now {_short(as_recorded[name])}"
            for name in changed
        )
        raise UsageError(
            f"Round {round_id} began with other settings: {differences}",
            "Restore the settings that it began with, or start again with an empty state.",
        )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
