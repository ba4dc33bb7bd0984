"""Read an executor's results from its HTTP interface, from the folder of `executor serve`, or from saved files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import option
from soundsright.core.errors import PeerUnavailable, SoundsRightError, UsageError
from soundsright.core.url_passwords import without_passwords

if TYPE_CHECKING:
    from soundsright.services.records import ExecutorHistory, ExecutorRound

DATABASE = "executor.db"
SCOPE = "executor"
"""The scope of an executor's rows in its database."""
ROUNDS_BACK = 24
"""How many round numbers before the last one are asked for."""
URLS = ("http://", "https://")
DATABASES = ("postgresql://", "postgres://", "postgresql+pg8000://", "sqlite:///")
_TIMEOUT_S = 20.0
_POLL_S = 30.0
_SQLITE = b"SQLite format 3\0"

results_option = option(
    "--results",
    metavar="PATH|URL",
    envvar=["EXECUTOR_API_URL", "SUBNET_API_URL"],
    help="Address of an executor, folder or database of `executor serve` (also postgresql://USER@HOST/NAME), or a "
    "file or folder of saved results.",
)


def executor_history(source: str, *, rounds_back: int = ROUNDS_BACK) -> ExecutorHistory:
    """The rounds of an executor at an address, in the folder or database of its service, or in saved files.

    Raises:
        UsageError: the path does not exist, or what is there are no results.
        PeerUnavailable: nothing answers at the address as an executor.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import read_executor_rounds

    if source.startswith(DATABASES):
        return _stored(source, rounds_back)
    if source.startswith(URLS):
        return _fetched(source.rstrip("/"), rounds_back)
    if "://" in source:
        raise UsageError(
            f"{without_passwords(source)} is no address that an executor has",
            f"Give a path, or an address that begins with {', '.join(URLS)}, {DATABASES[0]} or {DATABASES[-1]}.",
        )
    path = Path(source).expanduser()
    database = path / DATABASE if path.is_dir() else path
    if _is_database(database):
        return _stored(database, rounds_back)
    return read_executor_rounds(path, valid_signature=valid_signature)


def latest_round(source: str | None) -> ExecutorRound:
    """The last round of an executor.

    Raises:
        UsageError: no source is given, it has no results, or no round is published there.
        PeerUnavailable: nothing answers at the address as an executor.
    """
    if not source:
        raise UsageError("No executor is given", "Set EXECUTOR_API_URL, or give --results.")
    history = executor_history(source, rounds_back=0)
    for problem in history.problems:
        click.echo(f"Note: {problem}", err=True)
    if history.latest is None:
        raise UsageError(
            f"No round is published at {source}", "Wait until the executor has finished its first round."
        )
    return history.latest


def executor_status(url: str) -> Mapping[str, Any]:
    """The status that the executor at an address gives.

    Raises:
        PeerUnavailable: nothing answers there as an executor.
    """
    from soundsright.adapters.peers import reply_json, request

    reply = request(url, "GET", "/healthz", timeout_s=_TIMEOUT_S, max_bytes=1_000_000)
    status = reply_json(reply, url) if reply.status == 200 else None
    if not isinstance(status, dict):
        raise PeerUnavailable(
            f"{url}/healthz answered {reply.status} and not as an executor", "Check EXECUTOR_API_URL."
        )
    return status


class PolledHistory:
    """The rounds of a source, read again by a thread when they are old. A call never waits for a network.

    The last rounds that were read stay if the source does not answer; then a problem says so.
    """

    def __init__(self, source: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._now = now
        self._lock = threading.Lock()
        self._history = executor_history(source)
        self._read_at = now()
        self._is_reading = False

    def __call__(self) -> ExecutorHistory:
        with self._lock:
            if self._now() - self._read_at >= _POLL_S and not self._is_reading:
                self._is_reading = True
                threading.Thread(target=self._read, name="executor-results", daemon=True).start()
            return self._history

    def _read(self) -> None:
        from dataclasses import replace

        try:
            history = executor_history(self._source)
        except SoundsRightError as error:
            history = replace(self._history, problems=(str(error),))
        with self._lock:
            self._history, self._read_at, self._is_reading = history, self._now(), False


def _fetched(url: str, rounds_back: int) -> ExecutorHistory:
    """The last published round at an address, and rounds with lower numbers that are still there."""
    from soundsright.adapters.peers import request, valid_signature
    from soundsright.services.records import ExecutorHistory, executor_round, in_order

    status = executor_status(url)
    named = str(status.get("published", status.get("round")) or "")
    rounds = []
    for round_id in _before(named, ROUNDS_BACK):
        reply = request(url, "GET", f"/results/{round_id}", timeout_s=_TIMEOUT_S)
        if reply.status == 404:
            continue
        if reply.status != 200:
            raise PeerUnavailable(f"{url}/results/{round_id} answered {reply.status}", "Try again later.")
        rounds.append(
            executor_round(reply.body, valid_signature=valid_signature, source=f"{url}/results/{round_id}")
        )
        if not rounds_back:
            break
    return ExecutorHistory(in_order(rounds))


def _before(named: str, count: int) -> list[str]:
    """A round's id and the ids with lower numbers, latest first; the id alone if it has no number.

    >>> _before("k-3", 5), _before("first", 5), _before("", 5)
    (['k-3', 'k-2', 'k-1', 'k-0'], ['first'], [])
    """
    digits = len(named) - len(named.rstrip("0123456789"))
    if not named or not all(c.isalnum() or c in "._-" for c in named):
        return []
    if not digits or digits > 15:
        return [named]
    head, number = named[:-digits], int(named[-digits:])
    return [f"{head}{each}" for each in range(number, max(-1, number - count - 1), -1)]


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _check_tables(address: str) -> None:
    """Check that a database has tables, because opening an empty one would make them.

    Raises:
        UsageError: it has none.
    """
    from soundsright.adapters.state import database as state_database

    engine = state_database.open_engine(address)
    try:
        with state_database.database_errors(engine), engine.connect() as connection:
            if state_database.examine(connection).revision is None:
                raise UsageError(
                    f"{without_passwords(address)} is no database of an executor",
                    "Give the address that `executor serve` has in EXECUTOR_STATE.",
                )
    finally:
        engine.dispose()


def _stored(database: Path | str, rounds_back: int) -> ExecutorHistory:
    """The last published rounds in the database of `executor serve`: a file, or an address."""
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import valid_signature
    from soundsright.adapters.state import SqlRecords, SqlState
    from soundsright.services.executor import ExecutorStore
    from soundsright.services.records import ExecutorHistory, executor_round, in_order

    shown = without_passwords(str(database))
    if isinstance(database, str):
        _check_tables(database)
    with closing(SqlState(database, scope=SCOPE)) as state:
        store = ExecutorStore(state, SqlRecords.beside(state), SystemClock())
        published = []
        for round_id in reversed(state.rounds()):
            raw = store.results(round_id)
            if raw is not None:
                published.append(
                    executor_round(raw, valid_signature=valid_signature, source=f"{shown}, round {round_id}")
                )
            if len(published) > rounds_back:
                break
    return ExecutorHistory(in_order(published))
