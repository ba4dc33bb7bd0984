from __future__ import annotations

import math
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.metrics import registry
from soundsright.metrics.registry import (
    METRICS,
    Direction,
    Metric,
    PluggedMetric,
    floors,
    known_metrics,
    metric,
)
from soundsright.metrics.suite import score_clip

LOUDNESS_GAP = PluggedMetric(
    Metric("LEVEL_GAP", "Level gap", "dB", Direction.LOWER_IS_BETTER, 0.0, 60.0, 60.0, (16_000,), False, "a test"),
    lambda clean, enhanced, noisy: 20 * math.log10(np.std(clean.samples) / np.std(enhanced.samples)),
)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("gap", f"{__name__}:LOUDNESS_GAP", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: LOUDNESS_GAP)
    monkeypatch.setattr(registry, "entry_points", lambda group: (point,))


def test_every_metric_that_pays_in_a_published_competition_is_known_and_allows_its_rate() -> None:
    for competition in PUBLISHED:
        for name in competition.metric_weights:
            assert competition.sample_rate_hz in METRICS[name].sample_rates_hz


def test_no_floor_is_better_than_an_honest_score() -> None:
    for each in METRICS.values():
        assert all(each.at_least_as_good(end, each.floor) for end in (each.low, each.high))


def test_names_are_found_in_either_case_and_with_hyphens() -> None:
    assert metric("pesq-wb") is METRICS["PESQ_WB"]


def test_an_unknown_metric_is_refused_with_the_known_names() -> None:
    with pytest.raises(UsageError, match=r"'STOY'.*PESQ_WB, .*ESTOI"):
        metric("STOY")


def test_floors_come_by_name() -> None:
    assert floors(["PESQ_WB"]) == {"PESQ_WB": 0.999}


def test_a_floor_inside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="not the worst"):
        Metric("X", "x", "dB", Direction.HIGHER_IS_BETTER, 0.0, 1.0, 0.5, (16_000,), False, "")


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Metric("X", "x", "dB", Direction.HIGHER_IS_BETTER, 1.0, 1.0, 1.0, (16_000,), False, "")


@pytest.mark.usefixtures("plugged")
def test_a_plugged_metric_is_listed_found_and_scored_inside_its_range() -> None:
    assert "LEVEL_GAP" in known_metrics()
    rng = np.random.default_rng(0)
    clean = Audio(rng.standard_normal(8_000).astype(np.float32), 16_000)
    quiet = Audio(clean.samples / 10, 16_000)
    loud = Audio(clean.samples * 10, 16_000)
    assert score_clip(clean, quiet, None, ["level-gap"])["LEVEL_GAP"] == pytest.approx(20, abs=1e-4)
    assert score_clip(clean, loud, None, ["LEVEL_GAP"])["LEVEL_GAP"] == 0.0


def test_an_entry_point_that_is_no_metric_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="odd", value="odd:thing", load=lambda: 3)
    monkeypatch.setattr(registry, "entry_points", lambda group: (point,))
    with pytest.raises(UsageError, match="'odd'"):
        known_metrics()


def test_an_entry_point_may_not_take_a_name_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(
        name="mine", value="mine:stoi", load=lambda: PluggedMetric(METRICS["STOI"], lambda *a: 1)
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: (point,))
    with pytest.raises(UsageError, match="Two metrics are called 'STOI'"):
        known_metrics()
