"""Strips of cells: every cell is drawn with its shape and its words."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from soundsright.services.drawing import Cell, strip_plot

KINDS = ("on time", "backup", "missing")


def test_each_kind_has_a_shape_of_its_own_and_cells_their_words() -> None:
    cells = [Cell("a", "1", "on time", "a at 1: <on time>"), Cell("b", "2", "missing", "b at 2: missing")]
    drawing = strip_plot(cells, {"a": "A&B", "b": "b"}, ["1", "2"], KINDS, title="Turns")
    root = ET.fromstring(drawing)
    titles = [element.text for element in root.iter("title")]
    assert titles == ["a at 1: <on time>", "b at 2: missing", *KINDS]
    drawn = [child for group in list(root.iter("g"))[2:] for child in group if child.tag != "title"]
    shapes = {(child.tag, child.get("height"), child.get("class")) for child in drawn}
    assert len(shapes) == len(KINDS)
    assert "A&B" in [element.text for element in root.iter("text")]


def test_a_cell_of_no_kind_and_too_many_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="'late' is no kind"):
        strip_plot([Cell("a", "1", "late", "")], {"a": "a"}, ["1"], KINDS, title="Turns")
    with pytest.raises(ValueError, match="7 kinds"):
        strip_plot([], {"a": "a"}, ["1"], list("abcdefg"), title="Turns")
