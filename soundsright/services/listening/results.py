"""Listening tests in the folder of a run: `listening/NAME/test.json` has the plan and `votes.jsonl` the votes.

The plan is written before the first vote. It stores the hotkey of each entry, which connects ratings and metrics.
"""

from __future__ import annotations

import json
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
    ListeningResult,
    ListeningTest,
    Vote,
)
from soundsright.services.listening.screening import listening_result, unanswered
from soundsright.services.listening.stored import append_lines, read_lines
from soundsright.services.records import RunCompetition, SafeName, ShortText, slug
from soundsright.services.rounds import write_text

TEST_SCHEMA = "soundsright.listening/1"
MAX_VOTES_BYTES = 64 << 20
MAX_PLAN_BYTES = 1 << 20
MAX_TESTS = 100
_NAMES = {REFERENCE: "clean (hidden reference)", ANCHOR: "unprocessed input", LOW_ANCHOR: "3.5 kHz low-pass anchor"}


class _PlanDocument(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_: Literal["soundsright.listening/1"] = Field(alias="schema")
    name: ShortText
    method: Literal["acr", "ccr", "mushra"]
    competition: SafeName
    entries: dict[ShortText, ShortText]
    clips: Annotated[tuple[SafeName, ...], Field(max_length=1000)]
    seed: Annotated[int, Field(ge=0)]
    repeats: Annotated[int, Field(ge=0, le=10_000)] = 0


class _VoteDocument(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    rater: ShortText
    clip: SafeName
    condition: ShortText
    score: FiniteFloat
    repeat: bool = False


@dataclass(frozen=True)
class StoredTest:
    """A test with the hotkeys of its entries by key, and its votes."""

    test: ListeningTest
    hotkeys: dict[str, str]
    votes: list[Vote]


@dataclass(frozen=True)
class SummaryRow:
    """The mean rating of one condition, and the means of its metrics over the clips of the test."""

    label: str
    estimate: Estimate
    votes: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class ListeningSummary:
    """A test as pages and the terminal show it. The condition with the best rating comes first."""

    summary: str
    scale: str
    metrics: tuple[str, ...]
    rows: tuple[SummaryRow, ...]
    excluded: tuple[str, ...]


def save_test(folder: Path, test: ListeningTest, competition: RunCompetition) -> None:
    """Write the plan to `folder`. If the same plan is there already, do nothing.

    Raises:
        UsageError: the folder has another plan, or cannot be written.
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
        **({"repeats": test.repeats} if test.repeats else {}),
    }
    text = json.dumps(plan, indent=1) + "\n"
    path = folder / "test.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if path.read_text(encoding="utf-8") != text:
                raise UsageError(f"{folder} has a test with another plan", "Choose another --name.")
            return
        write_text(path, text)
    except (OSError, InfrastructureFault) as error:
        raise UsageError(f"{folder} cannot be written ({error})", "Make the folder of the run writable.") from error


def append_votes(folder: Path, votes: Sequence[Vote]) -> None:
    """Append the votes of one answer to the test in a single write.

    Raises:
        InfrastructureFault: the disk is full or not writable, or the file has reached `MAX_VOTES_BYTES`.
    """
    lines = "".join(
        json.dumps(
            {"rater": v.rater, "clip": v.clip, "condition": v.condition, "score": v.score}
            | ({"repeat": True} if v.repeat else {})
        )
        + "\n"
        for v in votes
    )
    try:
        append_lines(folder / "votes.jsonl", lines, MAX_VOTES_BYTES)
    except OSError as error:
        raise InfrastructureFault(f"{folder} cannot be written ({error})", "Free some disk space.") from error


def has_finished(test: ListeningTest, folder: Path, rater: str) -> bool:
    """Whether a rater has answered all questions of the test in a folder.

    Raises:
        InfrastructureFault: the votes cannot be read.
    """
    votes = _votes(folder / "votes.jsonl", test)
    return not unanswered(test, [vote for vote in votes if vote.rater == rater])


def read_test(folder: Path) -> StoredTest:
    """The test in a folder. A vote that a full disk cut off is left out.

    Raises:
        UsageError: the plan is missing or not valid.
        InfrastructureFault: the votes cannot be read.
    """
    test, hotkeys = _plan(folder / "test.json")
    return StoredTest(test, hotkeys, _votes(folder / "votes.jsonl", test))


def _plan(path: Path) -> tuple[ListeningTest, dict[str, str]]:
    """The plan of a test and the hotkeys of its entries.

    Raises:
        UsageError: the plan is missing or not valid.
    """
    try:
        if path.stat().st_size > MAX_PLAN_BYTES:
            raise UsageError(
                f"{path} is larger than {MAX_PLAN_BYTES >> 20} MiB", "Choose the folder of a listening test."
            )
        plan = _PlanDocument.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{path} is not the plan of a listening test", "Choose the folder of a listening test."
        ) from error
    test = ListeningTest(
        plan.name, plan.method, plan.competition, tuple(plan.entries), plan.clips, plan.seed, plan.repeats
    )
    return test, dict(plan.entries)


def summaries_below(folder: Path, c: RunCompetition) -> list[ListeningSummary]:
    """The tests of a competition below `folder`, by name. Folders that are not tests are left out.

    A test whose votes cannot be read has no rows, and its summary says why.
    """
    if not folder.is_dir():
        return []
    summaries = []
    children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    for path in children[:MAX_TESTS]:
        try:
            test, hotkeys = _plan(path / "test.json")
        except UsageError:
            # The folder of another program, or the plan of a newer version.
            continue
        if test.competition != c.doc.id:
            continue
        try:
            summaries.append(_summary(StoredTest(test, hotkeys, _votes(path / "votes.jsonl", test)), c))
        except InfrastructureFault as fault:
            summaries.append(ListeningSummary(f"{test.name}: {fault}", SCALE_NAMES[test.method], (), (), ()))
    return summaries


def _summary(stored: StoredTest, c: RunCompetition) -> ListeningSummary:
    test = stored.test
    result = listening_result(test, stored.votes)
    rows = [_summary_row(condition, stored, result, c) for condition in result.estimates]
    rows.sort(key=lambda row: -row.estimate.mean)
    excluded = len(result.excluded)
    summary = (
        f"{test.name}: {test.method.upper()}, {len(test.clips)} clips, {result.raters - excluded} raters"
        f"{f' ({excluded} more excluded by rule)' if excluded else ''}"
    )
    reasons = tuple(f"{rater}: {reason}" for rater, reason in result.excluded.items())
    return ListeningSummary(summary, SCALE_NAMES[test.method], c.paid_metrics, tuple(rows), reasons)


def _summary_row(condition: str, stored: StoredTest, result: ListeningResult, c: RunCompetition) -> SummaryRow:
    hotkey = stored.hotkeys.get(condition)
    entry = next((entry for entry in c.entries if hotkey is not None and entry.row.hotkey == hotkey), None)
    rated = entry or (c.unprocessed if condition == ANCHOR else None)
    metrics = {}
    c = c.among([rated] if rated else [])
    for name in c.paid_metrics if rated else ():
        values = dict(zip(c.clip_ids, c.values(rated, name), strict=True)) if rated else {}
        played = [values[clip] for clip in stored.test.clips if clip in values]
        if played:
            metrics[name] = sum(played) / len(played)
    label = entry.label if entry else _NAMES.get(condition, condition)
    return SummaryRow(label, result.estimates[condition], result.votes[condition], metrics)


def folder_of_test(run_folder: Path, name: str) -> Path:
    """The folder of the test with this name.

    Raises:
        UsageError: the name cannot be the name of a folder.
    """
    if slug(name) != name:
        raise UsageError(
            f"--name {name!r} cannot be the name of a folder", "Use at most 48 letters, digits, - and _."
        )
    return run_folder / "listening" / slug(name)


def _votes(path: Path, test: ListeningTest) -> list[Vote]:
    """The votes on the clips and conditions of the test. The first vote of a rater on each counts.

    Raises:
        InfrastructureFault: the votes cannot be read.
    """
    votes: dict[tuple[str, str, str, bool], Vote] = {}
    for vote in read_lines(path, _VoteDocument, MAX_VOTES_BYTES + (1 << 20)):
        if vote.clip in test.clips and vote.condition in test.conditions:
            key = (vote.rater, vote.clip, vote.condition, vote.repeat)
            votes.setdefault(key, Vote(*key[:3], vote.score, vote.repeat))
    return list(votes.values())
