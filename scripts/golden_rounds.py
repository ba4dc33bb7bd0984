"""Writes the rounds of drawn scores with which tests compare every ruleset: shares, needed means and sentences.

    python scripts/golden_rounds.py [RULESET ...]

Without a name, only rulesets that the file lacks are added: a published ruleset never changes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from soundsright.core.competition import PUBLISHED
from soundsright.core.rulesets import RULESETS, Ruleset
from soundsright.ranking import trial_round

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "rounds.json"
ROUNDS = ((3, 5, 1), (6, 12, 2), (8, 40, 3))
"""Entries, clips and seed of each round."""


def golden_rounds(ruleset: Ruleset) -> dict[str, Any]:
    """The ruleset's digest, and its decisions on every published competition and round."""
    rounds: dict[str, Any] = {}
    for competition in PUBLISHED:
        for entries, clips, seed in ROUNDS:
            board = trial_round(competition, ruleset, entries=entries, clips=clips, seed=seed)
            rounds[f"{competition.id} {entries} {clips} {seed}"] = {
                "standings": [
                    [s.submission.hotkey, s.metric, s.share, s.rank, s.needed, s.reason] for s in board.standings
                ],
                "decisions": [[d.metric, d.sentence, dict(d.evidence)] for d in board.decisions],
            }
    return {"canonical_json": ruleset.canonical_json, "digest": ruleset.digest, "rounds": rounds}


def main() -> None:
    recorded = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    for ruleset in RULESETS:
        if ruleset.name in sys.argv[1:] or ruleset.name not in recorded:
            recorded[ruleset.name] = golden_rounds(ruleset)
    GOLDEN.write_text(_text(recorded), encoding="utf-8")


def _text(recorded: dict[str, Any]) -> str:
    """The file as JSON, with a line for each round."""
    rulesets = []
    for name, facts in recorded.items():
        rounds = ",\n".join(f"  {json.dumps(key)}: {json.dumps(board)}" for key, board in facts["rounds"].items())
        known = "".join(f" {json.dumps(key)}: {json.dumps(facts[key])},\n" for key in ("canonical_json", "digest"))
        rulesets.append(f'{json.dumps(name)}: {{\n{known} "rounds": {{\n{rounds}\n }}\n}}')
    return "{\n" + ",\n".join(rulesets) + "\n}\n"


if __name__ == "__main__":
    main()
