"""CSV that stays text in every spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from soundsright.core.csv_text import csv_text

SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
STARTS = ("", " ", "\t", "x;", "x; ", "x\t", "x|", "x\n", "x\r\n", 'x;"', 'x";', 'x",";', '"', "a;b;", "\u00a0")


def cells(text: str, separator: str) -> list[str]:
    """The cells of a spreadsheet that splits at `separator`, with and without respect for quotes."""
    read = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) for cell in row]
    # The file is separated by commas, so a reader that splits at commas knows its quotes.
    return read if separator == "," else read + [c for line in text.splitlines() for c in line.split(separator)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", STARTS)
def test_no_cell_starts_like_a_formula_whichever_separator_a_spreadsheet_uses(start: str, separator: str) -> None:
    for sign in SIGNS:
        for row in ([f"{start}{sign}1+1"], [7, f"{start}{sign}1+1;"], [f"{start}{sign}1", "b", f"{start}{sign}2"]):
            found = cells(csv_text(["a", "b"], [row]), separator)
            assert not [cell for cell in found if cell.strip(' "\u00a0').startswith(SIGNS)], found


def test_numbers_text_and_empty_cells_come_back_as_they_were() -> None:
    rows: list[list[object]] = [
        ["Übung 1, -5 dB", 'say "hi"', "two\nlines", "", -2.5, 3, "a-b=c"],
        [None, " x ", "x;y", "'", 1e-9, 0, ""],
    ]
    text = csv_text(list("abcdefg"), rows)
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read[1:] == [["" if c is None else str(c) for c in row] for row in rows]
    assert text.startswith("a,b,c,d,e,f,g\n")
