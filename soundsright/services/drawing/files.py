"""Drawings as files: SVG directly, PDF and PNG by matplotlib from the same drawing and style sheet.

This module reads only the SVG that `charts` and `boxes` write: lines, rectangles, circles, polygons, text, and
paths of M, L, H and V, styled by class. Lengths are in CSS pixels, 96 per inch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from soundsright.core.errors import UsageError
from soundsright.services.drawing.charts import standalone, style_sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".pdf", ".png")
_PX_PER_INCH = 96.0
_PT_PER_PX = 72.0 / _PX_PER_INCH
_PNG_DPI = 200
_Style = dict[str, str]
_Ancestry = tuple[tuple[str, frozenset[str]], ...]


def checked_suffix(path: Path) -> None:
    """Check that a drawing can be written to a file of this name. Call it before long work.

    Raises:
        UsageError: the name ends in none of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        endings = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise UsageError(f"A drawing cannot be written to {path}", f"Choose a name that ends in {endings}.")


def write_drawing(drawing: str, path: Path) -> None:
    """Write a drawing in the format that the file name ends in, with the colours for light backgrounds.

    Raises:
        UsageError: the ending is unknown, matplotlib is missing, or the file cannot be written.
    """
    checked_suffix(path)
    try:
        if path.suffix == ".svg":
            path.write_text(standalone(drawing), encoding="utf-8")
        else:
            _write_with_matplotlib(drawing, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})", "Choose another file.") from error


def _write_with_matplotlib(drawing: str, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            f"Writing {path} needs matplotlib, which is not installed",
            "Run `pip install soundsright`, or choose a name that ends in .svg.",
        ) from error
    # Safe to parse: we wrote this markup, labels are escaped, and it has no entities or references.
    root = ElementTree.fromstring(drawing)
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    figure = Figure(figsize=(width / _PX_PER_INCH, height / _PX_PER_INCH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    rules = list(_rules(style_sheet("plots.css")))
    for order, (element, ancestry, drop) in enumerate(_elements(root, (), 0.0)):
        _draw(axes, element, _style(rules, ancestry), drop, order)
    # Leave out the date, so that the same drawing gives the same bytes.
    figure.savefig(path, dpi=_PNG_DPI, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)


def _elements(
    element: ElementTree.Element, above: _Ancestry, drop: float
) -> Iterator[tuple[ElementTree.Element, _Ancestry, float]]:
    """Each element, the tags and classes from the root to it, and the vertical offset of its `<svg>`."""
    ancestry = (*above, (element.tag, frozenset(element.get("class", "").split())))
    if element.tag == "svg":
        drop += float(element.get("y", 0))
    yield element, ancestry, drop
    for child in element:
        yield from _elements(child, ancestry, drop)


def _rules(sheet: str) -> Iterator[tuple[list[tuple[str, frozenset[str]]], _Style]]:
    """Each selector as steps of (tag, classes), with its declarations. Rules for dark screens are left out."""
    sheet = re.sub(r"/\*.*?\*/|@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", sheet, flags=re.DOTALL)
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", sheet):
        style = dict(re.findall(r"([\w-]+):\s*([^;]+)", body))
        for selector in selectors.split(","):
            steps = [step.split(".") for step in selector.split()]
            yield [(step[0], frozenset(step[1:])) for step in steps], style


def _style(rules: list[tuple[list[tuple[str, frozenset[str]]], _Style]], ancestry: _Ancestry) -> _Style:
    """The declarations of an element, with variables replaced. Later rules override earlier ones."""
    variables: _Style = {}
    own: _Style = {}
    for depth in range(1, len(ancestry) + 1):
        for steps, style in rules:
            if _matches(steps, ancestry[:depth]):
                variables |= {name: value for name, value in style.items() if name.startswith("--")}
                if depth == len(ancestry):
                    own |= style
    for _ in range(2):
        own = {k: re.sub(r"var\((--[\w-]+)\)", lambda m: variables[m[1]], v) for k, v in own.items()}
    return own


def _matches(steps: list[tuple[str, frozenset[str]]], ancestry: _Ancestry) -> bool:
    def fits(step: tuple[str, frozenset[str]], at: tuple[str, frozenset[str]]) -> bool:
        return step[0] in ("", at[0]) and step[1] <= at[1]

    if not fits(steps[-1], ancestry[-1]):
        return False
    above = iter(ancestry[:-1])
    return all(any(fits(step, at) for at in above) for step in steps[:-1])


def _draw(axes: Axes, element: ElementTree.Element, style: Mapping[str, str], drop: float, order: int) -> None:
    from matplotlib import patches

    def number(name: str) -> float:
        return float(element.get(name, 0))

    if element.tag == "line":
        xs, ys = (number("x1"), number("x2")), (number("y1") + drop, number("y2") + drop)
        axes.plot(xs, ys, **_stroke(style), zorder=order, scalex=False, scaley=False, solid_capstyle="butt")
    elif element.tag == "path":
        points = [(x, y + drop) for x, y in _path(element.attrib["d"])]
        axes.plot(*zip(*points, strict=True), **_stroke(style), zorder=order, scalex=False, scaley=False)
    elif element.tag == "rect":
        corner = (number("x"), number("y") + drop)
        axes.add_patch(patches.Rectangle(corner, number("width"), number("height"), **_fill(style), zorder=order))
    elif element.tag == "circle":
        axes.add_patch(
            patches.Circle((number("cx"), number("cy") + drop), number("r"), **_fill(style), zorder=order)
        )
    elif element.tag == "polygon":
        corners = [tuple(map(float, pair.split(","))) for pair in element.attrib["points"].split()]
        axes.add_patch(patches.Polygon([(x, y + drop) for x, y in corners], **_fill(style), zorder=order))
    elif element.tag == "text" and element.text:
        side = {"middle": "center", "end": "right"}.get(element.get("text-anchor", ""), "left")
        size = re.search(r"([\d.]+)px", style.get("font-size") or style.get("font", "12px"))
        axes.text(
            number("x"),
            number("y") + drop,
            # Matplotlib would read text between dollar signs as mathematics.
            element.text.replace("$", r"\$"),
            ha=side,
            zorder=order,
            va="baseline",
            color=style.get("fill", "black"),
            fontsize=float(size[1]) * _PT_PER_PX if size else 9.0,
            fontweight="bold" if "font-weight" in style else "normal",
        )


def _path(text: str) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([MLHV])([^MLHV]*)", text):
        values = [float(n) for n in numbers.split()]
        if command == "H":
            points.append((values[0], points[-1][1]))
        elif command == "V":
            points.append((points[-1][0], values[0]))
        else:
            points.append((values[0], values[1]))
    return points


def _stroke(style: Mapping[str, str]) -> dict[str, Any]:
    dashed = [float(n) for n in style.get("stroke-dasharray", "").split()]
    width = float(style.get("stroke-width", 1)) * _PT_PER_PX
    pattern: Any = (0, [n * _PT_PER_PX / width for n in dashed]) if dashed else "solid"
    return {"color": style.get("stroke", "none"), "linewidth": width, "linestyle": pattern}


def _fill(style: Mapping[str, str]) -> dict[str, Any]:
    from matplotlib.colors import to_rgba

    fill = style.get("fill", "black")
    return {
        "facecolor": to_rgba(fill, float(style.get("fill-opacity", 1)) if fill != "none" else 0),
        "edgecolor": style.get("stroke", "none"),
        "linewidth": float(style.get("stroke-width", 1)) * _PT_PER_PX,
    }
