"""Planned studies: simulated ones of the planned size find the planned effect, with the test that users get."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import nct, t

from soundsright.ranking import (
    StudyDesign,
    StudyTest,
    VarianceComponents,
    cheapest_design,
    clustered_means,
    clustered_p_values,
    enough_groups,
    fewest_clips,
    least_detectable_effect,
    paired_comparison,
    standard_error,
    study_power,
)
from soundsright.ranking.group_design import group_design
from soundsright.ranking.power import degrees_of_freedom

PESQ = VarianceComponents({"noise": 0.37, "prompt": 0.06}, 0.57)
SI_SIR = VarianceComponents({"noise": 0.65, "prompt": 0.02}, 0.33)


def labels_of(design: StudyDesign) -> list[list[int]]:
    """Clips that take turns with the noises, and with the prompts in an order of their own."""
    rng = np.random.default_rng(7)
    clips = np.arange(design.clips)
    return [(clips % design.count("noise")).tolist(), rng.permutation(clips % design.count("prompt")).tolist()]


def simulated(effect: float, parts: VarianceComponents, design: StudyDesign, studies: int) -> NDArray[np.float64]:
    """Differences `(studies, clips)` of studies with new material each."""
    rng = np.random.default_rng(11)
    rows: NDArray[np.float64] = effect + rng.normal(size=(studies, design.clips)) * parts.clip**0.5
    for factor, labels in zip(("noise", "prompt"), labels_of(design), strict=True):
        effects = rng.normal(size=(studies, max(labels) + 1)) * parts.factors[factor] ** 0.5
        rows += effects[:, labels]
    return rows


@pytest.mark.parametrize(
    ("parts", "groups"), [(PESQ, {}), (PESQ, {"prompt": 40}), (SI_SIR, {"noise": 30}), (PESQ, {"noise": 10})]
)
def test_a_planned_study_reaches_its_power_with_the_test_for_new_material(
    parts: VarianceComponents, groups: dict[str, int]
) -> None:
    effect = 0.8 if "noise" in groups else 0.4
    design = cheapest_design(effect, 0.8, parts, "noise", group_cost=5, others=groups)
    if "noise" in groups:
        clips = fewest_clips(effect, 0.8, parts, groups)
        assert clips is not None
        design = StudyDesign(clips, groups)
    assert design is not None
    found = clustered_means(simulated(effect, parts, design, 1500), labels_of(design))
    critical = t.ppf(0.975, found.degrees)
    share = np.mean(np.abs(found.mean) > critical * found.error)
    assert share == pytest.approx(study_power(effect, parts, design), abs=0.04)
    assert study_power(effect, parts, design) >= 0.8


@pytest.mark.parametrize("noises", [12, 40])
def test_the_test_for_a_title_reaches_its_power_too(noises: int) -> None:
    design, test = StudyDesign(3 * noises, {"noise": noises}), StudyTest(two_sided=False)
    effect = least_detectable_effect(0.8, PESQ, design, test)
    p = clustered_p_values(simulated(effect, PESQ, design, 800), labels_of(design))
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.05)


def test_more_noises_beat_more_clips_with_the_same_noises() -> None:
    for parts in (PESQ, SI_SIR):
        twice_the_clips = StudyDesign(200, {"noise": 20})
        twice_the_noises = StudyDesign(100, {"noise": 40})
        assert study_power(0.4, parts, twice_the_noises) > study_power(0.4, parts, twice_the_clips) + 0.1
        found = [
            np.mean(np.abs(each.mean) > t.ppf(0.975, each.degrees) * each.error)
            for design in (twice_the_clips, twice_the_noises)
            for each in [clustered_means(simulated(0.4, parts, design, 400), labels_of(design))]
        ]
        assert found[1] > found[0] + 0.1


def test_with_few_noises_no_number_of_clips_is_enough() -> None:
    assert fewest_clips(0.3, 0.9, SI_SIR, {"noise": 20}) is None
    assert study_power(0.3, SI_SIR, StudyDesign(100_000, {"noise": 20})) < 0.5
    assert study_power(9.0, SI_SIR, StudyDesign(100, {"noise": 2})) == 0
    assert study_power(9.0, SI_SIR, StudyDesign(100, {"noise": 4}), StudyTest(0.05, two_sided=False)) == 0


@pytest.mark.parametrize("noises", [3, 4, 5])
def test_a_study_that_can_never_be_significant_has_no_power(noises: int) -> None:
    """With G noises `compare` prints no p-value below 2^(1 - G), however clear the difference is."""
    design = StudyDesign(60, {"noise": noises})
    clear = 9.0 + 1e-3 * np.random.default_rng(0).normal(size=60)
    labels = [[clip % noises for clip in range(60)]]
    found = paired_comparison(list(clear), [0.0] * 60, rng=np.random.default_rng(0), labels=labels)
    assert found.p_value == 2.0 ** (1 - noises) > 0.05
    assert study_power(9.0, PESQ, design) == 0
    assert least_detectable_effect(0.9, PESQ, design) == math.inf
    assert fewest_clips(9.0, 0.9, PESQ, {"noise": noises}) is None
    assert study_power(9.0, PESQ, StudyDesign(60, {"noise": 6})) > 0.9


def test_degrees_of_freedom_are_near_those_of_the_test() -> None:
    """They are equal where factors are orthogonal, which random pairs of noises and prompts are only nearly."""
    for noises, prompts in ((20, 120), (20, 30), (60, 40), (8, 60), (120, 120)):
        design = StudyDesign(120, {"noise": noises, "prompt": prompts})
        exact = group_design(labels_of(design), 120)
        names = [name for name in ("noise", "prompt") if design.count(name) < 120]
        parts = np.array([*(PESQ.factors[name] for name in names), 0.0])
        parts[-1] = PESQ.total - parts.sum()
        if not names:
            assert degrees_of_freedom(PESQ, design) == 119
            continue
        expected = (parts @ exact.expectation) ** 2 / (parts @ exact.covariance @ parts)
        assert t.ppf(0.975, degrees_of_freedom(PESQ, design)) == pytest.approx(t.ppf(0.975, expected), rel=0.02)


def test_independent_clips_have_the_power_of_the_textbook() -> None:
    one = VarianceComponents({}, 1.0)
    for clips, effect in ((6, 1.0), (20, 0.5), (64, 0.35), (290, 0.2), (900, 0.1), (40, 5.0)):
        low, high = t.ppf([0.025, 0.975], clips - 1)
        away = effect * math.sqrt(clips)
        expected = nct.sf(high, clips - 1, away) + (nct.cdf(low, clips - 1, away) if away < 4 else 0)
        assert study_power(effect, one, StudyDesign(clips)) == pytest.approx(expected, abs=2e-4)


def test_power_grows_with_clips_noises_and_effect_and_the_least_effect_has_the_power() -> None:
    sizes = [StudyDesign(clips, {"noise": noises}) for noises in (8, 20, 80) for clips in (80, 400, 5000)]
    for test in (StudyTest(), StudyTest(0.01), StudyTest(two_sided=False)):
        powers = [[study_power(effect, PESQ, size, test) for size in sizes] for effect in (0.05, 0.2, 1.0, 20.0)]
        assert (np.diff(powers, axis=0) >= -1e-9).all()
        assert (np.diff(np.reshape(powers, (4, 3, 3)), axis=2) >= -1e-3).all()
        for size in sizes:
            least = least_detectable_effect(0.9, PESQ, size, test)
            assert study_power(least, PESQ, size, test) == pytest.approx(0.9, abs=1e-3)


def test_the_cheapest_design_costs_no_more_than_its_neighbours() -> None:
    found = cheapest_design(0.2, 0.9, PESQ, "noise", group_cost=5)
    assert found is not None
    cost = found.clips + 5 * found.groups["noise"]
    for noises in (30, 60, 90, 120, 200, 300):
        clips = fewest_clips(0.2, 0.9, PESQ, {"noise": noises})
        assert clips is None or clips + 5 * noises >= 0.99 * cost
    free = cheapest_design(0.2, 0.9, PESQ, "noise", group_cost=0)
    assert free is not None
    assert free.clips <= found.clips
    assert free.groups["noise"] > found.groups["noise"]


def test_speakers_outside_the_test_widen_the_spread() -> None:
    parts = VarianceComponents({"noise": 0.3, "speaker": 0.1}, 0.6)
    design = StudyDesign(100, {"noise": 50})
    count = enough_groups(parts, "speaker", design)
    assert count is not None
    with_them = standard_error(parts, StudyDesign(100, {"noise": 50, "speaker": count}))
    without = standard_error(VarianceComponents({"noise": 0.3}, 0.6), design)
    assert without < with_them <= 1.05 * without
    assert enough_groups(PESQ, "speaker", design) is None
