"""The settings that decide a round and that neither its row nor another step records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from soundsright.services.rounds.plan import RoundPlan
from soundsright.services.rounds.step_parts import Facts, StepRecord


@dataclass(frozen=True)
class SettingsStep(StepRecord):
    """The rules, the first champions, the uid that burns, and the organiser's decisions on held entries.

    `ruleset` has the values of `Ruleset.canonical_json`. `metrics` has the metrics that pay by competition id, in
    the order in which shares are added, because the last bit of a sum depends on it. `incumbents` are hotkeys by
    competition id. `released` and `refused` are hotkeys or content hashes: see `EntryRules`.
    """

    ruleset: Mapping[str, Any]
    metrics: Mapping[str, tuple[str, ...]]
    incumbents: Mapping[str, str]
    burn_uid: int | None
    released: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: Facts) -> Self:
        burn_uid = None if facts["burn_uid"] is None else int(facts["burn_uid"])
        decisions = (tuple(map(str, facts[name])) for name in ("released", "refused"))
        metrics = {name: tuple(map(str, each)) for name, each in facts["metrics"].items()}
        return cls(dict(facts["ruleset"]), metrics, dict(facts["incumbents"]), burn_uid, *decisions)

    @classmethod
    def of_plan(cls, plan: RoundPlan) -> Self:
        """The settings of a plan."""
        rules = plan.rules.entry_rules
        return cls(
            json.loads(plan.rules.ruleset.canonical_json),
            {c.id: tuple(c.metric_weights) for c in plan.rules.competitions},
            dict(plan.incumbents),
            plan.burn_uid,
            tuple(sorted(rules.released)),
            tuple(sorted(rules.refused)),
        )

    def applied_to(self, plan: RoundPlan) -> RoundPlan:
        """The plan with these settings. The ruleset stays, because the plan's row records its digest."""
        released, refused = frozenset(self.released), frozenset(self.refused)
        entry_rules = replace(plan.rules.entry_rules, released=released, refused=refused)
        rules = replace(plan.rules, entry_rules=entry_rules)
        return replace(plan, rules=rules, incumbents=dict(self.incumbents), burn_uid=self.burn_uid)
