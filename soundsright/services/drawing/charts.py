"""Charts as SVG text: intervals, quality over speed, scores by condition, history, ranks.

A drawing works in a page, in the report and as a file. Colours and fonts come from `web/static/plots.css`, and
`standalone` puts that style sheet inside. Series differ in shape as well as in colour (palette of Okabe and Ito).
Miners choose the words of labels, so they are escaped here. Values are in the unit of their metric.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import pairwise

from soundsright.services.drawing.axes import shortened, tick_text, ticks
from soundsright.services.drawing.plane import (
    AXIS_PX,
    LEGEND_PX,
    PLOT_HEIGHT_PX,
    PLOT_LEFT_PX,
    RIGHT_PX,
    TOP_PX,
    WIDTH_PX,
    Scale,
    logarithmic_x_grid,
    svg_open,
    svg_title,
    tick_label,
    x_grid,
    y_grid,
)

_LEFT_PX, _ROW_PX = 150, 22
MAX_SERIES = 4
_BINS = 4


@dataclass(frozen=True)
class Interval:
    """One row: a mean and its interval from `low` to `high`. Both are None if there is no interval."""

    label: str
    mean: float
    low: float | None
    high: float | None
    emphasis: bool = False
    values: tuple[float, ...] = ()
    """The single values behind the mean, drawn as faint dots. May be empty."""


@dataclass(frozen=True)
class TradePoint:
    """One entry: its real-time factor, its score, and a short text to show inside its circle."""

    label: str
    mark: str
    real_time_factor: float
    score: float
    emphasis: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one colour and shape, at `xs` and `ys`. `lows` and `highs` are the intervals of `ys`, or empty.

    A point without an interval has None in both.
    """

    label: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    lows: tuple[float | None, ...] = ()
    highs: tuple[float | None, ...] = ()


def interval_plot(
    rows: Sequence[Interval], *, title: str, unit: str, reference: float | None = None, reference_label: str = ""
) -> str:
    """Means with intervals, one per row, and a dashed line at `reference`.

    A row without an interval has no whisker.

    >>> interval_plot([Interval("<b>", 1.0, 0.5, 1.5)], title="t", unit="dB").count("&lt;b&gt;")
    1
    """
    ends = [end for row in rows for end in (row.low, row.high, row.mean, *row.values) if end is not None]
    scale = Scale.around([*ends, reference] if reference is not None else ends, _LEFT_PX, WIDTH_PX - RIGHT_PX)
    note = LEGEND_PX if reference is not None and reference_label else 0
    bottom = TOP_PX + len(rows) * _ROW_PX
    height = bottom + AXIS_PX + note
    parts = [svg_open("intervals", height, title), x_grid(scale, TOP_PX, bottom)]
    if reference is not None:
        at = scale(reference)
        parts.append(f'<line class="reference" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP_PX}" y2="{bottom}"/>')
        if reference_label:
            parts.append(
                f'<text class="tick" x="8" y="{height - 6}">- - {escape(shortened(reference_label, 60))}</text>'
            )
    for number, row in enumerate(rows):
        y = TOP_PX + (number + 0.5) * _ROW_PX
        kind = " best" if row.emphasis else ""
        parts.append(_label(row.label, y))
        for index, value in enumerate(row.values):
            # Spread the dots over three lines, so that equal values stay visible.
            cy = y + (index % 3 - 1) * 6
            parts.append(f'<circle class="single" cx="{scale(value):.1f}" cy="{cy:.1f}" r="2"/>')
        if row.low is not None and row.high is not None:
            start, end = scale(row.low), scale(row.high)
            parts.append(f'<line class="whisker{kind}" x1="{start:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="point{kind}" cx="{scale(row.mean):.1f}" cy="{y}" r="4.5"/>')
    return "".join((*parts, svg_title(title, unit), "</svg>"))


def trade_plot(points: Sequence[TradePoint], *, title: str, unit: str, higher_is_better: bool = True) -> str:
    """Score over real-time factor (logarithmic), with the Pareto front: no entry is both faster and better.

    >>> "front" in trade_plot([TradePoint("a", "1", 0.1, 2.0)], title="t", unit="dB")
    True
    """
    logs = [math.log10(max(point.real_time_factor, 1e-6)) for point in points]
    across = Scale.around(logs, PLOT_LEFT_PX, WIDTH_PX - RIGHT_PX, share=0.08)
    bottom = TOP_PX + PLOT_HEIGHT_PX
    up = Scale.around([point.score for point in points], bottom, TOP_PX, share=0.08)
    parts = [svg_open("trade", bottom + 2 * AXIS_PX - 8, title), y_grid(up), logarithmic_x_grid(across, bottom)]
    parts.append(tick_label((PLOT_LEFT_PX + WIDTH_PX) / 2, bottom + 32, "real-time factor (lower is faster)"))
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
    return "".join((*parts, svg_title(title, unit), "</svg>"))


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The indices of the Pareto front of (cost, value) points, cheapest first.

    A point is on the front if every cheaper point has a lower value.

    >>> pareto_front([(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)])
    [0, 1]
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def condition_plot(series: Sequence[Series], *, title: str, unit: str, x_title: str) -> str:
    """Scores by a condition such as SNR: a point per clip, and a line through `binned_means`."""
    drawn = [each for each in series if each.xs][:MAX_SERIES]
    binned = [binned_means(each.xs, each.ys) for each in drawn]
    return _plane(drawn, lines=binned, title=title, unit=unit, x_title=x_title, x_names=None)


def history_plot(series: Sequence[Series], rounds: Sequence[str], *, title: str, unit: str) -> str:
    """Scores over rounds, with intervals if the series has them. `xs` are indices of `rounds`."""
    drawn = [each for each in series if each.xs][:MAX_SERIES]
    lines = [list(zip(each.xs, each.ys, strict=True)) for each in drawn]
    return _plane(drawn, lines=lines, title=title, unit=unit, x_title="round", x_names=list(rounds))


def power_plot(series: Sequence[Series], *, title: str, x_title: str, target: float) -> str:
    """Power (0 to 1) over a size (logarithmic), a line per series, and a dashed line at the power asked for.

    >>> "reference" in power_plot([Series("a", (10.0, 99.0), (0.2, 0.9))], title="t", x_title="clips", target=0.9)
    True
    """
    drawn = [each for each in series if each.xs][:MAX_SERIES]
    logs = [math.log10(x) for each in drawn for x in each.xs]
    bottom = TOP_PX + PLOT_HEIGHT_PX
    # Leave room for the number below the last line.
    across = Scale.around(logs, PLOT_LEFT_PX, WIDTH_PX - 2 * RIGHT_PX)
    up = Scale(0.0, 1.0, bottom, TOP_PX + 6)
    height = bottom + AXIS_PX + 16 + LEGEND_PX * (len(drawn) + 1)
    parts = [svg_open("plane", height, title), y_grid(up, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))]
    parts += [logarithmic_x_grid(across, bottom), tick_label((PLOT_LEFT_PX + WIDTH_PX) / 2, bottom + 30, x_title)]
    at, right = up(target), WIDTH_PX - RIGHT_PX
    parts.append(f'<line class="reference" x1="{PLOT_LEFT_PX}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
    parts.append(f'<text class="tick" x="{PLOT_LEFT_PX}" y="{height - 6}">- - power {target:g}</text>')
    for number, each in enumerate(drawn):
        line = [(across(math.log10(x)), up(y)) for x, y in zip(each.xs, each.ys, strict=True)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
        dots = "".join(_shape(number, x, y, 3.0) for x, y in line)
        legend = _legend_row(number, each.label, bottom + AXIS_PX + 16 + (number + 0.5) * LEGEND_PX)
        parts.append(f'<g class="s{number}"><path class="line" d="M{path}"/>{dots}{legend}</g>')
    return "".join((*parts, svg_title(title, ""), "</svg>"))


def binned_means(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """Mean condition and mean score in up to four bins. Bins have equal numbers of clips, at least three each.

    >>> binned_means([1, 2, 3, 4, 5, 6], [0, 0, 0, 3, 3, 3])
    [(2.0, 0.0), (5.0, 3.0)]
    """
    order = sorted(zip(xs, ys, strict=True))
    bins = min(_BINS, len(order) // 3)
    if bins < 2:
        return []
    cuts = [round(i * len(order) / bins) for i in range(bins + 1)]
    means = []
    for start, end in pairwise(cuts):
        clips = order[start:end]
        means.append((math.fsum(x for x, _ in clips) / len(clips), math.fsum(y for _, y in clips) / len(clips)))
    return means


def rank_bar(best: int, worst: int, entries: int, words: str) -> str:
    """The possible ranks `best` to `worst` as a small bar. `words` say the same as text.

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
    """Drawings of one width, joined below each other.

    >>> drawing = interval_plot([Interval("a", 1.0, 0.5, 1.5)], title="t", unit="")
    >>> stacked([drawing, drawing]).count("<svg")
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
    """The drawing as a complete SVG file, with its style sheet inside."""
    style = style_sheet("plots.css")
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        ">", f"><style>{style}</style>", 1
    )


def style_sheet(name: str) -> str:
    """The text of a style sheet from `web/static`."""
    return (files("soundsright") / "web" / "static" / name).read_text(encoding="utf-8")


def _plane(
    series: Sequence[Series],
    *,
    lines: Sequence[Sequence[tuple[float, float]]],
    title: str,
    unit: str,
    x_title: str,
    x_names: list[str] | None,
) -> str:
    xs = [x for each in series for x in each.xs]
    ys = [y for each in series for y in (*each.ys, *each.lows, *each.highs) if y is not None]
    bottom = TOP_PX + PLOT_HEIGHT_PX
    across = Scale.around(xs, PLOT_LEFT_PX, WIDTH_PX - RIGHT_PX, share=0.06)
    up = Scale.around(ys, bottom, TOP_PX, share=0.06)
    height = bottom + AXIS_PX + 16 + LEGEND_PX * len(series)
    parts = [svg_open("plane", height, title), y_grid(up)]
    names: Callable[[float], str] = tick_text
    positions = ticks(across.low, across.high)
    if x_names is not None:
        positions = [float(i) for i in range(0, len(x_names), max(1, len(x_names) // 6))]
        names = lambda index: shortened(x_names[int(index)], 10)  # noqa: E731
    for position in positions:
        at = across(position)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP_PX}" y2="{bottom}"/>')
        parts.append(tick_label(at, bottom + 14, names(position)))
    parts.append(tick_label((PLOT_LEFT_PX + WIDTH_PX) / 2, bottom + 30, x_title))
    for number, (each, line) in enumerate(zip(series, lines, strict=True)):
        legend_y = bottom + AXIS_PX + 16 + (number + 0.5) * LEGEND_PX
        points = _points_and_line(number, each, line, across, up)
        parts.append(f'<g class="s{number}">{points}{_legend_row(number, each.label, legend_y)}</g>')
    return "".join((*parts, svg_title(title, unit), "</svg>"))


def _points_and_line(
    number: int, series: Series, line: Sequence[tuple[float, float]], across: Scale, up: Scale
) -> str:
    """The intervals, points and line of a series."""
    group = []
    for x, low, high in zip(series.xs, series.lows, series.highs, strict=False):
        if low is None or high is None:
            continue
        at = across(x)
        group.append(f'<line class="bar" x1="{at:.1f}" x2="{at:.1f}" y1="{up(low):.1f}" y2="{up(high):.1f}"/>')
    group.extend(_shape(number, across(x), up(y), 3.0) for x, y in zip(series.xs, series.ys, strict=True))
    if len(line) > 1:
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in line)
        group.append(f'<path class="line" d="M{path}"/>')
    return "".join(group)


def _legend_row(number: int, label: str, y: float) -> str:
    shape = _shape(number, PLOT_LEFT_PX + 6, y - 4, 4.5)
    return f'{shape}<text class="label" x="{PLOT_LEFT_PX + 18}" y="{y}">{escape(shortened(label, 52))}</text>'


def _shape(number: int, x: float, y: float, r: float) -> str:
    """Circle, square, triangle or diamond, so that a series can be recognised without colour."""
    if number == 0:
        return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    corners = {
        1: ((-r, -r), (r, -r), (r, r), (-r, r)),
        2: ((0, -1.3 * r), (1.2 * r, r), (-1.2 * r, r)),
        3: ((0, -1.4 * r), (1.4 * r, 0), (0, 1.4 * r), (-1.4 * r, 0)),
    }[number]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="dot" points="{points}"/>'


def _label(text: str, y: float) -> str:
    name = escape(shortened(text))
    return f'<text class="label" x="{_LEFT_PX - 8}" y="{y + 4}" text-anchor="end">{name}</text>'
