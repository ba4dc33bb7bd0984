"""Reads the past of a verifier from the database in its STATE_FOLDER."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.cli.shared.tiers_service import TIERS, opened_counters
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.config import TiersSettings
    from soundsright.services.board import SavedTiers, ShownTiers
    from soundsright.services.verifier import LadderRow, TiersHistory

SETTINGS = ("state_folder", "netuid", "database_host", "database_port", "database_index", "database_password")
"""The settings that a reader needs, beside `redis_url`."""


@contextmanager
def opened_history(settings: TiersSettings) -> Iterator[Callable[[], TiersHistory]]:
    """Reads the past of the verifier in STATE_FOLDER as often as it is called. Use one thread.

    Raises:
        UsageError: the folder has no database.
        StateUnavailable: a database does not answer.
    """
    from soundsright.adapters.state import SqlRecords, SqlState
    from soundsright.services.verifier import SCOPE, TiersReader

    database = _database(settings.folder)
    with closing(SqlState(database)) as state:
        counters = opened_counters(settings, state)
        try:
            yield TiersReader(state.scoped(SCOPE), SqlRecords.beside(state), counters).read
        finally:
            if settings.redis is not None:
                counters.close()


def shown_tiers(folder: Path) -> ShownTiers:
    """The pages of a verifier's tiers as they are now.

    Raises:
        UsageError: the folder has no database, or it is damaged.
        StateUnavailable: it does not answer.
    """
    from soundsright.services.board import ShownTiers
    from soundsright.services.verifier import failures_in

    with opened_history(_settings_for(folder)) as read:
        return ShownTiers(read(), failures_in(folder / TIERS))


@contextmanager
def saved_tiers(folder: Path) -> Iterator[SavedTiers]:
    """The pages of a verifier's tiers for a server, which shows changes. Raises as `shown_tiers`."""
    from soundsright.services.board import SavedTiers
    from soundsright.services.verifier import failures_in

    with opened_history(_settings_for(folder)) as read:
        yield SavedTiers(read, failures_in(folder / TIERS))


def row_of(history: TiersHistory, hotkey: str) -> LadderRow:
    """The prover with that hotkey, or the only one whose hotkey starts so.

    Raises:
        UsageError: there is none, or there are several.
    """
    exact = history.row(hotkey)
    found = [exact] if exact else [row for row in history.rows if hotkey and row.hotkey.startswith(hotkey)]
    if len(found) == 1 and found[0] is not None:
        return found[0]
    if found:
        raise UsageError(f"{len(found)} provers have a hotkey that starts with {hotkey!r}", "Give more of it.")
    raise UsageError(
        f"No prover has the hotkey {hotkey[:100]!r}",
        "See `soundsright tiers status`. A prover is on the ladder once the verifier has run its model.",
    )


def _database(folder: Path) -> Path:
    database = folder / "state.db"
    if not database.is_file():
        raise UsageError(f"{folder} has no state.db", "Give the STATE_FOLDER of `soundsright tiers verify`.")
    return database


def _settings_for(folder: Path) -> TiersSettings:
    """The settings of the environment, with another folder: they say where the counters are."""
    from soundsright.cli.shared.settings_options import settings_from
    from soundsright.config import TiersSettings

    return settings_from(TiersSettings, {"state_folder": str(folder)}, None)
