"""The database of a federation's owner: its API's samples and reports, and its two lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import RequestRefused, UsageError

if TYPE_CHECKING:
    from soundsright.adapters.state import SqlRecords, SqlState
    from soundsright.config import FederationSettings

_SCOPE = "federation-api"
_INIT = "Run `soundsright federation db init`, or give its address in DATABASE_URL."


def database_of(settings: FederationSettings) -> str | Path:
    """The address of the database, or its file."""
    if settings.database_url is None:
        return settings.folder / "federation-api.db"
    address = settings.database_url.get_secret_value()
    return address if "://" in address else Path(address).expanduser()


def shown_address(place: str | Path) -> str:
    """The address of a database without its password."""
    from soundsright.core.url_passwords import without_passwords

    return without_passwords(str(place))


@contextmanager
def opened_database(settings: FederationSettings, *, create: bool = False) -> Iterator[tuple[SqlState, SqlRecords]]:
    """The owner's database. Only with `create`, one that has no tables gets them.

    Raises:
        UsageError: the database has no tables, or it is corrupt, older, newer or another program's.
        StateUnavailable: it does not answer.
    """
    from soundsright.adapters.state import SqlRecords, SqlState

    place = database_of(settings)
    if create and isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
    if not create:
        _check_exists(place)
    with closing(SqlState(place, scope=_SCOPE)) as state:
        yield state, SqlRecords.beside(state)


def _check_exists(place: str | Path) -> None:
    from soundsright.adapters.state import database

    engine = database.open_engine(place)
    try:
        if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
            raise UsageError(f"There is no database {shown_address(place)}", _INIT)
        with database.database_errors(engine), engine.connect() as connection:
            state = database.examine(connection)
    finally:
        engine.dispose()
    if state.revision is None and not state.problem:
        raise UsageError(f"The database {shown_address(place)} has no tables yet", _INIT)


@contextmanager
def refusals_as_usage_errors() -> Iterator[None]:
    """Turn the refusal of a change into bad input of a command."""
    try:
        yield
    except RequestRefused as refused:
        raise UsageError(refused.sentence, "Nothing was changed.") from refused
