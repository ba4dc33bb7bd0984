"""A federation's table as text for the terminal. Names and notes come from strangers and stay plain text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from soundsright.ranking import JudgedBy
    from soundsright.services.records import FederationTable, TableTurn

LETTERS = {
    "on time": "o",
    "backup": "b",
    "missing": ".",
    "rejected": "x",
    "two verdicts": "=",
    "not read": "?",
}
"""The letter of each outcome of a turn, in the strip."""
_NAME_CHARS = 16
_MOST_TASKS = 100


def print_federation(console: Console, table: FederationTable) -> None:
    """Print the turns, the ranks, the agreement of the validators, and the weights."""
    from rich.text import Text

    from soundsright.ranking import standing_apart
    from soundsright.services.records import apart_sentence, judged_by

    for line in strip_lines(table):
        console.print(Text(line), soft_wrap=True)
    for competition in sorted({row.competition for row in table.ranks}):
        console.print()
        console.print(rank_table(table, competition))
    judged = judged_by(table.ranks, table.validators)
    if table.ranks:
        console.print()
        console.print(agreement_table(table, judged))
        for apart in standing_apart(judged):
            console.print(Text(apart_sentence(table, apart), style="bold yellow"), soft_wrap=True)
    for sentence in (*table.problems, weights_sentence(table)):
        console.print(Text(sentence), soft_wrap=True)


def strip_lines(table: FederationTable) -> Iterable[str]:
    """A line for each validator with a letter for each task, below a line with the first and last task."""
    tasks = sorted({turn.task for turn in table.turns})[-_MOST_TASKS:]
    if not tasks:
        yield "No task is judged yet."
        return
    width = max(len(_short(table.name(each))) for each in table.validators)
    yield f"Tasks {tasks[0]} to {tasks[-1]}, a letter for each turn"
    letters = {(turn.validator, turn.task): _letter(turn) for turn in table.turns}
    for validator in table.validators:
        row = "".join(letters.get((validator, task), " ") for task in tasks)
        yield f"  {_short(table.name(validator)):<{width}}  {row.rstrip()}"
    yield "  " + ", ".join(f"{letter} {state}" for state, letter in LETTERS.items())


def rank_table(table: FederationTable, competition: str) -> Table:
    """The miners of a competition by rank, with their rate at each validator."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(competition), title_justify="left")
    out.add_column("#", justify="right", no_wrap=True)
    out.add_column("miner", no_wrap=True)
    out.add_column("score", justify="right", no_wrap=True)
    for validator in table.validators:
        out.add_column(Text(_short(table.name(validator))), justify="right", no_wrap=True)
    out.add_column("state")
    for row in table.ranks:
        if row.competition != competition:
            continue
        rates = [row.rates.get(validator) for validator in table.validators]
        wins = table.winners.get(competition) == row.hotkey
        state = "winner" if wins else "eligible" if row.is_eligible else "not eligible"
        out.add_row(
            "-" if row.rank is None else str(row.rank),
            Text(_short(table.name(row.hotkey))),
            f"{row.score:.4f}",
            *("-" if rate is None else f"{rate.passed}/{rate.tasks}" for rate in rates),
            Text(f"{state}: {row.note}" if row.note else state),
        )
    return out


def agreement_table(table: FederationTable, judged: JudgedBy) -> Table:
    """1 minus the mean difference of two validators' rates, for each pair."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from soundsright.ranking import agreements

    by_pair = agreements(judged)
    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Agreement of the validators", title_justify="left")
    out.add_column("validator", no_wrap=True)
    for validator in table.validators:
        out.add_column(Text(_short(table.name(validator))), justify="right", no_wrap=True)
    for one in table.validators:
        cells = [by_pair.get((min(one, other), max(one, other))) for other in table.validators]
        out.add_row(Text(_short(table.name(one))), *("-" if cell is None else f"{cell:.3f}" for cell in cells))
    return out


def weights_sentence(table: FederationTable) -> str:
    """The weights in words, with the part that burns."""
    if not table.weights:
        return "Nobody is paid: everything burns."
    parts = [f"{table.name(hotkey)} {weight:.1%}" for hotkey, weight in table.weights.items()]
    burns = 1 - sum(table.weights.values())
    return f"Weights: {', '.join(parts)}" + (f"; {burns:.1%} burns" if burns > 1e-9 else "")


def _letter(turn: TableTurn) -> str:
    return LETTERS[turn.state.value]


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARS else name[: _NAME_CHARS - 1] + "…"
