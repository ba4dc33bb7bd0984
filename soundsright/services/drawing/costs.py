"""Quality over time as SVG, with the Pareto front and the memory of each image as the area of its circle.

Quality goes from 0 to 1. Labels come from miners, so they are escaped here. The style sheet is that of all charts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from soundsright.ranking import pareto_front
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
    y_grid,
)

_LARGEST_PX, _SMALLEST_PX = 20.0, 3.5
_LEAST_TIME = 1e-4
_MARK_INSIDE_PX = 9.0
"""From this radius on, the mark is inside the circle; otherwise it is above it."""
_FOOT_PX = 22
_LEGEND_GAP_PX = 56
"""From one circle's text in the legend to the next circle: wide enough for 0.054 GB."""


@dataclass(frozen=True)
class CostPoint:
    """An image: the mark beside its circle, such as its rank, its quality, time and memory in GB.

    `is_best` marks the winner, and `is_unsteady` a time that the machine could not measure steadily. `words` say it
    all as text.
    """

    mark: str
    words: str
    quality: float
    time: float
    memory_gb: float
    is_best: bool = False
    is_unsteady: bool = False


def cost_plot(points: Sequence[CostPoint], *, title: str, x_title: str) -> str:
    """Quality over time (logarithmic). The dashed line is the front: no image is both better and faster.

    A circle with a thick edge is not beaten in all of quality, time and memory by another image. An image whose
    quality is 0 improves nothing, so it is never unbeaten, however fast it is.

    >>> drawing = cost_plot([CostPoint("1", "<b>", 0.5, 0.1, 2.0)], title="t", x_title="RTF")
    >>> "front" in drawing, "<b>" in drawing
    (True, False)
    """
    logs = [math.log10(max(point.time, _LEAST_TIME)) for point in points]
    bottom = TOP_PX + PLOT_HEIGHT_PX
    across = _wide_scale(logs)
    up = Scale.around([point.quality for point in points], bottom, TOP_PX, share=0.14)
    most_gb = max(point.memory_gb for point in points)
    height = bottom + AXIS_PX + 14 + _FOOT_PX + LEGEND_PX + 8 + 2 * _LARGEST_PX
    parts = [svg_open("costs", height, f"{title}. {_summary(points)}"), y_grid(up)]
    parts += [logarithmic_x_grid(across, bottom), tick_label((PLOT_LEFT_PX + WIDTH_PX) / 2, bottom + 32, x_title)]
    places = [(across(log), up(point.quality)) for log, point in zip(logs, points, strict=True)]
    parts.append(_front(points, places))
    unbeaten = _unbeaten(points, counts_memory=True)
    # The largest circles first, so that they cover no smaller one.
    for i in sorted(range(len(points)), key=lambda i: -points[i].memory_gb):
        parts.append(_circle(points[i], places[i], _radius(points[i].memory_gb, most_gb), i in unbeaten))
    parts.append(_legend(most_gb, bottom + AXIS_PX + 14 + _FOOT_PX))
    return "".join((*parts, svg_title(title, ""), "</svg>"))


def _wide_scale(logs: Sequence[float]) -> Scale:
    """A scale around the logarithms that shows at least half a power of ten."""
    middle = (min(logs) + max(logs)) / 2
    return Scale.around([*logs, middle - 0.25, middle + 0.25], PLOT_LEFT_PX, WIDTH_PX - RIGHT_PX, share=0.1)


def _unbeaten(points: Sequence[CostPoint], *, counts_memory: bool) -> list[int]:
    """The points with a quality above 0 that no other beats in quality, time and, if it counts, memory."""
    useful = [i for i, point in enumerate(points) if point.quality > 0]
    costs = [(points[i].quality, points[i].time, points[i].memory_gb if counts_memory else 0.0) for i in useful]
    return [useful[place] for place in pareto_front(costs)]


def _front(points: Sequence[CostPoint], places: Sequence[tuple[float, float]]) -> str:
    steps = sorted({places[i] for i in _unbeaten(points, counts_memory=False)})
    if not steps:
        return ""
    path = f"M{steps[0][0]:.1f} {steps[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in steps[1:])
    return f'<path class="front" d="{path}"/>'


def _circle(point: CostPoint, place: tuple[float, float], radius: float, is_unbeaten: bool) -> str:
    x, y = place
    kinds = "".join(
        kind
        for kind, applies in (
            (" best", point.is_best),
            (" on-front", is_unbeaten),
            (" unsteady", point.is_unsteady),
        )
        if applies
    )
    if radius >= _MARK_INSIDE_PX:
        at, line, anchor = x, y + 4, "middle"
    elif x + radius + 14 > WIDTH_PX - RIGHT_PX:
        at, line, anchor = x - radius - 2, y - radius - 2, "end"
    else:
        at, line, anchor = x + radius + 2, y - radius - 2, "start"
    return (
        f'<g class="cost{kinds}"><title>{escape(point.words)}</title>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'
        f'<text x="{at:.1f}" y="{line:.1f}" text-anchor="{anchor}">{escape(point.mark[:4])}</text></g>'
    )


def _radius(memory_gb: float, most_gb: float) -> float:
    share = memory_gb / most_gb if most_gb > 0 else 0.0
    return max(_SMALLEST_PX, _LARGEST_PX * math.sqrt(share))


def _legend(most_gb: float, top: float) -> str:
    """The meaning of the line and the edge, and three circles with their memory."""
    first = top
    parts = [
        f'<path class="front" d="M{PLOT_LEFT_PX} {first - 4}H{PLOT_LEFT_PX + 24}"/>',
        f'<text class="label" x="{PLOT_LEFT_PX + 32}" y="{first}">front: no image is both better and faster</text>',
        f'<g class="cost on-front"><circle cx="{PLOT_LEFT_PX + 12}" cy="{first + LEGEND_PX - 4}" r="6"/></g>',
        f'<text class="label" x="{PLOT_LEFT_PX + 32}" y="{first + LEGEND_PX}">'
        "thick edge: unbeaten in quality, time and memory</text>",
    ]
    y, x = first + LEGEND_PX + 4 + _LARGEST_PX, PLOT_LEFT_PX + 124.0
    parts.append(f'<text class="label" x="{PLOT_LEFT_PX}" y="{y + 4}">area: peak memory</text>')
    for share in (1.0, 0.5, 0.25):
        radius = _radius(share * most_gb, most_gb)
        parts.append(f'<g class="cost"><circle cx="{x + radius:.1f}" cy="{y:.1f}" r="{radius:.1f}"/></g>')
        x += 2 * radius + 5
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 4}">{share * most_gb:.2g} GB</text>')
        x += _LEGEND_GAP_PX
    return "".join(parts)


def _summary(points: Sequence[CostPoint]) -> str:
    """The text alternative: how many images there are, and the words of those on the front."""
    listed = "; ".join(points[i].words for i in _unbeaten(points, counts_memory=False)[:10])
    return f"{len(points)} images. On the front: {listed or 'none'}"
