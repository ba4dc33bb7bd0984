"""The pages of a federation: the turns, the ranks, the agreement of the validators, and a page with audio per task.

They show the table that one validator saved, and the audio beside it. All texts come from strangers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.ranking import JudgedBy, agreements, standing_apart
from soundsright.services.drawing import Cell, Frame, Page, strip_plot
from soundsright.services.records import (
    AUDIO_FOLDER,
    TABLE_FILE,
    FederationTable,
    TableRow,
    TableTask,
    TurnState,
    apart_sentence,
    is_plain_file,
    judged_by,
    read_federation_table,
)

MOST_TURNS = 100
"""The tasks of the strip: the latest ones."""
MAX_AUDIO_BYTES = 32 << 20
_ORIGINAL = "original"


@dataclass(frozen=True)
class ShownFederation:
    """A saved table, and the folder in which its audio stands."""

    folder: Path
    table: FederationTable

    @classmethod
    def read(cls, folder: Path) -> ShownFederation:
        """Read the folder.

        Raises:
            UsageError: it has no readable table.
        """
        return cls(folder, read_federation_table(folder))

    def paths(self) -> Iterator[str]:
        """The paths of all pages and files, below the root of the site."""
        yield "federation/index.html"
        for task in self.table.tasks:
            yield f"federation/t/{task.task}.html"
            for signal in (_ORIGINAL, *map(str, range(len(task.rows)))):
                for clip in task.clips:
                    if self._audio(task, signal, clip) is not None:
                        yield f"federation/{AUDIO_FOLDER}/{task.task}/{signal}/{clip}.flac"

    def page(self, frame: Frame, rest: Sequence[str]) -> Page | None:
        """The page at a path below `federation/`, or None if there is none."""
        match rest:
            case ["index.html"]:
                return frame.page("federation.html.j2", "../", title="Federation", **_index(self.table))
            case ["t", name] if (task := self._task(name.removesuffix(".html"))) is not None:
                title = f"Task {task.task}"
                return frame.page("federation_task.html.j2", "../../", title=title, **self._task_values(task))
            case ["audio", number, signal, name] if (task := self._task(number)) is not None:
                path = self._audio(task, signal, name.removesuffix(".flac"))
                return None if path is None else Page(path.read_bytes(), "audio/flac")
        return None

    def _task(self, number: str) -> TableTask | None:
        return next((task for task in self.table.tasks if str(task.task) == number), None)

    def _audio(self, task: TableTask, signal: str, clip: str) -> Path | None:
        """The file of a signal: `original`, or the number of the row whose answer it is."""
        if clip not in task.clips:
            return None
        parts = [_ORIGINAL]
        if signal != _ORIGINAL:
            if not signal.isdecimal() or int(signal) >= len(task.rows):
                return None
            parts = ["generated", task.rows[int(signal)].hotkey]
        path = self.folder.joinpath(AUDIO_FOLDER, str(task.task), *parts, f"{clip}.flac")
        return path if is_plain_file(path) and path.stat().st_size <= MAX_AUDIO_BYTES else None

    def _task_values(self, task: TableTask) -> dict[str, Any]:
        rows = [
            (row, self.table.name(row.hotkey), self._playable(task, str(number)))
            for number, row in enumerate(task.rows)
        ]
        return {
            "table": self.table,
            "task": task,
            "original": self._playable(task, _ORIGINAL),
            "competitions": [
                (name, _metrics(task, name), [each for each in rows if each[0].competition == name])
                for name in sorted(task.unprocessed)
            ],
        }

    def _playable(self, task: TableTask, signal: str) -> list[tuple[str, str]]:
        """The clips of a signal with their addresses relative to the task's page."""
        return [
            (clip, f"../{AUDIO_FOLDER}/{task.task}/{signal}/{clip}.flac")
            for clip in task.clips
            if self._audio(task, signal, clip) is not None
        ]


class SavedFederation:
    """The pages of a folder as it is now. A new table is read; a damaged one changes nothing.

    Raises:
        UsageError: the folder has no readable table at the start.
    """

    def __init__(self, folder: Path) -> None:
        self._shown = ShownFederation.read(folder)
        self._stamp = self._stamp_now()

    def __call__(self) -> ShownFederation:
        stamp = self._stamp_now()
        if stamp != self._stamp:
            with contextlib.suppress(UsageError):
                self._shown = ShownFederation.read(self._shown.folder)
            self._stamp = stamp
        return self._shown

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            stat = (self._shown.folder / TABLE_FILE).stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size


def _index(table: FederationTable) -> dict[str, Any]:
    from markupsafe import Markup

    judged = judged_by(table.ranks, table.validators)
    apart = standing_apart(judged)
    return {
        "table": table,
        "strip": Markup(_strip(table)),
        "counts": [(name, _counts(table, name)) for name in table.validators],
        "states": list(TurnState),
        "agreement": _matrix(table, judged),
        "apart": [(each, apart_sentence(table, each)) for each in apart],
        "competitions": [
            (name, [row for row in table.ranks if row.competition == name])
            for name in sorted({row.competition for row in table.ranks})
        ],
        "has_page": {task.task for task in table.tasks},
    }


def _strip(table: FederationTable) -> str:
    tasks = sorted({turn.task for turn in table.turns})[-MOST_TURNS:]
    if not tasks:
        return ""
    cells = [
        Cell(
            turn.validator,
            str(turn.task),
            turn.state.value,
            f"task {turn.task}, {table.name(turn.validator)}: {turn.state.value}"
            + (f" ({turn.note})" if turn.note else ""),
        )
        for turn in table.turns
        if turn.task >= tasks[0]
    ]
    rows = {name: table.name(name)[:16] for name in table.validators}
    kinds = [state.value for state in TurnState]
    return strip_plot(cells, rows, list(map(str, tasks)), kinds, title=f"The last {len(tasks)} tasks")


def _counts(table: FederationTable, validator: str) -> dict[str, int]:
    own = [turn.state for turn in table.turns if turn.validator == validator]
    return {state.value: own.count(state) for state in TurnState}


def _matrix(table: FederationTable, judged: JudgedBy) -> list[tuple[str, list[float | None]]]:
    """A row for each validator: its agreement with each one; None with itself and without common miners."""
    by_pair = agreements(judged)
    return [
        (one, [None if one == other else by_pair[min(one, other), max(one, other)] for other in table.validators])
        for one in table.validators
    ]


def _metrics(task: TableTask, competition: str) -> list[str]:
    """The metrics of a competition in a task: those of the unprocessed input, then any others."""
    rows: list[TableRow] = [row for row in task.rows if row.competition == competition]
    names = dict.fromkeys(task.unprocessed[competition])
    for row in rows:
        names |= dict.fromkeys(row.means)
    return list(names)
