"""The layers and rooms of the package as SVG, drawn from the imports of the source.

In a layer of rooms, a room is drawn above those that it imports. An arrow that follows from two others is left out.
"""

from __future__ import annotations

from collections import defaultdict
from html import escape

from tests.layers import floors, module_graph, room_graph

WIDTH, MARGIN, BOX, HEIGHT = 960, 20, (104, 30), 62
PLAIN = (
    ("cli", "commands; joins adapters to services"),
    ("library", "the same for Python"),
    ("testing", "fakes of the ports, the simulator"),
)
BELOW = (("rules", "an organiser's file"), ("corpus", "private recordings"))
PURE = (("ranking", "prizes"), ("copies", "duplicates"), ("metrics", "scores"), ("data", "clips"))
CORE = (("core", "types, errors, ports"),)
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b2733}.small{font-size:11px;fill:#51606d}"
    ".layer{fill:#f3f6f8;stroke:#c9d3da}.room{fill:#fff;stroke:#0a5aa8}path{stroke:#7d8c99;fill:none}"
)


def rooms_svg() -> str:
    """The picture as text. It depends only on the source."""
    arrows = room_graph(module_graph())
    parts: list[str] = []
    y = MARGIN
    y = _row(parts, y, PLAIN)
    half = (WIDTH - 3 * MARGIN) // 2
    heights = [
        _layer(parts, arrows, name, x, y, half)
        for name, x in (("services", MARGIN), ("adapters", 2 * MARGIN + half))
    ]
    y += max(heights) + MARGIN
    for row in (BELOW, PURE, CORE):
        y = _row(parts, y, row)
    marker = (
        '<defs><marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0L6 3L0 6" stroke="#7d8c99"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img" '
        f'aria-label="Layers and rooms of the package"><style>{STYLE}</style>{marker}'
        f'<rect width="{WIDTH}" height="{y}" rx="8" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _row(parts: list[str], y: int, cells: tuple[tuple[str, str], ...]) -> int:
    """Layers without a picture of their rooms, side by side; returns where the next row begins."""
    width = (WIDTH - (len(cells) + 1) * MARGIN) // len(cells)
    for number, (name, meaning) in enumerate(cells):
        x = MARGIN + number * (width + MARGIN)
        parts.append(f'<rect class="layer" x="{x}" y="{y}" width="{width}" height="46" rx="6"/>')
        parts.append(_text(x + width / 2, y + 20, name) + _text(x + width / 2, y + 36, meaning, "small"))
    return y + 46 + MARGIN


def _layer(parts: list[str], arrows: dict[str, set[str]], layer: str, x: int, y: int, width: int) -> int:
    """One layer with its rooms by floor; returns its height."""
    inside = {
        room: {other for other in others if other.startswith(layer)}
        for room, others in arrows.items()
        if room.startswith(f"{layer}.")
    }
    by_floor = defaultdict(list)
    for room, floor in floors(inside).items():
        by_floor[floor].append(room)
    top = max(by_floor)
    height = 34 + top * HEIGHT
    parts.append(f'<rect class="layer" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
    parts.append(_text(x + width / 2, y + 20, layer))
    centres = {}
    for floor, rooms in by_floor.items():
        step = width / len(rooms)
        for number, room in enumerate(sorted(rooms)):
            centres[room] = (x + step * (number + 0.5), y + 50 + (top - floor) * HEIGHT)
    for room, others in inside.items():
        for other in sorted(_direct(inside, others)):
            (x1, y1), (x2, y2) = centres[room], centres[other]
            start, end, bend = y1 + BOX[1] / 2, y2 - BOX[1] / 2, (y1 + y2) / 2
            curve = f"M{x1:.0f} {start:.0f}C{x1:.0f} {bend:.0f} {x2:.0f} {bend:.0f} {x2:.0f} {end:.0f}"
            parts.append(f'<path d="{curve}" marker-end="url(#tip)"/>')
    for room, (cx, cy) in centres.items():
        left, upper = cx - BOX[0] / 2, cy - BOX[1] / 2
        parts.append(
            f'<rect class="room" x="{left:.0f}" y="{upper:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="5"/>'
        )
        parts.append(_text(cx, cy + 4, room.split(".")[1]))
    return height


def _direct(graph: dict[str, set[str]], others: set[str]) -> set[str]:
    """The imported rooms that no other imported room reaches."""
    return {other for other in others if not any(other in _reached(graph, o) for o in others - {other})}


def _reached(graph: dict[str, set[str]], room: str) -> set[str]:
    reached: set[str] = set()
    for other in graph[room]:
        reached |= {other} | _reached(graph, other)
    return reached


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle"{style}>{escape(words)}</text>'
