"""Read what a validator pays, and show it in the terminal. Parts are percent of the emission."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from soundsright.services.records import RecordedEmission

_BAR_CHARS = 40


def emission_in(folder: Path) -> RecordedEmission | None:
    """The emission of the validator in a folder: of all its systems, or of its rounds; None if nothing is decided.

    Raises:
        UsageError: the folder has no state.
        StateUnavailable: the state cannot be read.
    """
    from soundsright.adapters.state import SqlRecords, SqlState
    from soundsright.services.records import emission_of_rounds, recorded_emission
    from soundsright.services.rounds import steps

    database = folder / "state.db"
    if not database.is_file():
        raise UsageError(f"{folder} has no state.db", "Give the folder of a validator.")
    with closing(SqlState(database)) as state:
        recorded = recorded_emission(SqlRecords.beside(state))
        if recorded is not None:
            return recorded
        decided = steps.latest(state, steps.PAYEES)
        return None if decided is None else emission_of_rounds(decided[1].by_hotkey)


def drawn_emission(emission: RecordedEmission) -> RenderableType:
    """An emission as a bar for each system and a row for each hotkey."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from soundsright.services.records import emission_sentence, unpaid_lines

    bars = Table(box=None, show_header=False, pad_edge=False)
    for system in emission.systems:
        burned = emission.burns_of(system)
        filled, unpaid = (round(_BAR_CHARS * part) for part in (system.share - burned, burned))
        bars.add_row(Text(system.name), Text(f"{system.share:.2%}"), Text("█" * filled + "░" * unpaid))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("hotkey", "weight", *(system.name for system in emission.systems)):
        table.add_column(heading, justify="left" if heading == "hotkey" else "right", overflow="fold")
    for row in emission.rows:
        parts = (f"{row.parts[s.name]:.2%}" if s.name in row.parts else "" for s in emission.systems)
        table.add_row(Text(row.hotkey), f"{row.weight:.2%}", *parts)
    burns = [Text(f"  {name}, {part:.2%}: {reason}") for name, part, reason in unpaid_lines(emission)]
    return Group(bars, table, Text(emission_sentence(emission)), *burns)
