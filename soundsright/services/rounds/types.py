"""What a round is given and what it comes to, and both as plain values for the rows of the state."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from soundsright.copies import Duplicate, DuplicateRule, Likeness
from soundsright.core.competition import Competition
from soundsright.core.errors import EntryRefused, UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import SandboxLimits
from soundsright.core.results import Evaluation, Leaderboard, Refusal, Weights
from soundsright.core.rulesets import Ruleset
from soundsright.core.schedule import Round
from soundsright.core.sources import source_of
from soundsright.core.submission import FetchedModel, Submission
from soundsright.ranking import Flag
from soundsright.services.rounds.answers import Progress
from soundsright.services.rounds.clipset import ClipSet
from soundsright.services.rounds.screening import EntryRules


@dataclass(frozen=True)
class RoundPlan:
    """What an organiser decided for a round.

    `metrics` are measured and shown; those that pay are among them. `incumbents` hold titles from before the first
    round of this state: hotkey by competition. `batch_audio_s` is the audio given to a model at once.
    `retry_pauses_s` lie before the last tries of an entry that the hub or the sandbox fails for.
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
class Event:
    """What happened, for a display: `stage`, and where it concerns one entry or competition, which."""

    stage: str
    entry: Submission | None = None
    competition: Competition | None = None
    progress: Progress | None = None
    total: int = 0
    note: str = ""


@dataclass(frozen=True)
class RoundOutcome:
    """All that a round came to. `evaluations` and `unprocessed` are by competition id, `flags` by entry id."""

    plan: RoundPlan
    block_hash: str
    sets: Mapping[str, ClipSet]
    evaluations: Mapping[str, tuple[Evaluation, ...]]
    unprocessed: Mapping[str, Evaluation]
    leaderboards: tuple[Leaderboard, ...]
    refusals: tuple[Refusal, ...]
    fetched: tuple[FetchedModel, ...]
    suspected: tuple[Duplicate, ...]
    flags: Mapping[str, tuple[Flag, ...]]
    weights: Weights
    weights_block: int | None
    busy_s: Mapping[str, float]


class Busy:
    """Seconds of work by stage, added from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    def seconds(self) -> dict[str, float]:
        with self._lock:
            return dict(self._seconds)


def scores_of(evaluation: Evaluation, clip_ids: Sequence[str]) -> dict[str, list[float]]:
    by_id = {clip.clip_id: clip.scores or {} for clip in evaluation.clips}
    return {name: [by_id[i][name] for i in clip_ids] for name in by_id[clip_ids[0]]}


def likenesses(pairs: Sequence[Mapping[str, Any]]) -> list[Likeness]:
    """Pairs of entries, as `asdict` left them; those of older rounds do not tell since when."""
    return [
        Likeness(
            p["first"],
            p["second"],
            DuplicateRule(p["rule"]),
            p["evidence"],
            None if p.get("since") is None else (p["since"][0], p["since"][1]),
        )
        for p in pairs
    ]


def plan_facts(plan: RoundPlan) -> dict[str, Any]:
    """What is recorded when the round begins: all that a result depends on, but for what each step records."""
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
    """See that a round goes on under the plan that it was begun with. What was not recorded is not compared.

    Raises:
        UsageError: it would not.

    >>> check_same_plan("r1", {"clips": 8}, {"clips": 8, "metrics": ["ESTOI"]})
    """
    same = json.loads(json.dumps(present))
    changed = [name for name, before in recorded.items() if name in same and same[name] != before]
    if changed:
        told = "; ".join(
            f"{name.replace('_', ' ')} {_short(recorded[name])}, now {_short(same[name])}" for name in changed
        )
        raise UsageError(
            f"Round {round_id} was begun with other settings: {told}",
            "Go on with those of before, or begin anew with an empty state.",
        )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def submission_facts(submission: Submission) -> dict[str, Any]:
    return {
        "uid": submission.uid,
        "hotkey": submission.hotkey,
        "competition": submission.competition.id,
        "model": submission.source.facts(),
        "block": submission.block,
    }


def entry_id_of(facts: Mapping[str, Any]) -> str:
    """`Submission.entry_id`, from what was recorded of a submission."""
    return f"{facts['uid']}-{facts['hotkey'][:12]}"


def submission_of(facts: Mapping[str, Any], competitions: Mapping[str, Competition]) -> Submission:
    return Submission(
        facts["uid"], facts["hotkey"], competitions[facts["competition"]], source_of(facts["model"]), facts["block"]
    )


def refusal_facts(refusal: Refusal) -> dict[str, Any]:
    return {**asdict(refusal), "evidence": dict(refusal.evidence)}


def refusal_of(submission: Submission, refused: EntryRefused) -> Refusal:
    """A submission's refusal, for the leaderboard and the miner."""
    return Refusal(
        hotkey=submission.hotkey,
        uid=submission.uid,
        label=submission.source.repository,
        competition_id=submission.competition.id,
        code=refused.code,
        sentence=refused.sentence,
        evidence=refused.evidence,
    )
