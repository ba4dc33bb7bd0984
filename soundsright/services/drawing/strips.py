"""A strip of cells by row and column as SVG, such as validators by tasks.

Each kind of cell has a shape of its own beside its colour, so that nobody needs colours to tell it apart. Labels
come from strangers, so they are escaped here. Lengths are in px.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from soundsright.services.drawing.plane import svg_open, svg_title, tick_label

_LEFT_PX, _TOP_PX, _FOOT_PX, _LEGEND_PX = 110, 26, 22, 22
_ROW_PX, _CELL_PX, _LEAST_WIDTH_PX = 18, 9, 980
_LEGEND_STEP_PX = 108


@dataclass(frozen=True)
class Cell:
    """A cell: its row, its column, its kind, and all of it in words."""

    row: str
    column: str
    kind: str
    words: str


def _full(x: float, y: float) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="7" height="14"/>'


def _half(x: float, y: float) -> str:
    return f'<rect x="{x:.1f}" y="{y + 7:.1f}" width="7" height="7"/>'


def _empty(x: float, y: float) -> str:
    return f'<rect class="hollow" x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="6" height="13"/>'


def _cross(x: float, y: float) -> str:
    return f'<path class="stroke" d="M{x:.1f} {y + 2:.1f}l7 10m0 -10l-7 10"/>'


def _bars(x: float, y: float) -> str:
    return f'<path class="stroke" d="M{x + 1.5:.1f} {y:.1f}v14m4 -14v14"/>'


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{x + 3.5:.1f}" cy="{y + 7:.1f}" r="2"/>'


SHAPES: tuple[Callable[[float, float], str], ...] = (_full, _half, _empty, _cross, _bars, _dot)
"""The shapes of the kinds, in their order."""


def strip_plot(
    cells: Sequence[Cell], rows: Mapping[str, str], columns: Sequence[str], kinds: Sequence[str], *, title: str
) -> str:
    """The strip with a legend of the kinds, at most as many as `SHAPES`. `rows` gives each row's label.

    Every tenth column has its name below it.

    Raises:
        ValueError: there are more kinds than shapes, or a cell is of no kind.
    """
    if len(kinds) > len(SHAPES):
        raise ValueError(f"{len(kinds)} kinds are more than {len(SHAPES)} shapes")
    if strange := {cell.kind for cell in cells} - set(kinds):
        raise ValueError(f"{strange.pop()!r} is no kind of a cell")
    width = max(_LEAST_WIDTH_PX, _LEFT_PX + _CELL_PX * len(columns) + 12)
    per_line = max(1, int((width - 16) // _LEGEND_STEP_PX))
    lines = -(-len(kinds) // per_line)
    bottom = _TOP_PX + _ROW_PX * len(rows)
    height = bottom + _FOOT_PX + _LEGEND_PX * lines
    x_of = {name: _LEFT_PX + _CELL_PX * at for at, name in enumerate(columns)}
    y_of = {name: _TOP_PX + _ROW_PX * at for at, name in enumerate(rows)}
    parts = [svg_open("strip", height, title, width=width), svg_title(title, "")]
    for name, label in rows.items():
        parts.append(
            f'<text class="tick" x="{_LEFT_PX - 6}" y="{y_of[name] + 12}" text-anchor="end">{escape(label)}</text>'
        )
    for at in range(0, len(columns), 10):
        parts.append(tick_label(x_of[columns[at]] + 3.5, bottom + 14, columns[at]))
    for cell in cells:
        if cell.row in y_of and cell.column in x_of:
            shape = _shape(kinds.index(cell.kind), x_of[cell.column], y_of[cell.row] + 2, cell.words)
            parts.append(shape)
    for at, kind in enumerate(kinds):
        x = 8 + _LEGEND_STEP_PX * (at % per_line)
        y = bottom + _FOOT_PX + _LEGEND_PX * (at // per_line)
        parts.append(_shape(at, x, y, kind))
        parts.append(f'<text class="tick" x="{x + 12}" y="{y + 11}">{escape(kind)}</text>')
    return "".join(parts) + "</svg>"


def _shape(kind: int, x: float, y: float, words: str) -> str:
    return f'<g class="k{kind}"><title>{escape(words)}</title>{SHAPES[kind](x, y)}</g>'
