"""Tables as CSV in which no cell becomes a formula, whichever separator a spreadsheet uses.

A spreadsheet splits lines at commas, semicolons or tabs, depending on the machine's language. It then reads
`x;=1+1` as one text or as a text and a formula. Quotes alone do not prevent this: a spreadsheet that splits at
semicolons sees no quote at the start of the line `1,"x;=1+1"`. So each place where a cell could start as a formula
gets an apostrophe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile(r'(^|[;|\t\r\n])(?=[ "\u00a0]*[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r])')
"""The start of the text, or of what a spreadsheet may take for another cell, if a sign of a formula follows."""
_NEEDS_QUOTES = re.compile(r"[,;|\t\r\n\"']|^\s|\s$")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV (RFC 4180, lines end with a line feed). No cell can act as a formula in a spreadsheet.

    Numbers are written as Python shows them, and None as an empty cell.

    >>> print(csv_text(["a", "b"], [["=1+1", None], ["x;=1", -2.5]]), end="")
    a,b
    "'=1+1",
    "x;'=1",-2.5
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in (columns, *rows))


def _cell(value: object) -> str:
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text = _FORMULA.sub(r"\1'", value)
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text
