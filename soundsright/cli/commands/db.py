"""`soundsright db`: look after the state's database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.service import ENV_FILE

if TYPE_CHECKING:
    from sqlalchemy import Engine


def _database_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--state",
        "url",
        envvar="STATE_URL",
        show_envvar=True,
        help="sqlite:///FILE, a plain path, or postgresql://USER@HOST/NAME. "
        "[default: STATE_FOLDER/state.db where STATE_FOLDER is set, else state.db]",
    )(ENV_FILE(command))


@click.group("db")
def command() -> None:
    """The state's database: check it, copy it, bring it up to date."""


@command.command("check")
@_database_options
def check(url: str | None, env_file: Path | None) -> None:
    """Read every page and reference, and count the rows."""
    from soundsright.adapters.state import database as state_database

    with _existing(url, env_file) as engine:
        counts = state_database.check(engine)
    for table, count in counts.items():
        click.echo(f"{table:<16}{count:>10}")
    click.echo("The database is sound.")


@command.command("backup")
@_database_options
@click.argument("to", type=click.Path(path_type=Path))
def backup(url: str | None, env_file: Path | None, to: Path) -> None:
    """Copy the database to the new file TO, consistently, while a validator may be writing."""
    from soundsright.adapters.state import database as state_database

    with _existing(url, env_file) as engine:
        size_bytes = state_database.backup(engine, to)
    click.echo(f"{to}: {size_bytes} bytes")


@command.command("upgrade")
@_database_options
def upgrade(url: str | None, env_file: Path | None) -> None:
    """Bring the database to this program's version, in one transaction."""
    from soundsright.adapters.state import database as state_database

    with _existing(url, env_file) as engine:
        before, after = state_database.upgrade(engine)
    click.echo(f"Version {after}: nothing to do." if before == after else f"Version {before or 'none'} -> {after}.")


@contextmanager
def _existing(url: str | None, env_file: Path | None) -> Iterator[Engine]:
    """An engine on a database that is there: these commands create none."""
    from soundsright.adapters.state import database as state_database
    from soundsright.core.errors import UsageError

    engine = state_database.open_engine(url or _own_database(env_file))
    try:
        if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
            raise UsageError(
                f"There is no database {engine.url.database}", "Give one with --state or STATE_FOLDER."
            )
        with state_database.told_errors(engine):
            yield engine
    finally:
        engine.dispose()


def _own_database(env_file: Path | None) -> str | Path:
    """The validator's, where the environment or the file says where that is."""
    from soundsright.cli.shared.service import settings_from
    from soundsright.config import Settings

    settings = settings_from(Settings, {}, env_file)
    return settings.folder / "state.db" if "state_folder" in settings.model_fields_set else "state.db"
