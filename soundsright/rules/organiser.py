"""Reads an organiser's TOML file: competitions, metrics, rewards, ruleset, schedule, entries, and other systems.

Times are UTC; rewards are percent of a round's emission. The whole file is checked before anything is used. The
first mistake is reported with its location. `soundsright/rulesets/published.toml` is an example.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields, replace
from enum import StrEnum
from typing import Any, TypeVar

from soundsright.core.competition import MAX_COMPETITIONS, Competition, is_competition_name
from soundsright.core.competition_rules import SPEECH_OF_ROUNDS, CompetitionRules
from soundsright.core.entry_rules import EntryRules
from soundsright.core.errors import UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.material import MIXED_NOISE, NOISE_OF_ROUNDS
from soundsright.core.rulesets import (
    DEFAULT_RULESET,
    Age,
    Margin,
    NoLoss,
    Reference,
    Remainder,
    Ruleset,
    StandIn,
    ruleset_by_name,
)
from soundsright.core.schedule import DAY_S, Schedule
from soundsright.core.ss58 import is_address
from soundsright.core.stopping import Stopping
from soundsright.core.submission import CommitmentKind
from soundsright.core.tasks import AnyTask, task_by_name
from soundsright.core.text_files import toml_table
from soundsright.core.toml_location import TomlLocation, toml_text
from soundsright.rules.systems import (
    SYSTEM_TABLES,
    emission_of_table,
    executor_of_table,
    federation_of_table,
    tiers_of_table,
)

MAX_FILE_CHARS = 1_000_000
_TABLES = ("ruleset", "schedule", "entries", "material", "competition")
Choice = TypeVar("Choice", bound=StrEnum)
_SHA256 = re.compile("[0-9a-f]{64}")


def organiser_of_toml(
    text: str,
    *,
    source: str,
    now_s: float,
    begun: bool = False,
    known_metrics: Collection[str] | None = None,
) -> CompetitionRules:
    """The organiser's decisions in the text of a file. `source` is the file's name in messages.

    If `begun` is True, the competition has started, and its first day can be in the past. `known_metrics` are the
    metrics that can pay; None accepts every name.

    Raises:
        UsageError: for the first mistake: no TOML, an unknown or missing key, a value of the wrong type or range,
            metrics that do not sum to 1, rewards above 100, two competitions with one name, a schedule in the past,
            shares of the emission above 1.
    """
    file = TomlLocation(source)
    if len(text) > MAX_FILE_CHARS:
        raise file.error(f"the file has {len(text)} characters", f"Keep it below {MAX_FILE_CHARS}.")
    content = toml_table(text, source, "`soundsright init-competition` writes an example.")
    table = file.table(content, {*_TABLES, *SYSTEM_TABLES})
    competitions = _competitions(file, table.get("competition"), known_metrics)
    ruleset = _ruleset(file.under("ruleset"), table.get("ruleset", {"base": DEFAULT_RULESET}))
    schedule = None
    if "schedule" in table:
        schedule = _schedule(file.under("schedule"), table["schedule"], now_s, begun)
    location = file.under("entries")
    entries = location.table(table.get("entries", {}), _ENTRIES_KEYS)
    return CompetitionRules(
        competitions,
        ruleset,
        schedule,
        _commitment(location.under("commitment"), entries.get("commitment"), schedule),
        _entry_rules(location, entries),
        _fetch_limits(location, entries),
        location.under("exclude_near_copies").true_or_false(entries.get("exclude_near_copies", False)),
        *_material(file.under("material"), table.get("material", {})),
        **_systems(file, table, competitions),
    )


def _systems(file: TomlLocation, table: Mapping[str, Any], competitions: Sequence[Competition]) -> dict[str, Any]:
    readers: Mapping[str, Callable[[TomlLocation, object], Any]] = {
        "emission": emission_of_table,
        "executor": executor_of_table,
        "federation": lambda location, value: federation_of_table(location, value, competitions),
        "tiers": tiers_of_table,
    }
    return {name: read(file.under(name), table[name]) for name, read in readers.items() if name in table}


def _commitment(location: TomlLocation, kind: object, schedule: Schedule | None) -> CommitmentKind:
    if kind is None:
        # Only a schedule says when a seal opens.
        return CommitmentKind.DIGEST if schedule is None else CommitmentKind.SEALED
    commitment = _choice(location, CommitmentKind, kind)
    if commitment is CommitmentKind.SEALED and schedule is None:
        raise location.error(
            "sealed entries open when entries close, but the file has no [schedule] that gives this time",
            "Add a [schedule], or choose another kind.",
        )
    return commitment


def entries_facts(rules: CompetitionRules) -> dict[str, Any]:
    """Everything that decides which entries are refused, as plain values."""
    entry_rules = asdict(rules.entry_rules)
    if not entry_rules["unsalted"]:
        del entry_rules["unsalted"]  # Earlier versions did not record it.
    for key in ("released", "refused"):
        if names := sorted(entry_rules.pop(key)):
            entry_rules[key] = names
    return {
        **entry_rules,
        "banned_content": sorted(entry_rules["banned_content"]),
        **{key: list(v) if isinstance(v, tuple) else v for key, v in asdict(rules.fetch_limits).items()},
        "exclude_near_copies": rules.exclude_near_copies,
    }


def _competitions(
    file: TomlLocation, tables: object, known_metrics: Collection[str] | None
) -> tuple[Competition, ...]:
    if not isinstance(tables, list) or not tables:
        raise file.error("the file defines no [[competition]]", "Add at least one.")
    if len(tables) > MAX_COMPETITIONS:
        raise file.error(f"the file defines {len(tables)} competitions", f"Keep at most {MAX_COMPETITIONS}.")
    competitions: list[Competition] = []
    for number, value in enumerate(tables, start=1):
        location = file.under(f"competition {number}")
        competition = _competition(location, value, known_metrics)
        if competition.id.casefold() in (other.id.casefold() for other in competitions):
            raise location.error(
                f"{competition.id} is defined twice", 'Keep one of them, or give one another name: `name = "..."`.'
            )
        competitions.append(competition)
    total = math.fsum(c.max_score + c.remainder for c in competitions)
    if total > 100.0 + 1e-9:
        raise file.error(f"the rewards sum to {total:g} percent", "Lower them to at most 100 percent.")
    return tuple(competitions)


def _competition(location: TomlLocation, value: object, known_metrics: Collection[str] | None) -> Competition:
    table = location.table(
        value, {"name", "task", "sample_rate_hz", "max_score", "remainder", "metrics", "stopping"}
    )
    metrics = location.under("metrics")
    weights = {
        name: metrics.under(name).non_negative(weight)
        for name, weight in metrics.table(location.required(table, "metrics"), known_metrics).items()
    }
    task = _task(location.under("task"), location.required(table, "task"))
    rate_hz = location.under("sample_rate_hz").whole_number(location.required(table, "sample_rate_hz"))
    max_score, remainder = (
        location.under(key).non_negative(location.required(table, key)) for key in ("max_score", "remainder")
    )
    name = ""
    if "name" in table:
        name = location.under("name").text(table["name"])
        if not is_competition_name(name):
            raise location.under("name").error(
                f"{toml_text(name)} is not a name of a competition",
                "Write 1 to 64 letters, digits, `-` and `_`, with a letter or digit first, such as summer-2030.",
            )
    stopping = _choice(location.under("stopping"), Stopping, table.get("stopping", Stopping.FULL))
    return location.built(lambda: Competition(task, rate_hz, weights, max_score, remainder, name, stopping))


_CHOICES: Mapping[str, type[StrEnum]] = {"Age": Age, "Remainder": Remainder, "Reference": Reference}
_RULESET_FIELDS = {field.name: field.type for field in fields(Ruleset)}


def _ruleset(location: TomlLocation, value: object) -> Ruleset:
    table = dict(location.table(value, {"base", *_RULESET_FIELDS}))
    name = location.under("base").text(table.pop("base", DEFAULT_RULESET))
    base = location.under("base").built(lambda: ruleset_by_name(name))
    if not table:
        return base
    if not isinstance(table.get("name"), str) or table["name"] == base.name:
        raise location.error(
            "changed rules need a name of their own", 'Add a name that no shipped ruleset has: `name = "..."`.'
        )
    changes = {key: _ruleset_value(location.under(key), key, change) for key, change in table.items()}
    changes.setdefault("summary", f"{base.name} with changes by the organiser.")
    return location.built(lambda: replace(base, **changes))


def _ruleset_value(location: TomlLocation, key: str, value: Any) -> Any:
    kind = str(_RULESET_FIELDS[key])
    if kind.startswith("Margin"):
        table = location.table(value, {"start", "end", "over_blocks"})
        start, end = (location.under(k).number(location.required(table, k)) for k in ("start", "end"))
        over_blocks = location.under("over_blocks").whole_number(location.required(table, "over_blocks"))
        return location.built(lambda: Margin(start, end, over_blocks))
    if kind in _CHOICES:
        return _choice(location, _CHOICES[kind], value)
    if kind == "bool":
        return location.true_or_false(value)
    if kind == "str":
        return location.text(value)
    if key == "gates":
        if not isinstance(value, list):
            raise location.error(
                f"{toml_text(value)} is not a list of tables", 'Write [{ metric = "A", by = "B", fraction = 0.5 }].'
            )
        return tuple(_stand_in(location.under(f"{n}"), gate) for n, gate in enumerate(value, start=1))
    if key == "no_loss":
        if not isinstance(value, list):
            raise location.error(
                f"{toml_text(value)} is not a list of tables",
                'Write [{ metric = "A", on = ["B"], alpha = 0.005 }].',
            )
        return tuple(_no_loss(location.under(f"{n}"), each) for n, each in enumerate(value, start=1))
    if kind.startswith("tuple"):
        return location.names(value)
    return location.whole_number(value) if kind == "int" else location.number(value)


def _material(location: TomlLocation, value: object) -> tuple[str, str]:
    """The speech and the noise of every round."""
    table = location.table(value, {"speech", "noise"})
    chosen = {"speech": "", "noise": MIXED_NOISE}
    for key, choices in (("speech", SPEECH_OF_ROUNDS), ("noise", NOISE_OF_ROUNDS)):
        if key in table:
            if table[key] not in choices:
                raise location.under(key).error(
                    f"{toml_text(table[key])} is not a choice", f"Choose one of {', '.join(choices)}."
                )
            chosen[key] = str(table[key])
    return chosen["speech"], chosen["noise"]


def _choice(location: TomlLocation, choices: type[Choice], value: object) -> Choice:
    if value not in list(choices):
        raise location.error(f"{toml_text(value)} is not a choice", f"Choose one of {', '.join(choices)}.")
    return choices(str(value))


def _task(location: TomlLocation, value: object) -> AnyTask:
    try:
        return task_by_name(str(value))
    except UsageError as error:
        raise location.error(f"{toml_text(value)} is not a choice", error.remedy) from error


def _stand_in(location: TomlLocation, value: object) -> StandIn:
    table = location.table(value, {"metric", "by", "fraction"})
    metric, by = (str(location.required(table, key)) for key in ("metric", "by"))
    return StandIn(metric, by, location.under("fraction").number(location.required(table, "fraction")))


def _no_loss(location: TomlLocation, value: object) -> NoLoss:
    table = location.table(value, {"metric", "on", "alpha", "least_clips"})
    metric, on = str(location.required(table, "metric")), location.under("on").names(location.required(table, "on"))
    alpha = location.under("alpha").number(location.required(table, "alpha"))
    least_clips = location.under("least_clips").whole_number(table.get("least_clips", 0))
    return location.built(lambda: NoLoss(metric, tuple(on), alpha, least_clips))


def _schedule(location: TomlLocation, value: object, now_s: float, begun: bool) -> Schedule:
    known = {"time_utc", "every_days", "first_day", "last_day", "seed_delay_blocks", "final_after_blocks"}
    table = location.table(value, known)
    time = location.required(table, "time_utc")
    if not isinstance(time, datetime.time):
        raise location.under("time_utc").error(
            f"{toml_text(time)} is not a time of day", "Write a time such as 09:00:00, without quotes."
        )
    days = {key: location.under(key).day(table[key]) for key in ("first_day", "last_day") if key in table}
    numbers = {
        key: location.under(key).whole_number(table[key])
        for key in ("every_days", "seed_delay_blocks", "final_after_blocks")
        if key in table
    }
    location.required(table, "every_days")
    time_of_day_s = time.hour * 3600 + time.minute * 60 + time.second
    schedule = location.built(lambda: Schedule(time_of_day_s, **numbers, **days))
    if "first_day" in days and not begun and schedule.start_s(0) < now_s:
        raise location.under("first_day").error(
            f"the first round, {table['first_day']} {time} UTC, is in the past",
            "Write a later day, or add --begun if the competition has started.",
        )
    if "last_day" in days and schedule.last_day is not None and (schedule.last_day + 1) * DAY_S <= now_s:
        raise location.under("last_day").error(
            f"the last day, {table['last_day']}, is in the past", "Write a later day, or remove the key."
        )
    return schedule


_ENTRIES_KEYS = frozenset(
    {"commitment", "exclude_near_copies"}
    | {field.name for field in fields(EntryRules)}
    | {field.name for field in fields(FetchLimits)}
)


def _entry_rules(location: TomlLocation, table: Mapping[str, Any]) -> EntryRules:
    chosen: dict[str, Any] = {
        key: location.under(key).whole_number(table[key])
        for key in ("cooldown_blocks", "max_commitments", "commitment_window_blocks")
        if key in table
    }
    if "banned_hotkeys" in table:
        hotkeys = location.under("banned_hotkeys")
        last_blocks = hotkeys.table(table["banned_hotkeys"], None)
        for hotkey in last_blocks:
            if not is_address(hotkey):
                raise hotkeys.error(
                    f"{toml_text(hotkey)} is not the address of a hotkey",
                    "Write the whole address, as the chain shows it.",
                )
        chosen["banned_hotkeys"] = {
            hotkey: hotkeys.under(hotkey).whole_number(block) for hotkey, block in last_blocks.items()
        }
    if "banned_content" in table:
        content = location.under("banned_content")
        hashes = content.names(table["banned_content"])
        for digest in hashes:
            if not _SHA256.fullmatch(digest):
                raise content.error(
                    f"{toml_text(digest)} is not a SHA-256", "Write its 64 hex digits, in lower case."
                )
        chosen["banned_content"] = frozenset(hashes)
    for key in ("needs_licence", "unsalted"):
        if key in table:
            chosen[key] = location.under(key).true_or_false(table[key])
    for key in ("released", "refused"):
        if key in table:
            chosen[key] = frozenset(_decided_entries(location.under(key), table[key]))
    return location.built(lambda: EntryRules(**chosen))


def _decided_entries(location: TomlLocation, value: object) -> tuple[str, ...]:
    """The entries that an organiser names: each by its content hash or its hotkey."""
    names = location.names(value)
    for name in names:
        if not _SHA256.fullmatch(name) and not is_address(name):
            raise location.error(
                f"{toml_text(name)} is neither a content hash nor a hotkey",
                "Copy the content hash from the report of the round: 64 hex digits, in lower case.",
            )
    return names


def _fetch_limits(location: TomlLocation, table: Mapping[str, Any]) -> FetchLimits:
    chosen: dict[str, Any] = {}
    for key in ("max_bytes", "max_files"):
        if key in table:
            chosen[key] = location.under(key).whole_number(table[key])
            if chosen[key] < 1:
                raise location.under(key).error(f"{chosen[key]} leaves no room for a model", "Write 1 or more.")
    for key in ("allowed_files", "refused_files"):
        if key in table:
            chosen[key] = location.under(key).names(table[key])
    return FetchLimits(**chosen)
