"""What an organiser decides, in one TOML file: competitions, metrics, rewards, the rules and the schedule.

Times are UTC; rewards are percent of a round's emission. Everything is checked before anything is used, and the
first mistake is named with its place in the file. `soundsright/rulesets/published.toml` is such a file.
"""

from __future__ import annotations

import datetime
import math
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from soundsright.core.competition import Competition, Task
from soundsright.core.entry_rules import NO_RULES, EntryRules
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.rulesets import Age, Margin, Remainder, Ruleset, StandIn, ruleset_by_name
from soundsright.core.schedule import DAY_S, Schedule
from soundsright.core.ss58 import is_address
from soundsright.core.submission import CommitmentKind
from soundsright.core.toml_place import Place, shown

MAX_FILE_CHARS = 1_000_000
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Organiser:
    """One organiser's decisions. `schedule` is None where the file leaves the start of rounds to somebody.

    `commitment` is what of an entry stands on the chain until entries close; `entry_rules` and `fetch_limits` say
    which entries are refused; with `exclude_near_copies` those that answer as an earlier one does are, too.
    """

    competitions: tuple[Competition, ...]
    ruleset: Ruleset
    schedule: Schedule | None
    commitment: CommitmentKind = CommitmentKind.DIGEST
    entry_rules: EntryRules = NO_RULES
    fetch_limits: FetchLimits = FetchLimits()
    exclude_near_copies: bool = False


def organiser_of_toml(
    text: str,
    *,
    source: str,
    now_s: float,
    begun: bool = False,
    known_metrics: Collection[str] | None = None,
) -> Organiser:
    """The decisions of a file; `source` names it in messages.

    `begun` says that the competition is under way, so that a first day in the past is right. `known_metrics` are
    the names that can be measured; None accepts every name.

    Raises:
        UsageError: for the first mistake: no TOML, an unknown or missing key, a value of the wrong kind or range,
            metrics that do not sum to 1, rewards above 100, two competitions of one name, a schedule in the past.
    """
    place = Place(source)
    if len(text) > MAX_FILE_CHARS:
        raise place.wrong(f"{len(text)} characters are no file of rules", "Keep it below a million.")
    try:
        loaded = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise place.wrong(f"not TOML: {error}", "Compare it with soundsright/rulesets/published.toml.") from error
    table = place.table(loaded, {"ruleset", "schedule", "entries", "competition"})
    competitions = _competitions(place, table.get("competition"), known_metrics)
    ruleset = _ruleset(place.under("ruleset"), table.get("ruleset", {"base": "soundsright-v3"}))
    schedule = None
    if "schedule" in table:
        schedule = _schedule(place.under("schedule"), table["schedule"], now_s, begun)
    entries_here = place.under("entries")
    entries = entries_here.table(table.get("entries", {}), _ENTRIES_KEYS)
    commitment = _commitment(
        entries_here.under("commitment"), entries.get("commitment", CommitmentKind.DIGEST.value)
    )
    if commitment is CommitmentKind.SEALED and schedule is None:
        raise place.wrong("entries are sealed to a close that is not given", "Add a [schedule].")
    return Organiser(
        competitions,
        ruleset,
        schedule,
        commitment,
        _entry_rules(entries_here, entries),
        _fetch_limits(entries_here, entries),
        entries_here.under("exclude_near_copies").truth(entries.get("exclude_near_copies", False)),
    )


def entries_facts(organiser: Organiser) -> dict[str, Any]:
    """What decides which entries are refused, as plain values."""
    rules = asdict(organiser.entry_rules)
    return {
        **rules,
        "banned_content": sorted(rules["banned_content"]),
        **{key: list(v) if isinstance(v, tuple) else v for key, v in asdict(organiser.fetch_limits).items()},
        "exclude_near_copies": organiser.exclude_near_copies,
    }


def _competitions(place: Place, tables: object, known_metrics: Collection[str] | None) -> tuple[Competition, ...]:
    if not isinstance(tables, list) or not tables:
        raise place.wrong("no [[competition]] is defined", "Add at least one.")
    found: list[Competition] = []
    for number, value in enumerate(tables, start=1):
        here = place.under(f"competition {number}")
        table = here.table(value, {"task", "sample_rate_hz", "max_score", "remainder", "metrics"})
        metrics_here = here.under("metrics")
        metrics = here.required(table, "metrics")
        weights = {
            name: metrics_here.under(name).amount(weight)
            for name, weight in metrics_here.table(metrics, known_metrics).items()
        }
        task = here.required(table, "task")
        if task not in list(Task):
            raise here.under("task").wrong(f"unknown task {task!r}", f"Choose {' or '.join(Task)}.")
        rate_hz = here.under("sample_rate_hz").whole(here.required(table, "sample_rate_hz"))
        max_score = here.under("max_score").amount(here.required(table, "max_score"))
        remainder = here.under("remainder").amount(here.required(table, "remainder"))
        competition = here.built(lambda: Competition(Task(task), rate_hz, weights, max_score, remainder))  # noqa: B023
        if competition.id in (other.id for other in found):
            raise here.wrong(f"{competition.id} is defined twice", "Keep one of them.")
        found.append(competition)
    total = math.fsum(c.max_score + c.remainder for c in found)
    if total > 100.0 + 1e-9:
        raise place.wrong(f"the rewards sum to {total:g} percent", "Lower them to at most 100.")
    return tuple(found)


_RULESET_FIELDS = {field.name: field.type for field in fields(Ruleset)}


def _ruleset(place: Place, value: object) -> Ruleset:
    table = dict(place.table(value, {"base", *_RULESET_FIELDS}))
    name = place.under("base").text(table.pop("base", "soundsright-v3"))
    base = place.under("base").built(lambda: ruleset_by_name(name))
    if not table:
        return base
    if not isinstance(table.get("name"), str) or table["name"] == base.name:
        raise place.wrong("changed rules need a name of their own", 'Add `name = "..."`.')
    changes = {key: _ruleset_value(place.under(key), key, change) for key, change in table.items()}
    changes.setdefault("summary", f"{base.name} with changes by the organiser.")
    return place.built(lambda: replace(base, **changes))


def _ruleset_value(place: Place, key: str, value: Any) -> Any:
    kind = str(_RULESET_FIELDS[key])
    if kind.startswith("Margin"):
        table = place.table(value, {"start", "end", "over_blocks"})
        start, end = (place.under(k).number(place.required(table, k)) for k in ("start", "end"))
        over_blocks = place.under("over_blocks").whole(place.required(table, "over_blocks"))
        return place.built(lambda: Margin(start, end, over_blocks))
    if kind == "Age":
        return place.built(lambda: Age(value))
    if kind == "Remainder":
        return place.built(lambda: Remainder(value))
    if kind == "bool":
        return place.truth(value)
    if kind == "str":
        return place.text(value)
    if key == "gates":
        if not isinstance(value, list):
            raise place.wrong(f"{shown(value)} is no list of tables", "Write [{ metric, by, fraction }].")
        return tuple(_gate(place.under(f"{n}"), gate) for n, gate in enumerate(value, start=1))
    if kind.startswith("tuple"):
        return place.names(value)
    return place.whole(value) if kind == "int" else place.number(value)


def _gate(place: Place, value: object) -> StandIn:
    table = place.table(value, {"metric", "by", "fraction"})
    metric, by = (str(place.required(table, key)) for key in ("metric", "by"))
    return StandIn(metric, by, place.under("fraction").number(place.required(table, "fraction")))


def _schedule(place: Place, value: object, now_s: float, begun: bool) -> Schedule:
    known = {"time_utc", "every_days", "first_day", "last_day", "seed_delay_blocks", "final_after_blocks"}
    table = place.table(value, known)
    time = place.required(table, "time_utc")
    if not isinstance(time, datetime.time):
        raise place.under("time_utc").wrong(f"{shown(time)} is no time of day", "Write 09:00:00, without quotes.")
    days = {key: place.under(key).day(table[key]) for key in ("first_day", "last_day") if key in table}
    numbers = {
        key: place.under(key).whole(table[key])
        for key in ("every_days", "seed_delay_blocks", "final_after_blocks")
        if key in table
    }
    place.required(table, "every_days")
    time_of_day_s = time.hour * 3600 + time.minute * 60 + time.second
    schedule = place.built(lambda: Schedule(time_of_day_s, **numbers, **days))
    if "first_day" in days and not begun and schedule.start_s(0) < now_s:
        raise place.under("first_day").wrong(
            f"the first round, {table['first_day']} {time} UTC, lies in the past",
            "Give a day to come, or say --begun where it is under way.",
        )
    if "last_day" in days and schedule.last_day is not None and (schedule.last_day + 1) * DAY_S <= now_s:
        raise place.under("last_day").wrong(
            f"the last day, {table['last_day']}, lies in the past", "Give a day to come, or leave it out."
        )
    return schedule


def _commitment(place: Place, kind: object) -> CommitmentKind:
    if kind not in list(CommitmentKind):
        raise place.wrong(f"unknown kind {kind!r}", f"Choose {', '.join(CommitmentKind)}.")
    return CommitmentKind(str(kind))


_ENTRIES_KEYS = frozenset(
    {"commitment", "exclude_near_copies"}
    | {field.name for field in fields(EntryRules)}
    | {field.name for field in fields(FetchLimits)}
)


def _entry_rules(place: Place, table: Mapping[str, Any]) -> EntryRules:
    chosen: dict[str, Any] = {
        key: place.under(key).whole(table[key])
        for key in ("cooldown_blocks", "max_commitments", "commitment_window_blocks")
        if key in table
    }
    if "banned_hotkeys" in table:
        here = place.under("banned_hotkeys")
        until = here.table(table["banned_hotkeys"], None)
        wrong = next((hotkey for hotkey in until if not is_address(hotkey)), None)
        if wrong is not None:
            raise here.wrong(f"{shown(wrong)} is no hotkey's address", "Give all of it, as the chain shows it.")
        chosen["banned_hotkeys"] = {hotkey: here.under(hotkey).whole(block) for hotkey, block in until.items()}
    if "banned_content" in table:
        here = place.under("banned_content")
        hashes = here.names(table["banned_content"])
        wrong = next((h for h in hashes if not _SHA256.fullmatch(h)), None)
        if wrong is not None:
            raise here.wrong(f"{shown(wrong)} is no SHA-256", "Give its 64 hex digits, in lower case.")
        chosen["banned_content"] = frozenset(hashes)
    if "needs_licence" in table:
        chosen["needs_licence"] = place.under("needs_licence").truth(table["needs_licence"])
    return place.built(lambda: EntryRules(**chosen))


def _fetch_limits(place: Place, table: Mapping[str, Any]) -> FetchLimits:
    chosen: dict[str, Any] = {}
    for key in ("max_bytes", "max_files"):
        if key in table:
            chosen[key] = place.under(key).whole(table[key])
            if chosen[key] < 1:
                raise place.under(key).wrong(f"{chosen[key]} leaves room for no model", "Give at least 1.")
    for key in ("allowed_files", "refused_files"):
        if key in table:
            chosen[key] = place.under(key).names(table[key])
    return FetchLimits(**chosen)
