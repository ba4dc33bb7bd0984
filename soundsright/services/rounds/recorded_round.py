"""A finished round as its bundle records it: the plan, the steps, the scores, and what earlier rounds decided.

Scores are in their metric's unit, by metric. Blocks are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from soundsright.core.audio import Audio
from soundsright.core.competition import Competition
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.errors import UsageError
from soundsright.core.groups import ClipGroups
from soundsright.core.material import MIXED_NOISE, Material
from soundsright.core.ports import DegradedClip, StateStore
from soundsright.core.results import ClipResult
from soundsright.core.rulesets import Ruleset, ruleset_of
from soundsright.core.schedule import Round
from soundsright.core.sources import Source
from soundsright.core.stopping import Stopping, Stops
from soundsright.core.tasks import task_by_name
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import ClipSet, read_wav
from soundsright.services.rounds.plan import RoundPlan
from soundsright.services.rounds.settings_step import SettingsStep
from soundsright.services.rounds.step_parts import Facts

_REMEDY = "Ask whoever made the bundle for a whole one, or update soundsright."


@dataclass(frozen=True)
class RecordedSet:
    """One competition's set and all results on it.

    `digests` and `recipes` are by clip id; a clip whose recipe is withheld has none. `groups` are numbers that name
    no recording. `unprocessed` has the results by clip id, and `results` by hotkey and clip id. `stops` are those
    that were published. `hidden` are the clips whose recipes were withheld when the round ended.
    """

    digests: Mapping[str, str]
    recipes: Mapping[str, Mapping[str, object]]
    groups: ClipGroups | None
    unprocessed: Mapping[str, ClipResult]
    results: Mapping[str, Mapping[str, ClipResult]]
    stops: Stops | None = None
    hidden: Collection[str] = ()

    @property
    def is_shown(self) -> bool:
        """Whether all recipes are known."""
        return set(self.recipes) == set(self.digests)


@dataclass(frozen=True)
class RecordedRound:
    """Everything that the decisions of a round follow from, and the decisions.

    `plan` is the row of the round's begin. `steps` are the facts of its steps by name. `titles` are the titles
    before the round, and `history` the steps of earlier rounds that matter, oldest round first: see
    `plan_document`. `sets` are by competition id.
    """

    round_id: str
    plan: Facts
    steps: Mapping[str, Facts]
    sets: Mapping[str, RecordedSet]
    titles: Mapping[str, Sequence[Facts]] = field(default_factory=dict)
    history: Sequence[Facts] = ()

    @cached_property
    def settings(self) -> SettingsStep:
        """The settings that the round began with.

        Raises:
            UsageError: the round has not recorded them, or the record is damaged.
        """
        settings = steps.RoundSteps(self.round_id, self.steps).get(steps.SETTINGS)
        if settings is None:
            raise UsageError(
                f"Round {self.round_id} has no step {steps.SETTINGS.name}, which says what decided it",
                "Only rounds that began with soundsright 0.5.0 or later can be replayed.",
            )
        return settings

    @cached_property
    def round_plan(self) -> RoundPlan:
        """The plan by which the round was decided.

        Raises:
            UsageError: the row of the round is damaged, or names a task or a rule that this program does not have.
        """
        settings = self.settings
        try:
            return settings.applied_to(_plan_of(self.plan, settings))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise UsageError(
                f"Round {self.round_id}: its plan is damaged ({type(error).__name__}: {error})", _REMEDY
            ) from error


@dataclass(frozen=True)
class ShownSet(ClipSet):
    """A set of which the groups are known by number. `read` gives the signal of a file, if its audio is here."""

    numbers: ClipGroups | None = None
    read: Callable[[Path], Audio] = read_wav

    def clean(self, clip_id: str) -> Audio:
        return self.read(self.folder / "clean" / f"{clip_id}.wav")

    def degraded(self, clip_id: str) -> DegradedClip:
        return DegradedClip(clip_id, self.read(self.folder / "degraded" / f"{clip_id}.wav"))

    @cached_property
    def groups(self) -> ClipGroups | None:
        """The groups as numbers, which name no recording."""
        return self.numbers


@dataclass(frozen=True)
class RecordedSpeech:
    """The facts of the speech of a round. Nobody can speak with it."""

    facts: Mapping[str, str]

    def fills(self, sample_rate_hz: int) -> bool:
        """Whether the sets at that rate have this speech."""
        return bool(self.facts)


def plan_document(state: StateStore, round_id: str, plan: Facts) -> dict[str, Any]:
    """The facts that a replay needs beside the steps and the scores of a round. `plan` is the row of its begin.

    `plan` is that row. `titles` has the titles before the round by competition. `history` has the few steps of
    earlier rounds from which the age of a title and the identity of a champion's model follow.

    Raises:
        UsageError: a record is newer than this program, or damaged.
        StateUnavailable: the state does not answer.
    """
    competitions = tuple(map(str, plan.get("competitions", ())))
    titles = {c: [asdict(row) for row in state.titles(c, before=round_id)] for c in competitions}
    rounds = state.rounds()
    earlier = rounds[: rounds.index(round_id)]
    return {"plan": dict(plan), "titles": titles, "history": list(_history(state, earlier, competitions))}


def _history(state: StateStore, earlier: Sequence[str], competitions: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The steps of earlier rounds that `examine` reads: first titles, and the last marks of the models with one."""
    kept: dict[str, dict[str, Facts]] = {round_id: {} for round_id in earlier}
    first: dict[tuple[str, str, str, Source], int] = {}
    for round_id in earlier:
        for competition_id in competitions:
            key = steps.decide(competition_id)
            decided = steps.read(state, round_id, key)
            if decided is None:
                continue
            for metric, champion in decided.champions.items():
                title = (competition_id, metric, champion.hotkey, champion.source)
                if title not in first or champion.since_block < first[title]:
                    first[title] = champion.since_block
                    kept[round_id][key.name] = decided.to_facts()
    missing = {(hotkey, source) for _, _, hotkey, source in first}
    for round_id in reversed(earlier):
        if not missing:
            break
        found = _marks(state, round_id, missing)
        missing -= set(found)
        for facts in found.values():
            kept[round_id] |= facts
        if found:
            kept[round_id] |= _entries_and_tensors(state, round_id, found)
    return ({"round": round_id, "steps": facts} for round_id, facts in kept.items() if facts)


def _marks(
    state: StateStore, round_id: str, wanted: Collection[tuple[str, Source]]
) -> dict[tuple[str, Source], dict[str, Facts]]:
    """The fetch steps of those models that took part in a round."""
    entries = steps.read(state, round_id, steps.ENTRIES)
    found: dict[tuple[str, Source], dict[str, Facts]] = {}
    for entry in entries.submissions if entries else ():
        if (entry.hotkey, entry.source) in wanted:
            fetched = steps.read(state, round_id, steps.fetch(entry.entry_id))
            name = steps.fetch(entry.entry_id).name
            found[(entry.hotkey, entry.source)] = {} if fetched is None else {name: fetched.to_facts()}
    return found


def _entries_and_tensors(
    state: StateStore, round_id: str, models: Collection[tuple[str, Source]]
) -> dict[str, Facts]:
    """The steps `entries` and `duplicates` of a round, without everything about other models."""
    entries = steps.read(state, round_id, steps.ENTRIES)
    own = tuple(e for e in (entries.submissions if entries else ()) if (e.hotkey, e.source) in models)
    facts: dict[str, Facts] = {steps.ENTRIES.name: steps.EntriesStep(own, (), ()).to_facts()}
    duplicates = steps.read(state, round_id, steps.DUPLICATES)
    if duplicates is not None:
        ids = {entry.entry_id for entry in own}
        sketches = {entry_id: sketch for entry_id, sketch in duplicates.sketches.items() if entry_id in ids}
        facts[steps.DUPLICATES.name] = steps.DuplicatesStep((), {}, sketches, {}).to_facts()
    return facts


def _ruleset(plan: Facts, settings: SettingsStep) -> Ruleset:
    """The rules of the round.

    Raises:
        ValueError: they are not those whose digest the round began with.
    """
    ruleset = ruleset_of(settings.ruleset)
    if (ruleset.name, ruleset.digest) != (plan["ruleset"], plan["ruleset_digest"]):
        raise ValueError(f"the rules have digest {ruleset.digest[:12]}, and the plan {plan['ruleset_digest'][:12]}")
    return ruleset


def _plan_of(facts: Facts, settings: SettingsStep) -> RoundPlan:
    tasks: Mapping[str, Sequence[Any]] = facts.get("tasks", {})
    competitions = tuple(
        _competition(name, facts, tasks.get(name), settings.metrics[name]) for name in facts["competitions"]
    )
    speech: Any = RecordedSpeech(dict(facts["speech"])) if facts.get("speech") else None
    noise = facts.get("draw", {}).get("noise", MIXED_NOISE)
    material = Material(round_number=facts.get("corpus_round"), speech=speech, noise=noise)
    return RoundPlan(
        round=Round(**facts["round"]),
        rules=CompetitionRules(
            competitions, _ruleset(facts, settings), exclude_near_copies=bool(facts["exclude_near_copies"])
        ),
        measures=Measures(int(facts["clips"]), tuple(facts["metrics"]), dict(facts["floors"]), material),
        batch_audio_s=float(facts["batch_audio_s"]),
        values=int(facts.get("values", 0)),
    )


def _competition(name: str, facts: Facts, task: Sequence[Any] | None, metrics: Sequence[str]) -> Competition:
    """A competition of the plan, with its metrics in that order. Its default name consists of task and rate."""
    if task is None:
        title, _, rate = name.rpartition("_")
        task = (title, rate.removesuffix("HZ"))
    max_score, remainder, weights = facts["rewards"][name]
    if sorted(weights) != sorted(metrics):
        raise ValueError(f"{name} pays for {', '.join(sorted(weights))}, and its settings list other metrics")
    stopping = Stopping(facts.get("stopping", {}).get(name, Stopping.FULL))
    return Competition(
        task_by_name(task[0]),
        int(task[1]),
        {metric: weights[metric] for metric in metrics},
        max_score,
        remainder,
        name,
        stopping,
    )
