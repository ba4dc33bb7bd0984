"""The status of the running round, read at most once a second for any number of readers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from soundsright.core.errors import SoundsRightError, UsageError
from soundsright.services.board.status_view import RoundWatch
from soundsright.services.records import RecordedEmission, find_runs

_FRESH_S = 0.9


def running_folder(paths: Sequence[Path]) -> Path | None:
    """The folder with the state of the running round, or None.

    An unfinished run comes first. Otherwise it is the state of a validator, which keeps one state for all its
    rounds in the given folder or in its parent.
    """
    try:
        folders = find_runs(paths)
    except UsageError:
        # The folder was moved or deleted in the meantime, so no round runs in it.
        return None
    unfinished = [f for f in folders if (f / "state.db").is_file() and not (f / "results.json").exists()]
    return _latest_state(unfinished or _services(paths, folders))


def validator_folder(paths: Sequence[Path]) -> Path | None:
    """The folder with the state of a validator: one of these folders or a parent of one, or None."""
    try:
        folders = find_runs(paths)
    except UsageError:
        return None
    return _latest_state(_services(paths, folders))


def _services(paths: Sequence[Path], runs: Sequence[Path]) -> list[Path]:
    candidates = {p for path in paths for p in (path.resolve(), path.resolve().parent)} - set(runs)
    return [folder for folder in candidates if (folder / "state.db").is_file()]


def _latest_state(folders: Sequence[Path]) -> Path | None:
    return max(folders, key=lambda folder: (folder / "state.db").stat().st_mtime, default=None)


class StatusFeed:
    """The status of the running round as JSON values, and what the validator pays.

    `open_watch` opens the state of a folder, once per folder. `read_emission` reads the emission in a folder.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        open_watch: Callable[[Path], RoundWatch],
        read_emission: Callable[[Path], RecordedEmission | None] = lambda _folder: None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = tuple(paths)
        self._open_watch = open_watch
        self._read_emission = read_emission
        self._emission: tuple[RecordedEmission | None, str] = (None, "")
        self._emission_read_at = float("-inf")
        self._now = now
        self._lock = threading.Lock()
        self._watches: dict[Path, RoundWatch] = {}
        self._status: dict[str, Any] = {}
        self._looked_at = float("-inf")
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End all streams, because the server stops. Can be called from any thread."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def current(self) -> dict[str, Any]:
        """The fields of the round. If no round runs or it cannot be read, a single field `problem` says so."""
        with self._lock:
            if self._now() - self._looked_at >= _FRESH_S:
                self._looked_at = self._now()
                self._status = self._read()
            return self._status

    def emission(self) -> tuple[RecordedEmission | None, str]:
        """The validator's payments, or None and the reason why there is nothing to show."""
        with self._lock:
            if self._now() - self._emission_read_at >= _FRESH_S:
                self._emission_read_at = self._now()
                self._emission = self._emission_now()
            return self._emission

    def _emission_now(self) -> tuple[RecordedEmission | None, str]:
        folder = validator_folder(self._paths)
        if folder is None:
            return None, "There is no validator in the folders of this page."
        try:
            emission = self._read_emission(folder)
        except SoundsRightError as error:
            return None, str(error)
        return emission, "" if emission is not None else "No weights are decided yet."

    def _read(self) -> dict[str, Any]:
        folder = running_folder(self._paths)
        if folder is None:
            self._watches.clear()
            return {"problem": "No round is running."}
        try:
            if folder not in self._watches:
                self._watches = {folder: self._open_watch(folder)}
            status = self._watches[folder].look()
        except SoundsRightError as error:
            # Show the problem on the page; the next read may succeed.
            return {"problem": str(error)}
        if status is None:
            return {"problem": "The round has not started."}
        # The state of a validator remains after its round, so a finished round there is not running.
        over = status.finished and not (folder / "run.json").exists()
        return {"problem": "No round is running."} if over else status.shown_fields()
