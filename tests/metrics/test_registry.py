from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.core.audio import Audio
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.metrics.facts import Direction, Metric, PluggedMetric
from soundsright.metrics.registry import METRICS, PLUGINS, check_packages, floors, known_metrics, metric
from soundsright.metrics.suite import score_clip
from tests.plugins import install_package

LOUDNESS_GAP = PluggedMetric(
    Metric("LEVEL_GAP", "Level gap", "dB", Direction.LOWER_IS_BETTER, 0.0, 60.0, 60.0, (16_000,), False, "a test"),
    lambda clean, enhanced, noisy: 20 * math.log10(np.std(clean.samples) / np.std(enhanced.samples)),
)


PAID = sorted({name for competition in PUBLISHED for name in competition.metric_weights})


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that installs a package with one module and its entry points in the group of metrics."""
    return functools.partial(install_package, tmp_path, monkeypatch, group=PLUGINS.group)


@pytest.fixture
def plugged(install: Callable[..., None]) -> None:
    install(
        name="plugin_gap",
        code="from tests.metrics.test_registry import LOUDNESS_GAP",
        gap="plugin_gap:LOUDNESS_GAP",
    )


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


def test_floors_are_found_by_name() -> None:
    assert floors(["PESQ_WB"]) == {"PESQ_WB": 0.999}


def test_a_floor_inside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="not the worst"):
        Metric("X", "x", "dB", Direction.HIGHER_IS_BETTER, 0.0, 1.0, 0.5, (16_000,), False, "")


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Metric("X", "x", "dB", Direction.HIGHER_IS_BETTER, 1.0, 1.0, 1.0, (16_000,), False, "")


def test_a_missing_package_names_the_extra_that_installs_it() -> None:
    needy = replace(METRICS["STOI"], packages=("math", "no_such_package"), extra="measures")
    with pytest.raises(UsageError, match=r"STOI needs no_such_package, .*pip install 'soundsright\[measures\]'"):
        check_packages(needy)
    check_packages(METRICS["STOI"])


@pytest.mark.usefixtures("plugged")
def test_a_plugged_metric_is_listed_found_and_scored_inside_its_range() -> None:
    assert "LEVEL_GAP" in known_metrics()
    rng = np.random.default_rng(0)
    clean = Audio(rng.standard_normal(8_000).astype(np.float32), 16_000)
    quiet = Audio(clean.samples / np.float32(10), 16_000)
    loud = Audio(clean.samples * np.float32(10), 16_000)
    assert score_clip(clean, quiet, None, ["level-gap"])["LEVEL_GAP"] == pytest.approx(20, abs=1e-4)
    assert score_clip(clean, loud, None, ["LEVEL_GAP"])["LEVEL_GAP"] == 0.0


def test_an_entry_point_that_is_no_metric_is_refused_by_name(install: Callable[..., None]) -> None:
    install(name="plugin_odd", code="thing = 3", odd="plugin_odd:thing")
    with pytest.raises(UsageError, match=r"'odd' of the package plugin_odd 1\.2: .*PluggedMetric"):
        known_metrics()


def test_an_entry_point_with_a_name_in_use_is_refused(install: Callable[..., None]) -> None:
    code = (
        "from soundsright.metrics import METRICS, PluggedMetric\n"
        "stoi = PluggedMetric(METRICS['STOI'], lambda *signals: 1.0)\n"
    )
    install(name="plugin_mine", code=code, mine="plugin_mine:stoi")
    with pytest.raises(UsageError, match=r"Two metrics are called 'STOI'.*'mine'"):
        known_metrics()


@given(st.sampled_from(PAID), st.floats(-60.0, 100.0), st.floats(-4e-11, 4e-11))
def test_a_difference_below_the_rounding_changes_no_score(name: str, value: float, difference: float) -> None:
    """So no decision, which reads only scores, depends on the last bits of a mathematics library."""
    each = METRICS[name]
    score = each.bounded(value)
    assert each.bounded(score + difference) == score
