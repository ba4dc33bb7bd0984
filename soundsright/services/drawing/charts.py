"""Charts as SVG text, drawn from numbers alone: intervals, quality over speed, scores by condition, history, ranks.

The same drawing serves a page, the report and a file: colours and fonts come from `web/static/plots.css`, which
`standalone` puts inside. Marks differ in shape as well as in colour (Okabe and Ito's palette). The words of labels
are strangers' and are escaped here. Values are in their metric's unit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import pairwise

from soundsright.services.drawing.plots import shortened, tick_text, ticks

WIDTH_PX = 444
_LEFT_PX, _RIGHT_PX, _TOP_PX, _AXIS_PX, _ROW_PX = 150, 12, 26, 26, 22
_PLOT_LEFT_PX, _PLOT_HEIGHT_PX, _LEGEND_PX = 44, 260, 18
SERIES = 4
_BINS = 4


@dataclass(frozen=True)
class Interval:
    """One row: a mean with the ends of its interval."""

    label: str
    mean: float
    low: float
    high: float
    emphasis: bool = False
    values: tuple[float, ...] = ()
    """Single values behind the mean, drawn as faint dots where they are given."""


@dataclass(frozen=True)
class TradePoint:
    """One entry: its real-time factor, its score, and the short text inside its mark."""

    label: str
    mark: str
    real_time_factor: float
    score: float
    emphasis: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one colour and shape, by `xs` and `ys`; a point's `lows` and `highs` where there are any."""

    label: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()


def interval_plot(
    rows: Sequence[Interval], *, title: str, unit: str, reference: float | None = None, reference_label: str = ""
) -> str:
    """Means with intervals, one row each, against a dashed line at `reference`.

    >>> interval_plot([Interval("<b>", 1.0, 0.5, 1.5)], title="t", unit="dB").count("&lt;b&gt;")
    1
    """
    ends = [value for row in rows for value in (row.low, row.high, row.mean, *row.values)]
    scale = _Scale.around([*ends, reference] if reference is not None else ends, _LEFT_PX, WIDTH_PX - _RIGHT_PX)
    note = _LEGEND_PX if reference is not None and reference_label else 0
    bottom = _TOP_PX + len(rows) * _ROW_PX
    height = bottom + _AXIS_PX + note
    parts = [_open("intervals", height, title), _x_grid(scale, _TOP_PX, bottom)]
    if reference is not None:
        at = scale(reference)
        parts.append(f'<line class="reference" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP_PX}" y2="{bottom}"/>')
        if reference_label:
            parts.append(
                f'<text class="tick" x="8" y="{height - 6}">- - {escape(shortened(reference_label, 60))}</text>'
            )
    for number, row in enumerate(rows):
        y = _TOP_PX + (number + 0.5) * _ROW_PX
        kind = " best" if row.emphasis else ""
        parts.append(_label(row.label, y))
        for place, value in enumerate(row.values):
            # Three tracks, so that equal values are not one dot.
            at = y + (place % 3 - 1) * 6
            parts.append(f'<circle class="single" cx="{scale(value):.1f}" cy="{at:.1f}" r="2"/>')
        parts.append(
            f'<line class="whisker{kind}" x1="{scale(row.low):.1f}" x2="{scale(row.high):.1f}" y1="{y}" y2="{y}"/>'
        )
        parts.append(f'<circle class="point{kind}" cx="{scale(row.mean):.1f}" cy="{y}" r="4.5"/>')
    return "".join((*parts, _title(title, unit), "</svg>"))


def trade_plot(points: Sequence[TradePoint], *, title: str, unit: str, higher_is_better: bool = True) -> str:
    """A score over the real-time factor (logarithmic), with the Pareto front: nothing is both faster and better.

    >>> "front" in trade_plot([TradePoint("a", "1", 0.1, 2.0)], title="t", unit="dB")
    True
    """
    logs = [math.log10(max(point.real_time_factor, 1e-6)) for point in points]
    across = _Scale.around(logs, _PLOT_LEFT_PX, WIDTH_PX - _RIGHT_PX, share=0.08)
    bottom = _TOP_PX + _PLOT_HEIGHT_PX
    up = _Scale.around([point.score for point in points], bottom, _TOP_PX, share=0.08)
    parts = [_open("trade", bottom + 2 * _AXIS_PX - 8, title), _y_grid(up)]
    for power in range(math.floor(across.low), math.ceil(across.high) + 1):
        for step in (1, 2, 5):
            place = power + math.log10(step)
            if across.low <= place <= across.high:
                at = across(place)
                parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP_PX}" y2="{bottom}"/>')
                parts.append(_tick(at, bottom + 14, f"{step * 10.0**power:g}"))
    parts.append(_tick((_PLOT_LEFT_PX + WIDTH_PX) / 2, bottom + 32, "real-time factor (less is faster)"))
    front = pareto_front([(p.real_time_factor, p.score if higher_is_better else -p.score) for p in points])
    steps = [(across(logs[i]), up(points[i].score)) for i in front]
    path = f"M{steps[0][0]:.1f} {steps[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in steps[1:])
    parts.append(f'<path class="front" d="{path}"/>')
    for i, point in enumerate(points):
        x, y = across(logs[i]), up(point.score)
        kind = " best" if point.emphasis else ""
        on = " on-front" if i in front else ""
        words = f"{point.label}: {point.score:.3g} at real-time factor {point.real_time_factor:.3g}"
        parts.append(
            f'<g class="mark{kind}{on}"><title>{escape(words)}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
        )
        parts.append(f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{escape(point.mark[:3])}</text></g>')
    return "".join((*parts, _title(title, unit), "</svg>"))


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other matches at less cost and as much value: their places, cheapest first.

    >>> pareto_front([(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)])
    [0, 1]
    """
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


def condition_plot(series: Sequence[Series], *, title: str, unit: str, x_title: str) -> str:
    """Scores by a condition of the clip: a point per clip, a line through the means of parts of equal size."""
    drawn = [one for one in series if one.xs][:SERIES]
    binned = [binned_means(one.xs, one.ys) for one in drawn]
    return _plane(drawn, lines=binned, title=title, unit=unit, x_title=x_title, x_names=None)


def history_plot(series: Sequence[Series], rounds: Sequence[str], *, title: str, unit: str) -> str:
    """Scores over rounds: `xs` are places in `rounds`, with intervals where the series has them."""
    drawn = [one for one in series if one.xs][:SERIES]
    lines = [list(zip(one.xs, one.ys, strict=True)) for one in drawn]
    return _plane(drawn, lines=lines, title=title, unit=unit, x_title="round", x_names=list(rounds))


def binned_means(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """Mean condition and mean score of up to four parts of equal size, of three clips each at least.

    >>> binned_means([1, 2, 3, 4, 5, 6], [0, 0, 0, 3, 3, 3])
    [(2.0, 0.0), (5.0, 3.0)]
    """
    order = sorted(zip(xs, ys, strict=True))
    parts = min(_BINS, len(order) // 3)
    if parts < 2:
        return []
    cuts = [round(i * len(order) / parts) for i in range(parts + 1)]
    found = []
    for start, end in pairwise(cuts):
        part = order[start:end]
        found.append((math.fsum(x for x, _ in part) / len(part), math.fsum(y for _, y in part) / len(part)))
    return found


def rank_bar(best: int, worst: int, entries: int, words: str) -> str:
    """The ranks that the scores leave open, as a small bar over all ranks; `words` say it in text.

    >>> 'role="img"' in rank_bar(1, 3, 10, "rank 1 to 3 of 10")
    True
    """
    width, text = 72.0, escape(words)
    step = width / max(1, entries)
    return (
        f'<svg class="ranks" viewBox="0 0 {width:g} 8" role="img" aria-label="{text}"><title>{text}</title>'
        f'<rect class="track" x="0" y="3" width="{width:g}" height="2"/>'
        f'<rect class="open" x="{(best - 1) * step:.1f}" y="1" width="{max(2.0, (worst - best + 1) * step):.1f}" '
        f'height="6" rx="2"/></svg>'
    )


def stacked(drawings: Sequence[str]) -> str:
    """Drawings of one width as one, each below the one before.

    >>> one = interval_plot([Interval("a", 1.0, 0.5, 1.5)], title="t", unit="")
    >>> stacked([one, one]).count("<svg")
    3
    """
    heights = [float(re.findall(r'viewBox="0 0 [\d.]+ ([\d.]+)"', drawing)[0]) for drawing in drawings]
    parts = [f'<svg class="plot" viewBox="0 0 {WIDTH_PX} {sum(heights):g}" role="img">']
    top = 0.0
    for drawing, height in zip(drawings, heights, strict=True):
        parts.append(drawing.replace("<svg ", f'<svg y="{top:g}" width="{WIDTH_PX}" height="{height:g}" ', 1))
        top += height
    return "".join((*parts, "</svg>"))


def standalone(svg: str) -> str:
    """The drawing as a file of its own, with its style sheet inside."""
    style = style_sheet("plots.css")
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        ">", f"><style>{style}</style>", 1
    )


def style_sheet(name: str) -> str:
    """A style sheet of the pages."""
    return (files("soundsright") / "web" / "static" / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class _Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    start_px: float
    end_px: float

    @classmethod
    def around(cls, values: Sequence[float], start_px: float, end_px: float, share: float = 0.04) -> _Scale:
        low, high = min(values), max(values)
        span = (high - low) or max(abs(high), 1.0) * 0.1
        return cls(low - share * span, high + share * span, start_px, end_px)

    def __call__(self, value: float) -> float:
        return self.start_px + (value - self.low) / (self.high - self.low) * (self.end_px - self.start_px)


def _plane(
    series: Sequence[Series],
    *,
    lines: Sequence[Sequence[tuple[float, float]]],
    title: str,
    unit: str,
    x_title: str,
    x_names: list[str] | None,
) -> str:
    xs = [x for one in series for x in one.xs]
    ys = [y for one in series for y in (*one.ys, *one.lows, *one.highs)]
    bottom = _TOP_PX + _PLOT_HEIGHT_PX
    across = _Scale.around(xs, _PLOT_LEFT_PX, WIDTH_PX - _RIGHT_PX, share=0.06)
    up = _Scale.around(ys, bottom, _TOP_PX, share=0.06)
    height = bottom + _AXIS_PX + 16 + _LEGEND_PX * len(series)
    parts = [_open("plane", height, title), _y_grid(up)]
    names: Callable[[float], str] = tick_text
    places = ticks(across.low, across.high)
    if x_names is not None:
        places = [float(i) for i in range(0, len(x_names), max(1, len(x_names) // 6))]
        names = lambda place: shortened(x_names[int(place)], 10)  # noqa: E731
    for place in places:
        at = across(place)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP_PX}" y2="{bottom}"/>')
        parts.append(_tick(at, bottom + 14, names(place)))
    parts.append(_tick((_PLOT_LEFT_PX + WIDTH_PX) / 2, bottom + 30, x_title))
    for number, (one, line) in enumerate(zip(series, lines, strict=True)):
        group = [f'<g class="s{number}">']
        for x, low, high in zip(one.xs, one.lows, one.highs, strict=False):
            at = across(x)
            group.append(f'<line class="bar" x1="{at:.1f}" x2="{at:.1f}" y1="{up(low):.1f}" y2="{up(high):.1f}"/>')
        group.extend(_shape(number, across(x), up(y), 3.0) for x, y in zip(one.xs, one.ys, strict=True))
        if len(line) > 1:
            path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in line)
            group.append(f'<path class="line" d="M{path}"/>')
        row = bottom + _AXIS_PX + 16 + (number + 0.5) * _LEGEND_PX
        group.append(_shape(number, _PLOT_LEFT_PX + 6, row - 4, 4.5))
        group.append(
            f'<text class="label" x="{_PLOT_LEFT_PX + 18}" y="{row}">{escape(shortened(one.label, 52))}</text></g>'
        )
        parts.extend(group)
    return "".join((*parts, _title(title, unit), "</svg>"))


def _shape(number: int, x: float, y: float, r: float) -> str:
    """Circle, square, triangle, diamond: a series is known without its colour."""
    if number == 0:
        return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    corners = {
        1: ((-r, -r), (r, -r), (r, r), (-r, r)),
        2: ((0, -1.3 * r), (1.2 * r, r), (-1.2 * r, r)),
        3: ((0, -1.4 * r), (1.4 * r, 0), (0, 1.4 * r), (-1.4 * r, 0)),
    }[number]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="dot" points="{points}"/>'


def _open(kind: str, height: float, title: str) -> str:
    return f'<svg class="plot {kind}" viewBox="0 0 {WIDTH_PX} {height:g}" role="img" aria-label="{escape(title)}">'


def _title(title: str, unit: str) -> str:
    return f'<text class="title" x="8" y="15">{escape(f"{title}, {unit}" if unit else title)}</text>'


def _label(text: str, y: float) -> str:
    name = escape(shortened(text))
    return f'<text class="label" x="{_LEFT_PX - 8}" y="{y + 4}" text-anchor="end">{name}</text>'


def _tick(x: float, y: float, text: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:g}" text-anchor="middle">{escape(text)}</text>'


def _x_grid(scale: _Scale, top: float, bottom: float) -> str:
    parts = []
    for tick in ticks(scale.low, scale.high):
        at = scale(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(_tick(at, bottom + 16, tick_text(tick)))
    return "".join(parts)


def _y_grid(scale: _Scale) -> str:
    parts = []
    for tick in ticks(scale.low, scale.high):
        at = scale(tick)
        parts.append(
            f'<line class="grid" x1="{_PLOT_LEFT_PX}" x2="{WIDTH_PX - _RIGHT_PX}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{_PLOT_LEFT_PX - 5}" y="{at + 4:.1f}" '
            f'text-anchor="end">{tick_text(tick)}</text>'
        )
    return "".join(parts)
