"""Charts: ticks, bins, the Pareto front, and labels that strangers choose."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from soundsright.services.drawing.axes import ticks
from soundsright.services.drawing.boxes import Box, box_plot
from soundsright.services.drawing.charts import (
    Interval,
    Series,
    TradePoint,
    binned_means,
    condition_plot,
    history_plot,
    interval_plot,
    pareto_front,
    rank_bar,
    trade_plot,
)

HOSTILE = "</svg><script>alert(1)</script>\"'&"


def test_ticks_are_round_numbers_inside_the_range() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        low = float(rng.normal(scale=100))
        high = low + float(10 ** rng.uniform(-3, 3))
        marks = ticks(low, high)
        assert 2 <= len(marks) <= 9
        assert all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)
        steps = np.diff(marks)
        assert np.allclose(steps, steps[0])
        mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0] * (1 + 1e-9)))
        assert np.isclose(mantissa, (1, 2, 5)).any()


def test_no_tick_is_minus_zero() -> None:
    assert [str(mark) for mark in ticks(-1.0, 1.0)] == ["-1.0", "-0.5", "0.0", "0.5"]


def test_the_pareto_front_has_every_point_that_no_other_dominates() -> None:
    rng = np.random.default_rng(1)
    points = [(float(cost), float(value)) for cost, value in rng.uniform(size=(40, 2))]
    expected = {
        i
        for i, (cost, value) in enumerate(points)
        if not any(c <= cost and v >= value for j, (c, v) in enumerate(points) if j != i)
    }
    assert set(pareto_front(points)) == expected


@pytest.mark.parametrize(("clips", "bins"), [(5, 0), (6, 2), (9, 3), (12, 4), (100, 4)])
def test_bins_have_at_least_three_clips_and_keep_the_mean(clips: int, bins: int) -> None:
    values = [float(i) for i in range(clips)]
    means = binned_means(values, values)
    assert len(means) == bins
    assert all(x == pytest.approx(y) for x, y in means)


@pytest.mark.parametrize(
    "drawing",
    [
        interval_plot(
            [Interval(HOSTILE, 1.0, 0.5, 1.5)], title=HOSTILE, unit="dB", reference=0.0, reference_label=HOSTILE
        ),
        trade_plot([TradePoint(HOSTILE, HOSTILE, 0.1, 2.0)], title=HOSTILE, unit="dB"),
        condition_plot([Series(HOSTILE, (1.0, 2.0), (1.0, 2.0))], title=HOSTILE, unit="", x_title=HOSTILE),
        box_plot([Box(HOSTILE, (1.0, 2.0, 9.0))], title=HOSTILE, unit=HOSTILE),
        rank_bar(1, 2, 3, HOSTILE),
    ],
    ids=["intervals", "trade", "conditions", "boxes", "ranks"],
)
def test_labels_are_escaped(drawing: str) -> None:
    root = ElementTree.fromstring(drawing)
    assert not [element for element in root.iter() if element.tag == "script"]
    assert "<script" not in drawing


def test_a_mean_without_an_interval_has_no_whisker() -> None:
    drawing = interval_plot(
        [Interval("one clip", 2.0, None, None), Interval("many", 1.0, 0.5, 1.5)], title="t", unit="dB"
    )
    assert drawing.count("whisker") == 1
    assert drawing.count('class="point') == 2


def test_a_round_without_an_interval_has_a_point_and_no_bar() -> None:
    series = Series("best", (0.0, 1.0), (2.0, 3.0), (None, 2.5), (None, 3.5))
    drawing = history_plot([series], ["r1", "r2"], title="t", unit="dB")
    assert drawing.count('class="bar"') == 1
