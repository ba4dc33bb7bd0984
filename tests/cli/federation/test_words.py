"""The table of a federation in the terminal."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from soundsright.cli.shared.federation_words import LETTERS, print_federation, strip_lines, weights_sentence
from soundsright.services.records import FederationTable, TurnState
from tests.services.records.federation_rows import HOSTILE, MINERS, VALIDATORS, usual_table


def printed(table: FederationTable) -> str:
    out = StringIO()
    print_federation(Console(file=out, width=160), table)
    return out.getvalue()


def test_every_outcome_has_a_letter_and_every_turn_is_in_the_strip() -> None:
    table = usual_table()
    assert LETTERS.keys() == {state.value for state in TurnState}
    lines = list(strip_lines(table))
    assert lines[0].startswith("Tasks 1129 to 1228")
    rows = "".join(line[4:].split("  ", 1)[1] for line in lines[1:-1])
    drawn = {(turn.validator, turn.task): turn for turn in table.turns}
    assert sum(letter in LETTERS.values() for letter in rows) == len(drawn)


def test_the_print_has_ranks_agreement_and_who_stands_apart() -> None:
    text = printed(usual_table())
    assert "19/20" in text
    assert "0.700" in text
    assert "Liar let gtcrn pass 1 of 20 tasks" in text
    assert "Weights: gtcrn 100.0%" in text


def test_a_name_with_markup_is_plain_text() -> None:
    table = usual_table().model_copy(update={"names": {VALIDATORS[0]: "[bold red]A", MINERS[0]: HOSTILE}})
    assert "[bold red]A" in printed(table)


def test_what_nobody_gets_burns() -> None:
    table = usual_table()
    assert weights_sentence(table.model_copy(update={"weights": {}})) == "Nobody is paid: everything burns."
    half = weights_sentence(table.model_copy(update={"weights": {MINERS[0]: 0.5}}))
    assert half == "Weights: gtcrn 50.0%; 50.0% burns"
    empty = table.model_copy(update={"turns": (), "ranks": ()})
    assert printed(empty).startswith("No task is judged yet.")
