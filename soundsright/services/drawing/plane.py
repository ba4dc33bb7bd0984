"""The ground of a chart as SVG text: frame, scales, and the lines and texts of its axes. Lengths are in px."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from soundsright.services.drawing.axes import tick_text, ticks

WIDTH_PX = 444
RIGHT_PX, TOP_PX, AXIS_PX = 12, 26, 26
PLOT_LEFT_PX, PLOT_HEIGHT_PX, LEGEND_PX = 44, 260, 18


@dataclass(frozen=True)
class Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    start_px: float
    end_px: float

    @classmethod
    def around(cls, values: Sequence[float], start_px: float, end_px: float, share: float = 0.04) -> Scale:
        low, high = min(values), max(values)
        span = (high - low) or max(abs(high), 1.0) * 0.1
        return cls(low - share * span, high + share * span, start_px, end_px)

    def __call__(self, value: float) -> float:
        return self.start_px + (value - self.low) / (self.high - self.low) * (self.end_px - self.start_px)


def svg_open(kind: str, height: float, title: str, *, width: float = WIDTH_PX) -> str:
    """The start of a drawing. `title` is its text alternative."""
    return f'<svg class="plot {kind}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">'


def svg_title(title: str, unit: str) -> str:
    """The heading of a drawing, with the unit of its values."""
    return f'<text class="title" x="8" y="15">{escape(f"{title}, {unit}" if unit else title)}</text>'


def tick_label(x: float, y: float, text: str) -> str:
    """A text below an axis, centred at `x`."""
    return f'<text class="tick" x="{x:.1f}" y="{y:g}" text-anchor="middle">{escape(text)}</text>'


def x_grid(scale: Scale, top: float, bottom: float) -> str:
    """Vertical lines at round values, with the values below them."""
    parts = []
    for tick in ticks(scale.low, scale.high):
        at = scale(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(tick_label(at, bottom + 16, tick_text(tick)))
    return "".join(parts)


def logarithmic_x_grid(scale: Scale, bottom: float) -> str:
    """Lines at 1, 2 and 5 times each power of ten; `scale` maps logarithms."""
    parts = []
    for power in range(math.floor(scale.low), math.ceil(scale.high) + 1):
        for step in (1, 2, 5):
            exponent = power + math.log10(step)
            if scale.low <= exponent <= scale.high:
                at = scale(exponent)
                parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP_PX}" y2="{bottom}"/>')
                parts.append(tick_label(at, bottom + 14, f"{step * 10.0**power:g}"))
    return "".join(parts)


def y_grid(scale: Scale, marks: Sequence[float] = ()) -> str:
    """Horizontal lines at `marks`, else at round values, with the values beside them."""
    parts = []
    for tick in marks or ticks(scale.low, scale.high):
        at = scale(tick)
        parts.append(
            f'<line class="grid" x1="{PLOT_LEFT_PX}" x2="{WIDTH_PX - RIGHT_PX}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{PLOT_LEFT_PX - 5}" y="{at + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>'
        )
    return "".join(parts)
