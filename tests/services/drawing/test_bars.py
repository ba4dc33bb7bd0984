"""Bars: each kind of outcome has a filling of its own, and a histogram counts every value once."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from soundsright.services.drawing import Bar, histogram, stacked_bars

KINDS = ("hash", "similar", "failed")


def test_a_column_has_its_words_and_a_part_for_each_kind_that_occurs() -> None:
    bars = [Bar("7", (18, 0, 2), "interval 7: <18>"), Bar("8", (0, 0, 0), "interval 8: none")]
    root = ET.fromstring(stacked_bars(bars, KINDS, title="Answers", x_title="interval"))
    columns = root.findall("g")
    assert [column.findtext("title") for column in columns] == ["interval 7: <18>", "interval 8: none"]
    first = {each.get("class"): float(each.get("height", "0")) for each in columns[0].findall("rect")}
    assert set(first) == {"k0", "k2"}
    assert first["k0"] == pytest.approx(9 * first["k2"], rel=0.02)
    legend = [each.text for each in root.findall("text") if each.get("class") == "label"]
    assert legend == list(KINDS)


def test_a_histogram_counts_every_value_once() -> None:
    values = [0.0, 0.01, 0.5, 0.5, 11.9, 12.0]
    root = ET.fromstring(histogram(values, title="Time", unit="s"))
    words = [str(group.findtext("title")) for group in root.findall("g")]
    assert sum(int(each.rpartition(": ")[2]) for each in words) == len(values)
    assert len(words) <= 24
    assert re.fullmatch(r"[\d.]+ to [\d.]+ s: \d+", words[0])


@pytest.mark.parametrize("values", [[0.0], [1e-9], [3.0] * 5, [1e6, 0.1]])
def test_a_histogram_of_odd_values_is_drawn(values: list[float]) -> None:
    assert ET.fromstring(histogram(values, title="Time", unit="s")).findall("g")


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        histogram([float("nan")], title="t", unit="s")
    with pytest.raises(ValueError, match="at most 3 kinds"):
        stacked_bars([], KINDS, title="t", x_title="x")
    with pytest.raises(ValueError, match="2 numbers for 3 kinds"):
        stacked_bars([Bar("1", (1, 2), "")], KINDS, title="t", x_title="x")
