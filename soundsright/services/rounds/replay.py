"""Decides a recorded round again, from its scores, with the code that decided it.

`replayed(record)` resumes the round on its records: entries, content and copies by hash are taken as recorded. The
looks at a part of the set, the entries ranked apart, the decisions and the weights are computed from the scores and
compared with what is recorded. Near copies and signs of tuning are computed too if the audio is at hand. A round is
replayed under its own ruleset, whatever the present default is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.audio import Audio
from soundsright.core.ports import Pool
from soundsright.core.stopping import Stopping
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import read_wav
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.outcome import RoundOutcome
from soundsright.services.rounds.recorded_ports import (
    NoPool,
    RecordedChain,
    RecordedHub,
    RecordedImages,
    RecordedState,
    StillClock,
)
from soundsright.services.rounds.recorded_results import ABSENT, Difference, RecordDiffers, RecordedResults
from soundsright.services.rounds.recorded_round import RecordedRound
from soundsright.services.rounds.run import run_steps
from soundsright.services.rounds.step_parts import Facts


@dataclass(frozen=True)
class Unchecked:
    """A part of a round that a replay took as it is recorded, and the reason."""

    part: str
    why: str


@dataclass(frozen=True)
class Heard:
    """The audio of a recorded round: `read` gives the signal of a file of the round, and `pool` examines files.

    `steps` are those that are computed from it: `near_copies`, `flags` or both.
    """

    read: Callable[[Path], Audio]
    pool: Pool
    steps: tuple[str, ...] = (steps.NEAR_COPIES.name, steps.FLAGS.name)


_IMAGES = (Unchecked("near_copies: images", "Which images have the same layers rests on the record."),)


@dataclass(frozen=True)
class Replayed:
    """A round that was decided again, and the first difference.

    `outcome` is None if the record contradicts itself. `steps` are the names of the steps that were computed.
    """

    outcome: RoundOutcome | None
    difference: Difference | None
    steps: tuple[str, ...]
    unchecked: tuple[Unchecked, ...]


def replayed(record: RecordedRound, heard: Heard | None = None) -> Replayed:
    """Decide the round again, and find the first difference. Without `heard`, no step needs audio.

    Raises:
        UsageError: the record is damaged, of a newer program, or lacks a step that a replay needs.
    """
    plan = record.round_plan
    images = RecordedImages(record)
    unchecked = (*_unchecked(record), *(_IMAGES if heard is not None and images.is_used else ()))
    recomputed = _recomputed(record, {each.part for each in unchecked}, () if heard is None else heard.steps)
    state = RecordedState(record, without=recomputed)
    entries = steps.RoundSteps(record.round_id, record.steps).get(steps.ENTRIES)
    neurons = (entries.neurons if entries else None) or ()
    context = RoundContext(
        plan,
        chain=RecordedChain(neurons, plan.round.entries_close_block, plan.burn_uid),
        hub=RecordedHub(record),
        sandbox=images,
        state=state,
        pool=NoPool() if heard is None else heard.pool,
        clock=StillClock(),
        folder=Path(),
        validator="",
        slots=1,
        workers=1,
        read=read_wav if heard is None else heard.read,
    )
    try:
        outcome = run_steps(context, {}, RecordedResults(record))
    except RecordDiffers as differs:
        return Replayed(None, differs.difference, tuple(state.computed), unchecked)
    difference = next(_differences(record, state.computed, recomputed), None)
    return Replayed(outcome, difference, tuple(state.computed), unchecked)


def json_differences(recorded: Any, replayed: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The places where two JSON values differ, in the order of their keys: the path and both values.

    >>> list(json_differences({"a": [1, 2]}, {"a": [1, 3], "b": 0}))
    [('a.1', 2, 3), ('b', 'nothing', 0)]
    """
    keys: Sequence[Any]
    if isinstance(recorded, Mapping) and isinstance(replayed, Mapping):
        keys = sorted({*recorded, *replayed})
        pairs = [(key, recorded.get(key, ABSENT), replayed.get(key, ABSENT)) for key in keys]
    elif isinstance(recorded, list) and isinstance(replayed, list):
        keys = range(max(len(recorded), len(replayed)))
        pairs = [(key, _item(recorded, key), _item(replayed, key)) for key in keys]
    else:
        if recorded != replayed:
            yield path, recorded, replayed
        return
    for key, before, now in pairs:
        yield from json_differences(before, now, f"{path}.{key}" if path else str(key))


def _item(values: Sequence[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT


def _unchecked(record: RecordedRound) -> Iterator[Unchecked]:
    """The steps of the round that its record does not let anyone compute."""
    set_aside = {name.partition(":")[2] for name in record.steps if name.startswith("set_aside:")}
    entries = steps.RoundSteps(record.round_id, record.steps).get(steps.ENTRIES)
    stuck = {e.competition_id for e in (entries.submissions if entries else ()) if e.entry_id in set_aside}
    for competition in record.round_plan.rules.competitions:
        name = competition.id
        withheld = name in record.sets and not record.sets[name].is_shown
        if withheld and steps.apart(name).name in record.steps:
            yield Unchecked(steps.apart(name).name, "The recipes of the clips are withheld.")
        if competition.stopping is Stopping.SEQUENTIAL and any(_looks(record, name)):
            if withheld:
                yield Unchecked(f"look:{name}", "The recipes of the clips are withheld.")
            elif name in stuck:
                yield Unchecked(f"look:{name}", "An entry was set aside, and its results are not recorded.")


def _recomputed(record: RecordedRound, unchecked: Collection[str], heard: Sequence[str]) -> tuple[str, ...]:
    """The names of the steps that are computed again, in the order of the round."""
    names: list[str] = []
    competitions = [competition.id for competition in record.round_plan.rules.competitions]
    for competition in competitions:
        if f"look:{competition}" not in unchecked:
            names += [steps.look(competition, number).name for number in sorted(_looks(record, competition))]
    names += heard
    names += [steps.apart(name).name for name in competitions if steps.apart(name).name not in unchecked]
    return (*names, *(steps.decide(name).name for name in competitions), steps.WEIGHTS.name)


def _looks(record: RecordedRound, competition_id: str) -> Iterator[int]:
    """The numbers of the recorded looks at a competition."""
    prefix = f"look:{competition_id}:"
    for name in record.steps:
        if name.startswith(prefix) and name.removeprefix(prefix).isdecimal():
            yield int(name.removeprefix(prefix))


def _differences(
    record: RecordedRound, computed: Mapping[str, Facts], names: Sequence[str]
) -> Iterator[Difference]:
    """The differences of the steps, in the order of the round."""
    for name in (*(name for name in computed if name not in names), *names):
        before, now = record.steps.get(name), computed.get(name)
        competition, step = _split(name)
        if before is None or now is None:
            if before is not now:
                yield Difference(competition, step, "", _presence(before), _presence(now))
            continue
        recorded, again = (_comparable(record, name, facts) for facts in (before, now))
        for path, was, is_now in json_differences(recorded, again):
            yield Difference(competition, step, path, was, is_now)


def _comparable(record: RecordedRound, name: str, facts: Facts) -> Any:
    """The facts of a step as JSON has them, without those of running. Entries have their hotkeys as names."""
    shown = steps.record_of(record.round_id, name, facts).reproducible().facts()
    if name in (steps.NEAR_COPIES.name, steps.FLAGS.name):
        entries = steps.RoundSteps(record.round_id, record.steps).get(steps.ENTRIES)
        hotkeys = {e.entry_id: f"{e.competition_id}, {e.hotkey}" for e in (entries.submissions if entries else ())}
        if name == steps.FLAGS.name:
            shown = {hotkeys.get(entry, entry): flags for entry, flags in shown["by_entry"].items()}
        else:
            shown = _pairs_by_name(shown["near_copies"], hotkeys)
    return json.loads(json.dumps(shown))


def _pairs_by_name(pairs: Sequence[Facts], hotkeys: Mapping[str, str]) -> dict[str, list[Facts]]:
    """The facts of each pair of entries. A pair can be there twice, by two rules."""
    named: dict[str, list[Facts]] = {}
    for pair in pairs:
        first, second = (hotkeys.get(pair[side], pair[side]) for side in ("first", "second"))
        facts = {name: value for name, value in pair.items() if name not in ("first", "second")}
        named.setdefault(f"{first} and {second}", []).append(facts)
    return named


def _presence(facts: Facts | None) -> str:
    return ABSENT if facts is None else "a step"


def _split(name: str) -> tuple[str, str]:
    """The competition of a step, or nothing, and the step without it."""
    kind, _, rest = name.partition(":")
    if kind == "look":
        competition, _, number = rest.rpartition(":")
        return competition, f"look {number}"
    return rest, kind
