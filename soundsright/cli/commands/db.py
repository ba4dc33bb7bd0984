"""`soundsright db`: check, back up and upgrade a validator's database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import ANY_PATH, env_file_option, option
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine


def _database_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return option(
        "--state",
        "url",
        envvar="STATE_URL",
        help="Database: a path, sqlite:///FILE, or postgresql://USER@HOST/NAME. "
        "[default: state.db in STATE_FOLDER if that is set, otherwise here]",
    )(env_file_option(command))


@click.group("db")
def command() -> None:
    """Check, back up and upgrade a validator's database.

    \b
    soundsright db check --state ~/.soundsright-subnet/state.db
    """


@command.command("check")
@_database_options
@option("--organiser", default="", help="Organiser whose counters in Redis are read. Empty: the single one.")
def check(url: str | None, env_file: Path | None, organiser: str) -> None:
    """Check the whole database and count its rows.

    \b
    soundsright db check --state state.db

    It also checks Redis if a setting names one: REDIS_URL or DATABASE_PASSWORD. It changes nothing in Redis.
    """
    from soundsright.adapters.state import database as state_database

    with _opened_engine(url, env_file) as engine:
        counts = state_database.check(engine)
    verdict = _check_redis(env_file, organiser)
    for table, count in counts.items():
        click.echo(f"{table:<17}{count:>9}")
    click.echo("The database is sound.")
    if verdict:
        click.echo(verdict)


@command.command("backup")
@_database_options
@click.argument("to", type=ANY_PATH)
def backup(url: str | None, env_file: Path | None, to: Path) -> None:
    """Copy the database to the new file TO.

    \b
    soundsright db backup --state state.db backup.db

    The copy is consistent even while a validator writes.
    """
    from soundsright.adapters.state import database as state_database

    with _opened_engine(url, env_file) as engine:
        size_bytes = state_database.backup(engine, to)
    click.echo(f"{to}: {size_bytes} bytes")


@command.command("upgrade")
@_database_options
def upgrade(url: str | None, env_file: Path | None) -> None:
    """Upgrade the database to this program's version, in one transaction.

    \b
    soundsright db upgrade --state state.db
    """
    from soundsright.adapters.state import database as state_database

    with _opened_engine(url, env_file) as engine:
        before, after = state_database.upgrade(engine)
    click.echo(f"Version {after}: nothing to do." if before == after else f"Version {before or 'none'} -> {after}.")


def _check_redis(env_file: Path | None, organiser: str) -> str:
    """A sentence on Redis and the scopes that it has counters of. Empty if no setting names a Redis."""
    from soundsright.adapters.state import RedisCounters
    from soundsright.cli.shared.settings_options import settings_from
    from soundsright.config import ValidatorSettings

    server = settings_from(ValidatorSettings, {}, env_file).redis
    if server is None:
        return ""
    counters = RedisCounters(server, scope=organiser, read_only=True)
    try:
        count = len(counters.read_all())
    finally:
        counters.close()
    return f"{server.title} is sound. Scopes with counters: {count}."


@contextmanager
def _opened_engine(url: str | None, env_file: Path | None) -> Iterator[Engine]:
    """An engine on an existing database. These commands never create one."""
    from soundsright.adapters.state import database as state_database

    engine = state_database.open_engine(url or _default_database(env_file))
    try:
        if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
            raise UsageError(
                f"There is no database {engine.url.database}", "Give its path with --state, or set STATE_FOLDER."
            )
        with state_database.database_errors(engine):
            yield engine
    finally:
        engine.dispose()


def _default_database(env_file: Path | None) -> str | Path:
    """The database in STATE_FOLDER if the environment or the file sets it, otherwise state.db here."""
    from soundsright.cli.shared.settings_options import settings_from
    from soundsright.config import Settings

    settings = settings_from(Settings, {}, env_file)
    return settings.folder / "state.db" if "state_folder" in settings.model_fields_set else "state.db"
