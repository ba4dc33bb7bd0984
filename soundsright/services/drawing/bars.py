"""Bars as SVG: outcomes stacked by column, and how often a value falls in each of equal ranges. Lengths are in px.

Each kind differs by its filling beside its colour, so that nobody needs colours to tell it apart. Labels come from
strangers, so they are escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from soundsright.services.drawing.axes import shortened, ticks
from soundsright.services.drawing.plane import (
    AXIS_PX,
    LEGEND_PX,
    PLOT_LEFT_PX,
    RIGHT_PX,
    TOP_PX,
    WIDTH_PX,
    Scale,
    svg_open,
    svg_title,
    tick_label,
    y_grid,
)

MAX_KINDS = 3
_HEIGHT_PX, _GAP_PX, _MAX_BAR_PX = 180, 1.5, 40
_BINS = 24


@dataclass(frozen=True)
class Bar:
    """A column: its name, the number of each kind from the bottom up, and all of it in words."""

    label: str
    counts: tuple[int, ...]
    words: str


def stacked_bars(bars: Sequence[Bar], kinds: Sequence[str], *, title: str, x_title: str) -> str:
    """The columns with a legend of the kinds, at most `MAX_KINDS`. About every sixth has its name below it.

    Raises:
        ValueError: there is no column, there are too many kinds, or a column has other kinds.

    >>> stacked_bars([Bar("7", (3, 0, 1), "3 <b>")], ["a", "b", "c"], title="t", x_title="x").count("&lt;b&gt;")
    1
    """
    _check(bars, kinds)
    step = (WIDTH_PX - RIGHT_PX - PLOT_LEFT_PX) / len(bars)
    labels = [
        tick_label(PLOT_LEFT_PX + (at + 0.5) * step, TOP_PX + _HEIGHT_PX + 14, shortened(bars[at].label, 10))
        for at in range(0, len(bars), max(1, len(bars) // 6))
    ]
    return _drawn(bars, kinds, labels, title=title, x_title=x_title)


def histogram(values: Sequence[float], *, title: str, unit: str) -> str:
    """The number of values in each of at most 24 equal ranges from 0 to the highest value.

    Raises:
        ValueError: there is no value, or one is negative or not finite.

    >>> histogram([0.1, 0.1, 0.4], title="t", unit="s").count("<rect")
    2
    """
    if not values or not all(0 <= value < math.inf for value in values):
        raise ValueError("a histogram needs values, each finite and not negative")
    width = _round_width(max(values))
    count = max(1, math.floor(max(values) / width) + 1)
    numbers = [0] * count
    for value in values:
        numbers[min(int(value / width), count - 1)] += 1
    bars = [
        Bar(f"{at * width:g}", (number,), f"{at * width:.4g} to {(at + 1) * width:.4g} {unit}: {number}")
        for at, number in enumerate(numbers)
    ]
    across = Scale(0.0, count * width, PLOT_LEFT_PX, WIDTH_PX - RIGHT_PX)
    marks = [0.0, *(tick for tick in ticks(0.0, count * width) if tick > 0)]
    labels = [tick_label(across(tick), TOP_PX + _HEIGHT_PX + 14, f"{tick:g}") for tick in marks]
    return _drawn(bars, (), labels, title=title, x_title=unit)


def _round_width(highest: float) -> float:
    """The smallest width of 1, 2 or 5 times a power of ten that makes at most `_BINS` ranges."""
    least = max(highest, 1e-6) / (_BINS - 1)
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


def _check(bars: Sequence[Bar], kinds: Sequence[str]) -> None:
    if not bars or len(kinds) > MAX_KINDS:
        raise ValueError(f"{len(bars)} columns with {len(kinds)} kinds cannot be drawn: at most {MAX_KINDS} kinds")
    if odd := next((bar for bar in bars if len(bar.counts) != len(kinds)), None):
        raise ValueError(f"the column {odd.label[:50]!r} has {len(odd.counts)} numbers for {len(kinds)} kinds")


def _drawn(bars: Sequence[Bar], kinds: Sequence[str], labels: Sequence[str], *, title: str, x_title: str) -> str:
    bottom = TOP_PX + _HEIGHT_PX
    highest = max(1, *(sum(bar.counts) for bar in bars))
    up = Scale(0.0, float(highest), bottom, TOP_PX + 6)
    whole = [tick for tick in ticks(0.0, float(highest)) if tick == int(tick)]
    height = bottom + AXIS_PX + 14 + LEGEND_PX * len(kinds)
    parts = [svg_open("bars", height, title), y_grid(up, sorted({0.0, *whole, float(highest)})[-7:]), *labels]
    step = (WIDTH_PX - RIGHT_PX - PLOT_LEFT_PX) / len(bars)
    width = min(max(step - _GAP_PX, 1.0), _MAX_BAR_PX if kinds else step)
    for at, bar in enumerate(bars):
        x = PLOT_LEFT_PX + (at + 0.5) * step - width / 2
        parts.append(f"<g><title>{escape(bar.words)}</title>{_column(bar.counts, x, width, up)}</g>")
    parts.append(tick_label((PLOT_LEFT_PX + WIDTH_PX) / 2, bottom + 30, x_title))
    for number, kind in enumerate(kinds):
        y = bottom + AXIS_PX + 10 + (number + 0.5) * LEGEND_PX
        parts.append(_filled(number, PLOT_LEFT_PX + 1, y - 9, 10, 10))
        parts.append(f'<text class="label" x="{PLOT_LEFT_PX + 18}" y="{y}">{escape(shortened(kind, 52))}</text>')
    return "".join((*parts, svg_title(title, ""), "</svg>"))


def _column(counts: Sequence[int], x: float, width: float, up: Scale) -> str:
    parts, below = [], 0
    for number, count in enumerate(counts):
        if count:
            top = up(below + count)
            parts.append(_filled(number, x, top, width, up(below) - top))
        below += count
    return "".join(parts)


def _filled(kind: int, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="k{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
