"""The settings of a round, and the row that records them when the round begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.errors import UsageError
from soundsright.core.ports import SandboxLimits
from soundsright.core.schedule import Round
from soundsright.core.text_files import shortened
from soundsright.data import BALANCE_VERSION, VALUES_VERSION
from soundsright.services.rounds.opening import material_digest, roots_of


@dataclass(frozen=True)
class RoundPlan:
    """The settings of one round: the organiser's rules, what is measured, and how this validator runs it.

    `incumbents` are the champions before the first round of this state: a hotkey by competition id. A model gets
    `batch_audio_s` seconds of audio at once. `retry_pauses_s` are the pauses before the last tries of an entry for
    which the hub or the sandbox fails. Without `pay_on_public_corpus`, a round on recordings that anybody may have
    heard pays nobody. `values` is the version of the method that draws an unfit clip again; a round keeps the one
    that it began with.
    """

    round: Round
    rules: CompetitionRules
    measures: Measures
    incumbents: Mapping[str, str] = field(default_factory=dict)
    sandbox_limits: SandboxLimits = SandboxLimits()
    batch_audio_s: float = 24.0
    burn_uid: int | None = None
    retry_pauses_s: tuple[float, ...] = (15.0, 60.0, 240.0)
    pay_on_public_corpus: bool = False
    values: int = VALUES_VERSION

    def as_begun(self, recorded: Mapping[str, Any]) -> RoundPlan:
        """The plan by the methods of a round that began with that row."""
        return replace(self, values=int(recorded.get("values", 0)))


@dataclass(frozen=True)
class BegunRound:
    """The part of a begun round's row that other code needs. `round` is None in rows that do not contain it.

    In a private round, models hear recordings that nobody else may hear yet.
    """

    round: Round | None
    clips: int
    competition_ids: tuple[str, ...]
    is_private: bool = False

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> BegunRound:
        """The plan in a row that `plan_facts` made."""
        blocks = facts.get("round")
        return cls(
            None if blocks is None else Round(**blocks),
            int(facts.get("clips", 0)),
            tuple(facts.get("competitions", ())),
            facts.get("corpus_round") is not None,
        )


def plan_facts(plan: RoundPlan) -> dict[str, Any]:
    """The row of a round that begins: everything that its result depends on and that no step records."""
    rules, measures = plan.rules, plan.measures
    # The default name contains the task and the rate. Beside any other name, they are recorded too.
    tasks = {c.id: [c.task.value, c.sample_rate_hz] for c in rules.competitions if not c.has_default_name}
    return {
        "round": asdict(plan.round),
        "clips": measures.clips,
        "metrics": list(measures.metrics),
        "ruleset": rules.ruleset.name,
        "ruleset_digest": rules.ruleset.digest,
        "competitions": [c.id for c in rules.competitions],
        "rewards": {c.id: [c.max_score, c.remainder, dict(c.metric_weights)] for c in rules.competitions},
        "floors": dict(measures.floors),
        "batch_audio_s": plan.batch_audio_s,
        "exclude_near_copies": rules.exclude_near_copies,
        "corpus": material_digest(measures.material),
        "corpus_round": measures.material.round_number,
        "speech": {} if measures.material.speech is None else dict(measures.material.speech.facts),
        "draw": {"noise": measures.material.noise, "balance": BALANCE_VERSION},
        **({"tasks": tasks} if tasks else {}),
        "values": plan.values,
        "stopping": {c.id: c.stopping.value for c in rules.competitions},
    }


def facts_as_begun(plan: RoundPlan, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the plan, with the root that the corpus had when the round began.

    A private corpus may grow while a round runs, because the round keeps its recordings.
    """
    facts = plan_facts(plan)
    if recorded.get("corpus") in roots_of(plan.measures.material):
        facts["corpus"] = recorded["corpus"]
    return facts


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
            f"{name.replace('_', ' ')} {_shown(recorded[name])}, now {_shown(as_recorded[name])}"
            for name in changed
        )
        raise UsageError(
            f"Round {round_id} began with other settings: {differences}",
            "Restore the settings that it began with, or start again with an empty state.",
        )


def _shown(value: object) -> str:
    return shortened(json.dumps(value), 200)
