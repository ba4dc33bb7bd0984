"""Box plots as SVG. Colours come from the style sheet of the page, so one drawing works in light and dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from soundsright.services.drawing.axes import shortened, tick_text, ticks

# Narrow, so that the text is large enough to read on a phone.
_ROW_PX, _LEFT_PX, _WIDTH_PX, _AXIS_PX = 24, 150, 282, 26


@dataclass(frozen=True)
class Box:
    """One row of a box plot."""

    label: str
    values: tuple[float, ...]
    emphasis: bool = False


def box_plot(boxes: Sequence[Box], *, title: str, unit: str) -> str:
    """Horizontal box plots as SVG: quartiles, whiskers to 1.5 IQR (Tukey 1977), the mean as a dot, outliers.

    >>> "<svg" in box_plot([Box("a", (1.0, 2.0, 3.0))], title="t", unit="dB")
    True
    """
    low = min(min(box.values) for box in boxes)
    high = max(max(box.values) for box in boxes)
    margin = 0.03 * ((high - low) or 1.0)
    low, high = low - margin, high + margin
    height = _ROW_PX + len(boxes) * _ROW_PX + _AXIS_PX

    def x(value: float) -> float:
        return round(_LEFT_PX + (value - low) / (high - low) * _WIDTH_PX, 1)

    parts = [
        f'<svg class="plot boxes" viewBox="0 0 {_LEFT_PX + _WIDTH_PX + 12} {height}" role="img"'
        f' aria-label="{escape(title)}">'
    ]
    for tick in ticks(low, high):
        parts.append(
            f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{_ROW_PX}" y2="{height - _AXIS_PX}"/>'
            f'<text class="tick" x="{x(tick)}" y="{height - 8}" text-anchor="middle">{tick_text(tick)}</text>'
        )
    for row, box in enumerate(boxes):
        parts.append(_row(box, (row + 1.5) * _ROW_PX, x))
    heading = escape(f"{title}, {unit}" if unit else title)
    parts.append(f'<text class="title" x="8" y="15">{heading}</text></svg>')
    return "".join(parts)


def _row(box: Box, y: float, x: Callable[[float], float]) -> str:
    values = np.asarray(box.values, dtype=np.float64)
    first, median, third = (float(q) for q in np.percentile(values, (25, 50, 75)))
    reach = 1.5 * (third - first)
    is_inside = (values >= first - reach) & (values <= third + reach)
    inside = values[is_inside]
    kind = "box best" if box.emphasis else "box"
    width = max(x(third) - x(first), 1.0)
    label = escape(shortened(box.label))
    parts = [
        f'<text class="label" x="{_LEFT_PX - 8}" y="{y + 4}" text-anchor="end">{label}</text>',
        f'<line class="whisker" x1="{x(inside.min())}" x2="{x(inside.max())}" y1="{y}" y2="{y}"/>',
        f'<rect class="{kind}" x="{x(first)}" y="{y - 7}" width="{width:.1f}" height="14" rx="2"/>',
        f'<line class="median" x1="{x(median)}" x2="{x(median)}" y1="{y - 7}" y2="{y + 7}"/>',
        f'<circle class="mean" cx="{x(float(values.mean()))}" cy="{y}" r="2.6"/>',
    ]
    for outlier in values[~is_inside]:
        parts.append(f'<circle class="outlier" cx="{x(float(outlier))}" cy="{y}" r="1.8"/>')
    return "".join(parts)
