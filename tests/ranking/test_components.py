"""Variance components: known ones are found again, and clips that cannot show a component say nothing of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.core.competition import PUBLISHED
from soundsright.ranking import (
    VarianceComponents,
    components_to_json,
    fitted_components,
    measured_components,
    shipped_components,
)

CLIPS = 120
NOISES = [str(clip % 24) for clip in range(CLIPS)]
PROMPTS = [str((clip * 7 + clip // 24) % 30) for clip in range(CLIPS)]
SPEAKERS = [str(int(prompt) % 6) for prompt in PROMPTS]
FACTORS = {"noise": NOISES, "prompt": PROMPTS, "speaker": SPEAKERS}


def differences(rng: np.random.Generator, variances: dict[str, float], clip: float) -> NDArray[np.float64]:
    values: NDArray[np.float64] = 0.3 + rng.normal(size=CLIPS) * clip**0.5
    for factor, variance in variances.items():
        codes = np.array([int(label) for label in FACTORS[factor]])
        values += rng.normal(size=codes.max() + 1)[codes] * variance**0.5
    return values


def test_the_mean_of_many_fits_is_the_truth() -> None:
    rng = np.random.default_rng(1)
    truth = {"noise": 2.0, "prompt": 1.0, "speaker": 1.0}
    fits = [fitted_components(differences(rng, truth, 1.5), FACTORS) for _ in range(300)]
    for factor, variance in truth.items():
        assert np.mean([fit.factors[factor] for fit in fits]) == pytest.approx(variance, abs=0.15)
    assert np.mean([fit.clip for fit in fits]) == pytest.approx(1.5, abs=0.05)


def test_a_balanced_one_way_set_gives_the_estimate_of_the_analysis_of_variance() -> None:
    values = np.random.default_rng(2).normal(size=(8, 5)) + np.arange(8)[:, np.newaxis]
    within = values.var(axis=1, ddof=1).mean()
    between = (values.mean(axis=1).var(ddof=1) * 5 - within) / 5
    found = fitted_components(values.ravel(), {"noise": [str(row) for row in range(8) for _ in range(5)]})
    assert found.factors["noise"] == pytest.approx(between)
    assert found.clip == pytest.approx(within)


def test_order_and_names_of_labels_change_nothing() -> None:
    values = differences(np.random.default_rng(3), {"noise": 1.0, "prompt": 1.0}, 1.0)
    order = np.random.default_rng(4).permutation(CLIPS)
    one = fitted_components(values, FACTORS)
    other = fitted_components(
        values[order], {factor: [f"x{labels[i]}" for i in order] for factor, labels in FACTORS.items()}
    )
    assert other.clip == pytest.approx(one.clip)
    assert dict(other.factors) == pytest.approx(dict(one.factors))


def test_a_factor_that_the_clips_cannot_show_is_missing_and_no_component_is_negative() -> None:
    own = [str(clip) for clip in range(CLIPS)]
    two = [str(clip % 2) for clip in range(CLIPS)]
    values = np.tile([1.0, -1.0], CLIPS // 2)[np.argsort(NOISES, kind="stable")]
    found = fitted_components(values, {"noise": NOISES, "prompt": own, "speaker": two, "room": NOISES})
    assert list(found.factors) == ["noise"]
    assert found.factors["noise"] >= 0


def test_typical_is_the_median_over_pairs_and_cautious_is_larger() -> None:
    rng = np.random.default_rng(5)
    systems = {
        name: differences(rng, {"noise": 1.0}, scale) for name, scale in zip("abcd", (1, 2, 4, 8), strict=True)
    }
    found = measured_components(systems, FACTORS, source="a test")
    assert found.pairs == 6
    assert found.groups == {"noise": 24, "prompt": 30, "speaker": 6}
    assert found.cautious.total > found.typical.total
    same = measured_components({**systems, "e": systems["a"]}, FACTORS, source="a test")
    assert same.pairs == 9


@pytest.mark.parametrize("values", [[1.0] * 20, [1.0] * 4 + [2.0], [float("nan")] + [1.0] * 19])
def test_differences_that_say_nothing_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="components need 10"):
        fitted_components(values, {"noise": [str(i % 5) for i in range(len(values))]})


def test_components_are_variances() -> None:
    for factors, clip in (({"noise": -1.0}, 2.0), ({}, 0.0), ({}, float("nan"))):
        with pytest.raises(ValueError, match="variance components"):
            VarianceComponents(factors, clip)


def test_the_package_has_components_of_every_metric_with_a_prize() -> None:
    shipped = shipped_components()
    for competition in PUBLISHED:
        for metric in competition.metric_weights:
            found = shipped[competition.id][metric]
            assert found.typical.total > 0
            assert "clips of seed" in found.source
    assert components_to_json(shipped) == components_to_json(shipped)
    noise = shipped["DENOISING_16000HZ"]["PESQ_WB"].typical
    assert noise.share("noise") > noise.share("prompt")
