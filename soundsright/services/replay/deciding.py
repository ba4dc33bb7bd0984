"""Decides a round again from its bundle, and compares everything that the round published about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from soundsright.core.errors import BundleRefused, InfrastructureFault
from soundsright.core.groups import ClipGroups
from soundsright.core.results import ClipResult, Failure
from soundsright.core.stopping import EarlyStop, RuledOut, Stops
from soundsright.services.records import Results, RoundBundle, ScoreLine, results_of
from soundsright.services.replay.report import STEPS, Depth, ReplayReport
from soundsright.services.rounds import (
    Difference,
    Heard,
    RecordedRound,
    RecordedSet,
    RoundOutcome,
    json_differences,
    replayed,
)

UNPROCESSED = "unprocessed"
_FACTORS = ("noise", "room", "prompt")
"""The order in which the statistics take the factors of groups."""
_OF_RUNNING = {"cost", "versions", "weights_block", "timing"}
"""Facts that a replay does not compute: times, memory, programs, and the block of the weights."""
_NOT_RECIPE = ("id", "digest")
_HIDDEN = "recipe_sha256"
_NOT_A_RECORD = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
    InfrastructureFault,
)


def decided_again(bundle: RoundBundle, heard: Heard | None = None) -> ReplayReport:
    """Decide the round again, and find the first difference from the recorded steps and from results.json.

    Near copies and signs of tuning are taken as recorded. With `heard`, they are computed from the audio.

    Raises:
        BundleRefused: a file of the bundle is missing or damaged.
        UsageError: a step that a replay needs is missing, damaged or newer than this program.
    """
    try:
        record = record_of_bundle(bundle)
        again = replayed(record, heard)
        difference = again.difference
        if difference is None and again.outcome is not None:
            difference = next(_published_differences(bundle.results, again.outcome), None)
    except _NOT_A_RECORD as error:
        # A stranger wrote the record. Whatever it does to the program, it is not one of a round.
        raise BundleRefused(
            f"The record of the round cannot be decided again ({type(error).__name__}: {str(error)[:200]})"
        ) from error
    scores = sum(len(own.unprocessed) + sum(map(len, own.results.values())) for own in record.sets.values())
    checked = {"scores that the decisions use": scores, STEPS: len(again.steps)}
    return ReplayReport(Depth.DECIDE, checked, difference, again.unchecked)


def record_of_bundle(bundle: RoundBundle) -> RecordedRound:
    """The record of the round in a bundle.

    Raises:
        BundleRefused: a file is missing or damaged, or has a result twice.
    """
    plan, recorded = bundle.plan, bundle.steps()
    lines: dict[str, list[ScoreLine]] = {}
    for line in bundle.scores():
        lines.setdefault(line.competition, []).append(line)
    try:
        titles = {str(name): [dict(row) for row in rows] for name, rows in plan["titles"].items()}
        history = tuple({"round": str(each["round"]), "steps": dict(each["steps"])} for each in plan["history"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleRefused(f"plan.json: the titles or the history are damaged ({error})") from error
    sets = {c.id: _recorded_set(bundle, c.id, lines.get(c.id, ())) for c in bundle.document.competitions}
    return RecordedRound(bundle.document.round.id, plan["plan"], recorded, sets, titles, history)


def _recorded_set(bundle: RoundBundle, competition: str, lines: Iterable[ScoreLine]) -> RecordedSet:
    digests: dict[str, str] = {}
    recipes: dict[str, Mapping[str, object]] = {}
    for row in bundle.manifest(competition):
        clip_id, digest = row.get("id"), row.get("digest")
        if not isinstance(clip_id, str) or not isinstance(digest, str) or clip_id in digests:
            raise BundleRefused(f"sets/{competition}/manifest.jsonl: a clip has no id or digest, or is there twice")
        digests[clip_id] = digest
        if _HIDDEN not in row:
            recipes[clip_id] = {name: value for name, value in row.items() if name not in _NOT_RECIPE}
    results: dict[str, dict[str, ClipResult]] = {UNPROCESSED: {}}
    labels: dict[str, Mapping[str, int]] = {}
    for line in lines:
        own = results.setdefault(line.entry, {})
        if line.id in own:
            raise BundleRefused(f"scores.jsonl: {competition}, {line.entry}: the clip {line.id} is there twice")
        own[line.id] = _result(line)
        if labels.setdefault(line.id, line.groups) != line.groups:
            raise BundleRefused(f"scores.jsonl: {competition}: two lines of the clip {line.id} have other groups")
    unprocessed = results.pop(UNPROCESSED)
    stops, hidden = _stops(bundle.results, competition), set(digests).difference(recipes)
    recipes |= bundle.disclosed(competition)
    return RecordedSet(digests, recipes, _groups(labels), unprocessed, results, stops, hidden)


def _result(line: ScoreLine) -> ClipResult:
    failure = None if line.failure is None else Failure(line.failure.code, line.failure.detail)
    try:
        return ClipResult(line.id, line.scores, failure)
    except ValueError as error:
        raise BundleRefused(f"scores.jsonl: {line.competition}, {line.entry}: {error}") from error


def _groups(labels: Mapping[str, Mapping[str, int]]) -> ClipGroups | None:
    """The groups by number, in the order of the clips' ids; None if no line has any."""
    clip_ids = tuple(sorted(labels))
    names = set().union(*labels.values()) if labels else set()
    if not names:
        return None
    order = [*(name for name in _FACTORS if name in names), *sorted(names.difference(_FACTORS))]
    try:
        return ClipGroups(clip_ids, {name: tuple(str(labels[c][name]) for c in clip_ids) for name in order})
    except (KeyError, ValueError) as error:
        raise BundleRefused(f"scores.jsonl: the groups of a clip are not complete ({error})") from error


def _stops(results: Results, competition: str) -> Stops | None:
    """The published decisions of the looks at a competition."""
    doc = next((c for c in results.competitions if c.id == competition), None)
    if doc is None or doc.stopping is None:
        return None
    facts = doc.stopping
    stopped = tuple(
        EarlyStop(
            each.hotkey,
            each.clips,
            facts.set_clips,
            each.witnesses,
            {metric: RuledOut(**out.model_dump()) for metric, out in each.ruled_out.items()},
        )
        for each in facts.stopped
    )
    counts = (facts.set_clips, facts.set_witnesses, facts.clips, facts.witnesses)
    return Stops(*counts, stopped, dict(facts.evidence), facts.whole, facts.without)


def _published_differences(results: Results, outcome: RoundOutcome) -> Iterator[Difference]:
    """The differences from results.json: means, intervals, ranks, reasons, decisions, refusals and weights."""
    names = [c.id for c in results.competitions]
    recorded, again = (
        _comparable(json.loads(json.dumps(each.as_json()))) for each in (results, results_of(outcome))
    )
    for path, before, now in json_differences(recorded, again):
        parts = path.split(".")
        competition = names[int(parts[1])] if parts[0] == "competitions" and int(parts[1]) < len(names) else ""
        yield Difference(competition, "results.json", path, before, now)


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _comparable(each) for name, each in value.items() if name not in _OF_RUNNING}
    return [_comparable(each) for each in value] if isinstance(value, list) else value
