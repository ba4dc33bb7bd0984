"""`soundsright db`: look after the state's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sqlalchemy import Engine

_STATE = click.option(
    "--state",
    "url",
    default="state.db",
    show_default=True,
    envvar="STATE_URL",
    show_envvar=True,
    help="sqlite:///FILE, a plain path, or postgresql://USER@HOST/NAME.",
)


@click.group("db")
def command() -> None:
    """The state's database: check it, copy it, bring it up to date."""


@command.command("check")
@_STATE
def check(url: str) -> None:
    """Read every page and reference, and count the rows."""
    from soundsright.adapters import state_database

    with _existing(url) as engine:
        counts = state_database.check(engine)
    for table, count in counts.items():
        click.echo(f"{table:<16}{count:>10}")
    click.echo("The database is sound.")


@command.command("backup")
@_STATE
@click.argument("to", type=click.Path(path_type=Path))
def backup(url: str, to: Path) -> None:
    """Copy the database to the new file TO, consistently, while a validator may be writing."""
    from soundsright.adapters import state_database

    with _existing(url) as engine:
        size_bytes = state_database.backup(engine, to)
    click.echo(f"{to}: {size_bytes} bytes")


@command.command("upgrade")
@_STATE
def upgrade(url: str) -> None:
    """Bring the database to this program's version, in one transaction."""
    from soundsright.adapters import state_database

    with _existing(url) as engine:
        before, after = state_database.upgrade(engine)
    click.echo(f"Version {after}: nothing to do." if before == after else f"Version {before or 'none'} -> {after}.")


@contextmanager
def _existing(url: str) -> Iterator[Engine]:
    """An engine on a database that is there: these commands create none."""
    from soundsright.adapters import state_database
    from soundsright.core.errors import UsageError

    engine = state_database.open_engine(url)
    try:
        if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
            raise UsageError(f"There is no database {engine.url.database}", "Name an existing one with --state.")
        with state_database.told_errors(engine):
            yield engine
    finally:
        engine.dispose()
