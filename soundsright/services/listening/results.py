"""Listening tests on disk, below a run: `listening/NAME/test.json` and `votes.jsonl`, a line per score.

The plan is written before the first vote and names entries by hotkey, so that a result can be read beside the
metrics at any time. Lines of votes are appended whole, one answer at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.results import Estimate
from soundsright.services.listening.plan import (
    ANCHOR,
    LOW_ANCHOR,
    REFERENCE,
    SCALE_NAMES,
    Heard,
    ListeningTest,
    Vote,
    heard,
)
from soundsright.services.records import RunCompetition, SafeName, ShortText, slug
from soundsright.services.rounds import write_text

TEST_SCHEMA = "soundsright.listening/1"
MAX_VOTES_BYTES = 64 << 20
MAX_PLAN_BYTES = 1 << 20
MAX_TESTS = 100
_NAMES = {REFERENCE: "clean (hidden reference)", ANCHOR: "unprocessed input", LOW_ANCHOR: "3.5 kHz low-pass anchor"}


class _Plan(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_: Literal["soundsright.listening/1"] = Field(alias="schema")
    name: ShortText
    method: Literal["acr", "ccr", "mushra"]
    competition: SafeName
    entries: dict[ShortText, ShortText]
    clips: Annotated[tuple[SafeName, ...], Field(max_length=1000)]
    seed: Annotated[int, Field(ge=0)]


class _Vote(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    rater: ShortText
    clip: SafeName
    condition: ShortText
    score: FiniteFloat


@dataclass(frozen=True)
class SummaryRow:
    """One condition as heard, beside the means of its metrics over the run."""

    label: str
    estimate: Estimate
    votes: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class ListeningSummary:
    """A test as the pages and the terminal show it, the best condition first."""

    summary: str
    scale: str
    metrics: tuple[str, ...]
    rows: tuple[SummaryRow, ...]
    excluded: tuple[str, ...]


def save_test(folder: Path, test: ListeningTest, competition: RunCompetition) -> None:
    """Write the plan to `folder`, a new one, or find the same plan there.

    Raises:
        UsageError: another test has that name, or the folder cannot be written.
    """
    hotkeys = {entry.key: entry.row.hotkey or "" for entry in competition.entries}
    plan = {
        "schema": TEST_SCHEMA,
        "name": test.name,
        "method": test.method,
        "competition": test.competition,
        "entries": {key: hotkeys[key] for key in test.entries},
        "clips": list(test.clips),
        "seed": test.seed,
    }
    text = json.dumps(plan, indent=1) + "\n"
    path = folder / "test.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if path.read_text(encoding="utf-8") != text:
                raise UsageError(f"A test with another plan is in {folder}", "Give another --name.")
            return
        write_text(path, text)
    except (OSError, InfrastructureFault) as error:
        raise UsageError(f"{folder} cannot be written ({error})", "Make the run's folder writable.") from error


def append_votes(folder: Path, votes: Sequence[Vote]) -> None:
    """Add an answer to the test's votes: all its lines or none.

    Raises:
        InfrastructureFault: the disk is full or not writable, or the file has reached its bound.
    """
    lines = "".join(
        json.dumps({"rater": v.rater, "clip": v.clip, "condition": v.condition, "score": v.score}) + "\n"
        for v in votes
    )
    try:
        with (folder / "votes.jsonl").open("a", encoding="utf-8") as file:
            if file.tell() > MAX_VOTES_BYTES:
                raise InfrastructureFault(f"{folder}: too many votes", "Start a new test.")
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InfrastructureFault(f"{folder} cannot be written ({error})", "Free some disk space.") from error


def read_test(folder: Path) -> tuple[ListeningTest, dict[str, str], list[Vote]]:
    """A test, its entries' hotkeys by condition, and the votes that can be read.

    Raises:
        UsageError: the plan is missing or not one.
    """
    path = folder / "test.json"
    try:
        if path.stat().st_size > MAX_PLAN_BYTES:
            raise UsageError(f"{path} is too large", "SafeName the folder of a listening test.")
        plan = _Plan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path} is no plan of a listening test", "SafeName the folder of one.") from error
    test = ListeningTest(plan.name, plan.method, plan.competition, tuple(plan.entries), plan.clips, plan.seed)
    return test, dict(plan.entries), _votes(folder / "votes.jsonl", test)


def summaries_below(folder: Path, c: RunCompetition) -> list[ListeningSummary]:
    """Every test of a competition below `folder`, by name; what cannot be read is left out."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(child for child in folder.iterdir() if child.is_dir())[:MAX_TESTS]:
        try:
            test, hotkeys, votes = read_test(path)
        except UsageError:
            # Another program's folder, or a plan of a newer version: no test of ours.
            continue
        if test.competition == c.doc.id:
            found.append(summarised(test, hotkeys, heard(test, votes), c))
    return found


def summarised(test: ListeningTest, hotkeys: dict[str, str], result: Heard, c: RunCompetition) -> ListeningSummary:
    """What was heard beside what was measured. Metrics are means over the clips that were played."""
    by_hotkey = {entry.row.hotkey: entry for entry in c.entries}
    metrics = c.paid_metrics
    rows = []
    for condition, estimate in result.estimates.items():
        entry = by_hotkey.get(hotkeys.get(condition)) if condition in hotkeys else None
        source = entry or (c.unprocessed if condition == ANCHOR else None)
        measured = {}
        for name in metrics if source else ():
            values = dict(zip(c.clip_ids, c.values(source, name), strict=True)) if source else {}
            played = [values[clip] for clip in test.clips if clip in values]
            if played:
                measured[name] = sum(played) / len(played)
        label = entry.label if entry else _NAMES.get(condition, condition)
        rows.append(SummaryRow(label, estimate, result.votes[condition], measured))
    rows.sort(key=lambda row: -row.estimate.mean)
    counted = result.raters - len(result.excluded)
    summary = (
        f"{test.name}: {test.method.upper()}, {len(test.clips)} clips, {counted} raters"
        f"{f' ({len(result.excluded)} more left out by rule)' if result.excluded else ''}"
    )
    reasons = tuple(f"{rater}: {reason}" for rater, reason in result.excluded.items())
    return ListeningSummary(summary, SCALE_NAMES[test.method], metrics, tuple(rows), reasons)


def folder_of_test(run_folder: Path, name: str) -> Path:
    """Where a test of that name lies.

    Raises:
        UsageError: the name is not one of a folder.
    """
    if slug(name) != name:
        raise UsageError(f"--name {name!r} cannot name a folder", "Use letters, digits, - and _, 48 at most.")
    return run_folder / "listening" / slug(name)


def _votes(path: Path, test: ListeningTest) -> list[Vote]:
    """The votes on what the test asks; a rater's first one on each counts, and a line cut short does not."""
    votes: dict[tuple[str, str, str], Vote] = {}
    try:
        if path.stat().st_size > MAX_VOTES_BYTES + (1 << 20):
            return []
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            vote = _Vote.model_validate_json(line)
        except ValidationError:
            continue
        if vote.clip in test.clips and vote.condition in test.conditions:
            one = Vote(vote.rater, vote.clip, vote.condition, vote.score)
            votes.setdefault((one.rater, one.clip, one.condition), one)
    return list(votes.values())
