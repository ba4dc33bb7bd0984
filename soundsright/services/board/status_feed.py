"""The running round of some folders, looked at once a second at most, however many ask."""

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
    """The folder with the state of the round that was begun last: a run that is not finished, else a service's.

    A service keeps one state for all its rounds, beside or above the folder of their results.
    """
    try:
        folders = find_runs(paths)
    except UsageError:
        # A folder was moved away while we look: no round runs there.
        return None
    begun = [f for f in folders if (f / "state.db").is_file() and not (f / "results.json").exists()]
    services = {p for path in paths for p in (path.resolve(), path.resolve().parent)} - set(folders)
    kept = [folder for folder in services if (folder / "state.db").is_file()]
    return max(begun or kept, key=lambda folder: (folder / "state.db").stat().st_mtime, default=None)


class StatusFeed:
    """What `current` says is JSON-ready. `open_watch` opens a folder's state; it is asked once per folder."""

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
        self._said: dict[str, Any] = {}
        self._looked_at = float("-inf")
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let every reader go: the server is about to end. Callable from any thread."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def current(self) -> dict[str, Any]:
        """The round's fields, or `problem`: that none runs, or why it cannot be read."""
        with self._lock:
            if self._now() - self._looked_at >= _FRESH_S:
                self._looked_at = self._now()
                self._said = self._look()
            return self._said

    def _look(self) -> dict[str, Any]:
        folder = running_folder(self._paths)
        if folder is None:
            self._watches.clear()
            return {"problem": "No round is running."}
        try:
            if folder not in self._watches:
                self._watches = {folder: self._open_watch(folder)}
            status = self._watches[folder].look()
        except SoundsRightError as error:
            # Shown to whoever looks; the next second may read it.
            return {"problem": str(error)}
        if status is None:
            return {"problem": "The round has not begun."}
        # A service's state stays when its round is done.
        over = status.finished and not (folder / "run.json").exists()
        return {"problem": "No round is running."} if over else status.fields()
