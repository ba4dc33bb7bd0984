"""The systems' tables in an organiser's file, `[emission]` and `[executor]`: how they are read and shown.

Shares are fractions of the emission. A table that this version does not know is refused like any unknown key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.emission import STALE_BLOCKS, SYSTEMS, EmissionRules
from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import ExecutorRules, Profile, executor_rules
from soundsright.core.toml_location import TomlLocation, toml_text

SYSTEM_TABLES = ("emission", "executor")
"""The tables of systems that an organiser's file can have. Each has canonical JSON and a digest of its own."""

_KINDS: Mapping[str, str] = {item.name: str(item.type) for item in fields(ExecutorRules)}


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
    table = dict(location.table(value, set(_KINDS)))
    name = table.pop("profile", Profile.SOUNDSRIGHT)
    if name not in list(Profile):
        raise location.under("profile").error(
            f"{toml_text(name)} is not a choice", f"Choose one of {', '.join(Profile)}."
        )
    changes: dict[str, Any] = {}
    for key, given in table.items():
        at = location.under(key)
        changes[key] = at.whole_number(given) if _KINDS[key] == "int" else at.number(given)
    return location.built(lambda: executor_rules(Profile(str(name)), **changes))


def system_rules(rules: CompetitionRules, table: str) -> EmissionRules | ExecutorRules:
    """The rules of one of `SYSTEM_TABLES`.

    Raises:
        UsageError: the organiser's file does not have the table, and the table has no default.
    """
    if table == "emission":
        return rules.emission
    if table == "executor" and rules.executor is not None:
        return rules.executor
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
    if rules.executor is not None:
        lines += ["", f"Executor, profile {rules.executor.profile}  {rules.executor.digest}"]
        lines += [
            f"  {item.name:<18}{_shown(getattr(rules.executor, item.name))}"
            for item in fields(rules.executor)
            if item.name != "profile"
        ]
    return "\n".join(lines)


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
