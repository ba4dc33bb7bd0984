"""Merge the three places where you can write a setting: flags, environment variables, a `.env` file.

A flag wins over the environment, and the environment over the file. A value that cannot be used is a `UsageError`
that names the setting and what to give instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from soundsright.config.aliases import add_aliases
from soundsright.config.env_file import read_env_file
from soundsright.config.schema import Settings
from soundsright.core.errors import UsageError
from soundsright.core.url_passwords import without_passwords

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

S = TypeVar("S", bound=Settings)

_MAX_SHOWN = 80
_REMEDIES = {
    "int_parsing": "Give a whole number.",
    "int_parsing_size": "Give a whole number.",
    "int_from_float": "Give a whole number.",
    "float_parsing": "Give a number.",
    "finite_number": "Give a number.",
    "bool_parsing": "Give true or false.",
    "date_from_datetime_parsing": "Give a day, such as 2025-01-31.",
    "date_from_datetime_inexact": "Give a day, such as 2025-01-31.",
    "literal_error": "Choose one of {expected}.",
    "greater_than_equal": "Give {ge:g} or more.",
    "less_than_equal": "Give {le:g} or less.",
}
"""The remedy for each type of mistake that pydantic reports."""


def read_settings(
    kind: type[S],
    *,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    env_file: Path | None = None,
) -> S:
    """The settings from flags, environment and file. A setting that none of them has gets its default.

    Args:
        kind: the class of the settings.
        flags: values by field name; None means that the flag was not given.
        environment: variables by name. By default, this process's environment.
        env_file: a file of NAME=value lines.

    Raises:
        UsageError: a line of the file does not parse, a value cannot be used, or a name and its alias disagree.

    >>> from soundsright.config import MinerSettings
    >>> read_settings(MinerSettings, environment={"NETUID": "7"}).netuid
    7
    """
    variables: dict[str, Any] = read_env_file(env_file) if env_file is not None else {}
    variables |= os.environ if environment is None else environment
    chosen: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        value = variables.get(name.upper())
        # An empty line of a sample file means "not set", unless the default is the empty text.
        if value is not None and (value.strip() or field.default == ""):
            chosen[name] = value.strip()
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    chosen |= {name: value for name, value in given.items() if name in kind.model_fields}
    add_aliases(kind, chosen, variables, given)
    try:
        return kind.model_validate(chosen)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        name = str(mistake["loc"][0]) if mistake["loc"] else "settings"
        shown = "" if _is_secret(kind, name) else f" {without_passwords(str(chosen.get(name)))[:_MAX_SHOWN]!r}"
        raise UsageError(f"{name.upper()}{shown} cannot be used", _remedy(mistake)) from None


def _remedy(mistake: ErrorDetails) -> str:
    """One sentence that says what to give instead."""
    known = _REMEDIES.get(mistake["type"])
    if known is not None:
        return known.format_map(mistake.get("ctx", {}))
    reason = mistake["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{reason[:1].upper()}{reason[1:]}."


def _is_secret(kind: type[Settings], name: str) -> bool:
    return name not in kind.model_fields or "SecretStr" in str(kind.model_fields[name].annotation)
