"""The recorded steps of a round as its bundle shows them, and the plan beside them.

Pages never show the keys of sealed models, the text that a model wrote, or how validators and miners exchanged
reveals and feedback, so these stay out. Times are left out too, so two validators have the same lines.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.ports import StateStore
from soundsright.services.records.corpus_words import WITHHELD
from soundsright.services.rounds import RoundPlan, plan_document, steps

PLAN_SCHEMA = "soundsright.plan/1"
STEP_ORDER = (
    *("settings", "seed", "corpus", "entries", "fetch", "duplicates", "set", "enhanced", "image"),
    *("look", "set_aside", "near_copies", "flags", "apart", "decide", "weights", "payees"),
)
"""The kinds of steps in a bundle, in the order in which a round takes them."""


def shown_steps(
    round_id: str, recorded: Mapping[str, Mapping[str, Any]], private: Collection[str]
) -> list[dict[str, Any]]:
    """The lines of steps.jsonl. `private` are the competitions with clips that nobody else may hear yet."""
    entries = steps.RoundSteps(round_id, recorded).get(steps.ENTRIES)
    competition_of = {e.entry_id: e.competition_id for e in entries.submissions} if entries else {}
    lines = []
    for name in sorted(recorded, key=_place):
        kind = name.split(":")[0]
        if kind not in STEP_ORDER:
            continue
        facts = steps.record_of(round_id, name, recorded[name]).reproducible().to_facts()
        version = facts.pop("version")
        withheld = _withhold(
            kind, facts, competition_of.get(name.split(":")[1]) in private if ":" in name else False
        )
        line = {"step": name, "version": version, "facts": facts}
        lines.append({**line, "withheld": withheld} if withheld else line)
    return lines


def plan_file(plan: RoundPlan, recorded: Mapping[str, Any], state: StateStore) -> dict[str, Any]:
    """The content of plan.json. `recorded` are the facts with which the round began."""
    round_id = plan.round.id
    entries = steps.RoundSteps(round_id, state.steps(round_id)).get(steps.ENTRIES)
    neurons = () if entries is None else entries.neurons or ()
    # A copy, from which the keys of earlier entries are taken out.
    needed = json.loads(json.dumps(plan_document(state, round_id, recorded)))
    for earlier in needed["history"]:
        for name, facts in earlier["steps"].items():
            _withhold(name.split(":")[0], facts, is_private=True)
    return {
        "schema": PLAN_SCHEMA,
        **needed,
        "ruleset": json.loads(plan.rules.ruleset.canonical_json),
        "registrations": {str(n.uid): [n.hotkey, n.registered_at] for n in neurons},
        "settings": {
            "burn_uid": plan.burn_uid,
            "incumbents": dict(plan.incumbents),
            "pay_on_public_corpus": plan.pay_on_public_corpus,
        },
    }


def snapshot_facts(entries_close_block: int, registrations: Mapping[str, Any]) -> str:
    """The registrations when entries closed, as the text whose SHA-256 a round document has.

    >>> snapshot_facts(30, {"1": ["5Hot", 7]})
    '{"block":30,"neurons":{"1":["5Hot",7]}}'
    """
    return canonical_json({"block": entries_close_block, "neurons": registrations})


def _place(name: str) -> tuple[int, str]:
    kind = name.split(":")[0]
    return (STEP_ORDER.index(kind) if kind in STEP_ORDER else len(STEP_ORDER), name)


def _withhold(kind: str, facts: dict[str, Any], is_private: bool) -> list[str]:
    """Take out of the facts what must not be shown, and return the names of what was taken out."""
    withheld = []
    if kind == "entries":
        for entry in facts.get("submissions", ()):
            if entry.pop("key", None):
                withheld.append(f"submissions.{entry['hotkey']}.key")
    fault = facts.get("fault") if kind == "enhanced" else None
    if fault is not None:
        shown = {"log": "", "detail": WITHHELD if is_private else fault["detail"]}
        withheld = [f"fault.{name}" for name, value in shown.items() if value != fault[name]]
        facts["fault"] = {**fault, **shown}
    return withheld
