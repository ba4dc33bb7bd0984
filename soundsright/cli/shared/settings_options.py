"""Flags made from a settings class, and the settings that a command gets from them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from soundsright.config import (
    ALIASES,
    ExecutorSettings,
    FederationSettings,
    MinerSettings,
    Settings,
    TiersSettings,
    flag_aliases,
    misspelt_names,
    parameter,
    read_settings,
)
from soundsright.core.errors import printable
from soundsright.core.url_passwords import passwords_in

S = TypeVar("S", bound=Settings)

_KINDS = (MinerSettings, ExecutorSettings, FederationSettings, TiersSettings)


def settings_options(
    kind: type[Settings], names: Collection[str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command one flag for each setting of `kind`, or only for those in `names`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(kind.model_fields.items()):
            if names is None or name in names:
                command = click.option(
                    f"--{name.replace('_', '-')}",
                    name,
                    default=None,
                    envvar=name.upper(),
                    show_envvar=True,
                    metavar=_metavar(field.annotation),
                    help=f"{field.description} {_shown_default(field.default)}".strip(),
                )(command)
        for flag, name in flag_aliases(kind).items():
            if names is None or name in names:
                command = click.option(flag, parameter(flag), default=None, hidden=True)(command)
        return command

    return decorate


def settings_from(kind: type[S], flags: dict[str, Any], env_file: Path | None) -> S:
    """The settings of a command. Names in the `.env` file that look misspelt become warnings.

    Raises:
        UsageError: the file or a value cannot be used.
    """
    if env_file is None and Path(".env").is_file():
        env_file = Path(".env")
    settings = read_settings(kind, flags=flags, env_file=env_file)
    if env_file is not None:
        for sentence in misspelt_names(env_file, _known_variables()):
            click.echo(f"Warning: {printable(sentence)}", err=True)
    return settings


def secrets_of(settings: Settings) -> list[str]:
    """Every secret among the settings, for the log to hide: also the passwords inside addresses."""
    from pydantic import SecretStr

    values = [getattr(settings, name) for name in type(settings).model_fields]
    if isinstance(settings, FederationSettings):
        values += settings.peer_keys
    secrets = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    addresses = [*secrets, *(str(value) for value in values if isinstance(value, str | Path))]
    return [*secrets, *(password for address in addresses for password in passwords_in(address))]


def _known_variables() -> set[str]:
    """Every variable that any command reads, because one file may serve them all."""
    from soundsright.cli.main import cli

    variables = {name.upper() for kind in _KINDS for name in kind.model_fields}
    variables |= set(ALIASES)
    commands: list[click.Command] = [cli]
    context = click.Context(cli)
    while commands:
        command = commands.pop()
        variables |= {parameter.envvar for parameter in command.params if isinstance(parameter.envvar, str)}
        if isinstance(command, click.Group):
            parts = (command.get_command(context, name) for name in command.list_commands(context))
            commands += [part for part in parts if part is not None]
    return variables


def _metavar(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if Path in (annotation, *get_args(annotation)):
        return "PATH"
    return {int: "NUMBER", float: "NUMBER", bool: "true|false"}.get(annotation, "TEXT")


def _shown_default(default: Any) -> str:
    if default in (None, ""):
        return ""
    return f"[default: {str(default).lower() if isinstance(default, bool) else default}]"
