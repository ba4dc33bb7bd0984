"""The status of the running round, read at most once a second for any number of readers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from soundsright.core.errors import SoundsRightError, UsageError
from soundsright.services.board.status_view import RoundWatch
from soundsright.services.records import find_runs

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
    candidates = {p for path in paths for p in (path.resolve(), path.resolve().parent)} - set(folders)
    services = [folder for folder in candidates if (folder / "state.db").is_file()]
    return max(unfinished or services, key=lambda folder: (folder / "state.db").stat().st_mtime, default=None)


class StatusFeed:
    """The status of the running round as JSON values. `open_watch` opens the state of a folder, once per folder."""

    def __init__(
        self,
        paths: Sequence[Path],
        open_watch: Callable[[Path], RoundWatch],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = tuple(paths)
        self._open_watch = open_watch
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
