"""The systems' tables in an organiser's file, such as `[emission]` and `[executor]`: how they are read and shown.

Shares are fractions of the emission. A table that this version does not know is refused like any unknown key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from soundsright.core.competition import Competition
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.emission import STALE_BLOCKS, SYSTEMS, EmissionRules
from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import ExecutorRules, executor_rules
from soundsright.core.federation_rules import FederationRules, federation_rules
from soundsright.core.profiles import Profile
from soundsright.core.tiers_rules import TIER_NAMES, TIER_RANGES, TIERS_KEYS, TiersRules, tiers_rules
from soundsright.core.toml_location import TomlLocation, toml_text

SYSTEM_TABLES = ("emission", "executor", "federation", "tiers")
"""The tables of systems that an organiser's file can have. Each has canonical JSON and a digest of its own."""

_EXECUTOR_KINDS: Mapping[str, str] = {item.name: str(item.type) for item in fields(ExecutorRules)}
_FEDERATION_KINDS: Mapping[str, str] = {item.name: str(item.type) for item in fields(FederationRules)}


def emission_of_table(location: TomlLocation, value: object) -> EmissionRules:
    """The shares in the table `[emission]`.

    Raises:
        UsageError: an unknown key, a value that is no number of 0 or more, or shares that sum to more than 1.
    """
    table = location.table(value, {*SYSTEMS, "stale_blocks"})
    shares = {name: location.under(name).non_negative(table[name]) for name in SYSTEMS if name in table}
    stale_blocks = location.under("stale_blocks").whole_number(table.get("stale_blocks", STALE_BLOCKS))
    return location.built(lambda: EmissionRules(shares, stale_blocks))


def executor_of_table(location: TomlLocation, value: object) -> ExecutorRules:
    """The rules in the table `[executor]`: those of its profile, with the changes that it makes.

    Raises:
        UsageError: an unknown key or profile, or a value of the wrong type or outside its range.
    """
    profile, changes = _profile_and_changes(location, value, _EXECUTOR_KINDS)
    return location.built(lambda: executor_rules(profile, **changes))


def federation_of_table(
    location: TomlLocation, value: object, competitions: Sequence[Competition]
) -> FederationRules:
    """The rules in the table `[federation]`. Without `competitions`, its tasks have all those of the file.

    Raises:
        UsageError: an unknown key, profile or competition, or a value of the wrong type or outside its range.
    """
    profile, changes = _profile_and_changes(location, value, _FEDERATION_KINDS)
    defined = tuple(competition.id for competition in competitions)
    for name in changes.setdefault("competitions", defined):
        if name not in defined:
            raise location.under("competitions").error(
                f"{toml_text(name)} is not defined in this file", f"Choose from {', '.join(defined)}."
            )
    return location.built(lambda: federation_rules(profile, **changes))


def tiers_of_table(location: TomlLocation, value: object) -> TiersRules:
    """The rules in the table `[tiers]`. A table in it, such as `[tiers.Gold]`, changes numbers of that tier.

    Raises:
        UsageError: an unknown key, tier or profile, or a value of the wrong type or outside its range.
    """
    table = location.table(value, {*TIERS_KEYS, *TIER_NAMES})
    scalars = {key: given for key, given in table.items() if key not in TIER_NAMES}
    profile, changes = _profile_and_changes(location, scalars, TIERS_KEYS)
    tiers = {
        name: _numbers_of_tier(location.under(name), given) for name, given in table.items() if name in TIER_NAMES
    }
    return location.built(lambda: tiers_rules(profile, **changes, table=tiers))


def _numbers_of_tier(location: TomlLocation, value: object) -> dict[str, float]:
    table = location.table(value, set(TIER_RANGES))
    counts = ("requests", "min_successes")
    return {
        key: location.under(key).whole_number(given) if key in counts else location.under(key).number(given)
        for key, given in table.items()
    }


def _profile_and_changes(
    location: TomlLocation, value: object, kinds: Mapping[str, str]
) -> tuple[Profile, dict[str, Any]]:
    """The profile that a table names, and its other values by key. `kinds` are the types of all keys."""
    table = dict(location.table(value, set(kinds)))
    name = table.pop("profile", Profile.SOUNDSRIGHT)
    if name not in list(Profile):
        raise location.under("profile").error(
            f"{toml_text(name)} is not a choice", f"Choose one of {', '.join(Profile)}."
        )
    changes: dict[str, Any] = {}
    for key, given in table.items():
        at = location.under(key)
        if kinds[key].startswith("tuple"):
            changes[key] = at.names(given)
        elif kinds[key] == "bool":
            if not isinstance(given, bool):
                raise at.error(f"{toml_text(given)} is neither true nor false", "Write true or false.")
            changes[key] = given
        else:
            changes[key] = at.whole_number(given) if kinds[key] == "int" else at.number(given)
    return Profile(str(name)), changes


SystemRules = EmissionRules | ExecutorRules | FederationRules | TiersRules


def system_rules(rules: CompetitionRules, table: str) -> SystemRules:
    """The rules of one of `SYSTEM_TABLES`.

    Raises:
        UsageError: the organiser's file does not have the table, and the table has no default.
    """
    if table == "emission":
        return rules.emission
    systems = {"executor": rules.executor, "federation": rules.federation, "tiers": rules.tiers}
    found = systems.get(table)
    if found is not None:
        return found
    raise UsageError(f"These rules have no table [{table}]", f"Add [{table}] to the organiser's file.")


def systems_text(rules: CompetitionRules) -> str:
    """The shares of the emission and the rules of each system, with their digests."""
    emission = rules.emission
    lines = [f"Emission  {emission.digest}"]
    lines += [f"  {name:<14}{share:>8.2%}" for name, share in emission.paying.items()]
    if emission.unassigned > 0:
        lines.append(f"  {'burns':<14}{emission.unassigned:>8.2%}   no system has this share")
    if not emission.is_default:
        lines.append(
            f"  If a system's payees cannot be read, its last ones count for {emission.stale_blocks} blocks."
            " Then its share burns."
        )
    systems = (("Executor", rules.executor), ("Federation", rules.federation), ("Tiers", rules.tiers))
    for title, system in systems:
        if system is not None:
            lines += ["", f"{title}, profile {system.profile}  {system.digest}"]
            lines += [
                f"  {item.name:<18}{_shown(getattr(system, item.name))}"
                for item in fields(system)
                if item.name not in ("profile", "table")
            ]
    if rules.tiers is not None:
        lines += ["", *_table_lines(rules.tiers)]
    return "\n".join(lines)


def _table_lines(rules: TiersRules) -> list[str]:
    """The table of the tiers, a line for each."""
    columns = tuple(TIER_RANGES)
    lines = [f"  {'tier':<14}" + "".join(f"{name:>15}" for name in columns)]
    for tier in rules.table:
        lines.append(f"  {tier.name:<14}" + "".join(f"{_shown(getattr(tier, name)):>15}" for name in columns))
    return lines


def _shown(value: float | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return toml_text(value)
    return str(value) if isinstance(value, int) else f"{value:g}"
