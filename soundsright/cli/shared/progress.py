"""Show a running round in the terminal: stages, one bar per model, scored clips and time left."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from soundsright.services.rounds import Event

_STAGES = {
    "seed": "Wait for the seed",
    "screen": "Check the entries",
    "fetch": "Download models",
    "generate": "Generate clips",
    "run": "Run and score models",
    "decide": "Decide the prizes",
    "weights": "Set weights",
}


class RoundDisplay:
    """A context manager whose `observe` accepts the round's events from any thread.

    A terminal gets a live display. Other outputs get one line per stage and per finished model.
    """

    def __init__(self, console: Console, *, entries: int, clips: int) -> None:
        self._console = console
        self._clips = clips
        self._lock = threading.Lock()
        self._stage = ""
        self._started = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._finished: dict[str, int] = {}  # A model that runs in several stages counts once.
        self._clips_done: dict[str, int] = {}
        self._entries = entries
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("clips"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("All models", total=entries * clips)

    def __enter__(self) -> RoundDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def observe(self, event: Event) -> None:
        with self._lock:
            if event.stage in _STAGES and event.stage != self._stage:
                self._stage = event.stage
                self._print(
                    Text(f"{time.monotonic() - self._started:5.0f} s  {_STAGES[event.stage]}", style="bold")
                )
            if event.stage == "run":
                # Refused entries do not run, so the total is known only now.
                self._entries = event.total
                self._progress.update(self._all, total=event.total * self._clips)
            if event.entry is None:
                return
            key = event.entry.entry_id
            name = f"{event.entry.source.repository}  {event.entry.competition.title}"
            if event.stage == "evaluate":
                self._tasks[key] = self._progress.add_task(Text(name).plain, total=event.total)
            elif event.stage == "progress" and event.progress is not None:
                progress = event.progress
                if progress.note:
                    self._print(Text.assemble("         ", (name, "yellow"), f": {progress.note}"))
                if progress.clips and key in self._tasks:
                    self._progress.update(self._tasks[key], completed=progress.clips_done)
                    self._progress.advance(self._all, progress.clips_done - self._clips_done.get(key, 0))
                    self._clips_done[key] = progress.clips_done
            elif event.stage == "evaluated":
                number = self._finished.setdefault(key, len(self._finished) + 1)
                if key in self._tasks:
                    self._progress.remove_task(self._tasks.pop(key))
                at_s = time.monotonic() - self._started
                self._print(Text(f"{at_s:5.0f} s  {number:2d}/{self._entries}  {name}"))

    def _print(self, text: Text) -> None:
        self._progress.console.print(text)
