"""Flags made from a settings class: one per setting."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from soundsright.config import Settings


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
                    help=f"{field.description} {_shown_default(field.default)}",
                )(command)
        return command

    return decorate


def _metavar(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    return {int: "NUMBER", float: "NUMBER", bool: "true|false", Path: "PATH"}.get(annotation, "TEXT")


def _shown_default(default: Any) -> str:
    return "" if default in (None, "") else f"[default: {default}]"
