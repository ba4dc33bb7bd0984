"""Quality over time: the front, the area of circles, and labels that strangers choose."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from soundsright.services.drawing import CostPoint, cost_plot, write_drawing

HOSTILE = "</svg><script>alert(1)</script>\"'&"


def point(mark: str, quality: float, time: float, memory_gb: float = 1.0, **more: bool) -> CostPoint:
    return CostPoint(mark, f"image {mark}", quality, time, memory_gb, **more)


def drawn(points: list[CostPoint]) -> ElementTree.Element:
    return ElementTree.fromstring(cost_plot(points, title="Quality over time", x_title="real-time factor"))


def circles(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {
        group[2].text or "": group
        for group in root.iter("g")
        if "cost" in group.get("class", "") and len(group) == 3
    }


def test_the_area_of_a_circle_is_its_memory() -> None:
    marks = circles(drawn([point("1", 0.8, 0.5, 8.0), point("2", 0.7, 0.1, 2.0)]))
    radii = {mark: float(group[1].get("r", "0")) for mark, group in marks.items()}
    assert radii["1"] ** 2 == pytest.approx(4 * radii["2"] ** 2, rel=1e-2)


def test_the_front_goes_through_the_images_that_none_beats_in_quality_and_time() -> None:
    root = drawn([point("1", 0.8, 0.5), point("2", 0.7, 0.1), point("3", 0.6, 0.4), point("4", 0.8, 0.6)])
    (path, _) = [element.get("d", "") for element in root.iter("path")]
    places = {mark: (group[1].get("cx"), group[1].get("cy")) for mark, group in circles(root).items()}
    # From the fastest to the best: right, then up.
    start, x, y = re.fullmatch(r"M(\S+ \S+)H(\S+)V(\S+)", path).groups()  # type: ignore[union-attr]
    assert tuple(start.split()) == places["2"]
    assert (x, y) == places["1"]


def test_a_thick_edge_marks_what_is_unbeaten_in_memory_too() -> None:
    marks = circles(drawn([point("1", 0.8, 0.5, 4.0), point("2", 0.7, 0.6, 1.0), point("3", 0.6, 0.7, 2.0)]))
    on_front = {mark for mark, group in marks.items() if "on-front" in group.get("class", "")}
    assert on_front == {"1", "2"}


def test_the_winner_and_an_unsteady_time_look_different() -> None:
    marks = circles(drawn([point("1", 0.8, 0.5, is_best=True), point("2", 0.7, 0.6, is_unsteady=True)]))
    assert "best" in marks["1"].get("class", "")
    assert "unsteady" in marks["2"].get("class", "")


def test_the_text_alternative_names_the_images_on_the_front() -> None:
    label = drawn([point("1", 0.8, 0.5), point("2", 0.7, 0.9)]).get("aria-label", "")
    assert "2 images" in label
    assert "image 1" in label
    assert "image 2" not in label


@pytest.mark.parametrize("time", [0.0, 1e-9, 5.0])
def test_one_image_is_enough(time: float) -> None:
    assert len(circles(drawn([point("1", 0.0, time, 0.0)]))) == 1


def test_labels_are_escaped() -> None:
    drawing = cost_plot([CostPoint(HOSTILE, HOSTILE, 0.5, 0.1, 1.0)], title=HOSTILE, x_title=HOSTILE)
    ElementTree.fromstring(drawing)
    assert "<script" not in drawing


def test_the_drawing_can_be_written_as_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "costs.png"
    write_drawing(cost_plot([point("1", 0.8, 0.5), point("2", 0.7, 0.1)], title="t", x_title="x"), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_an_image_without_quality_is_never_on_the_front_however_fast_and_lean_it_is() -> None:
    idle = CostPoint("–", "idle", 0.0, 0.001, 0.01)
    useful = CostPoint("1", "useful", 0.5, 0.5, 1.0)
    drawing = cost_plot([idle, useful], title="t", x_title="RTF")
    assert 'class="cost on-front"><title>useful</title>' in drawing
    assert 'class="cost"><title>idle</title>' in drawing
    assert "On the front: useful" in drawing
    nobody = cost_plot([idle], title="t", x_title="RTF")
    assert "On the front: none" in nobody
