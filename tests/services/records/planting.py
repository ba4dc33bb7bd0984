"""Plants one difference in the record of a round, at a chosen step, as another validator could have it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.services.records import open_bundle
from soundsright.services.records.round_leaves import answer_leaf, clip_leaf, root_of, score_leaf

STEPS = ["seed", "entries", "content", "set", "answer", "score", "decision", "weight"]


def edit(folder: Path, name: str, owner: Callable[[Any], bool], change: dict[str, Any]) -> list[Any]:
    """Change the first line that belongs to the owner, and return all the owner's lines."""
    lines = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    lines[next(n for n, line in enumerate(lines) if owner(line))] |= change
    (folder / name).write_text("".join(canonical_json(line) + "\n" for line in lines))
    return [line for line in lines if owner(line)]


def plant(step: str, folder: Path) -> Callable[[Any], None]:
    """Change the record at one step, and return the change of its document."""
    with open_bundle(folder) as bundle:
        competition = bundle.document.competitions[0].id
        first = bundle.document.entries[0]
    if step == "set":
        lines = edit(folder, "clips.jsonl", lambda line: line["competition"] == competition, {"clean": "0" * 64})
        return lambda f: f["competitions"][0].update(clips_root=root_of(map(clip_leaf, lines)))
    if step == "answer":
        lines = edit(folder, "answers.jsonl", lambda line: line["entry"] == first.entry, {"sha256": "0" * 64})
        return lambda f: f["entries"][0].update(answers_root=root_of(map(answer_leaf, lines)))
    if step == "score":
        worse = {"scores": {"ESTOI": 0.125, "PESQ_WB": 1.0}}
        lines = edit(folder, "scores.jsonl", lambda line: line["entry"] == first.hotkey, worse)
        return lambda f: f["entries"][0].update(scores_root=root_of(map(score_leaf, lines)))
    changes: dict[str, Callable[[Any], None]] = {
        "seed": lambda f: f["round"].update(seed_block_hash="0xother"),
        "entries": lambda f: f["entries"].pop(0),
        "content": lambda f: f["entries"][0].update(content_hash="other"),
        "decision": lambda f: f["decisions"][0].update(winner="nobody"),
        "weight": lambda f: f["weights"].update({"0": 0.9}),
    }
    return changes[step]
