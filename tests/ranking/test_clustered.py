"""Means for new material: exact answers on small sets, an independent form of the variance, and rates of errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from soundsright.core.groups import ClipGroups
from soundsright.ranking import clustered_mean, clustered_means, clustered_p_values, least_clustered_mean

Floats = NDArray[np.float64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def crossed(
    seed: int, clips: int, rows: int, *, noises: int = 19, noise_share: float = 0.4, skewed: bool = False
) -> tuple[Floats, list[list[int]]]:
    """Rows of mean 0: effects of unequal noises and of 50 prompts, crossed at random, and of the clip."""
    generator = rng(seed)
    weights = generator.lognormal(0, 0.5, noises)
    noise = generator.choice(noises, clips, p=weights / weights.sum())
    prompt = generator.integers(0, 50, clips)

    def effects(count: int) -> Floats:
        return 1 - generator.exponential(size=(rows, count)) if skewed else generator.normal(size=(rows, count))

    values = np.sqrt(noise_share) * effects(noises)[:, noise] + np.sqrt(0.07) * effects(50)[:, prompt]
    values = values + np.sqrt(1 - noise_share - 0.07) * effects(clips)
    return np.asarray(values), [noise.tolist(), prompt.tolist()]


def test_clips_that_are_their_own_group_give_students_interval() -> None:
    values = rng().normal(3, 2, 40)
    own = clustered_mean(list(values), [range(40)])
    assert own.interval() == pytest.approx(stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values)))
    assert (own.degrees, own.effective_n) == pytest.approx((39.0, 40.0))


def test_equal_groups_count_as_one_value_each() -> None:
    noises = rng().normal(size=10)
    own = clustered_mean(list(np.repeat(noises, 20)), [np.repeat(np.arange(10), 20).tolist()])
    assert own.error == pytest.approx(stats.sem(noises))
    assert own.degrees == pytest.approx(9.0)
    assert own.effective_n == pytest.approx(10.0, rel=0.15)


def test_two_crossed_factors_add_their_variances() -> None:
    """Balanced, without noise of the clip: the analysis of variance gives the variance of the mean exactly."""
    a, b = rng(1).normal(size=8), rng(2).normal(size=12)
    values = (a[:, None] + b[None, :]).ravel()
    labels = [[i for i in range(8) for _ in range(12)], [j for _ in range(8) for j in range(12)]]
    own = clustered_mean(list(values), labels)
    assert own.error**2 == pytest.approx(a.var(ddof=1) / 8 + b.var(ddof=1) / 12)
    by_satterthwaite = own.error**4 / ((a.var(ddof=1) / 8) ** 2 / 7 + (b.var(ddof=1) / 12) ** 2 / 11)
    assert own.degrees == pytest.approx(by_satterthwaite)


def test_a_finer_factor_adds_nothing() -> None:
    values, (noise, prompt) = crossed(3, 60, 1)
    finer = [f"{group}-{clip % 2}" for clip, group in enumerate(noise)]
    alone = clustered_means(values, [noise, prompt])[0]
    both = clustered_means(values, [noise, prompt, finer])[0]
    assert (alone.error, alone.degrees) == pytest.approx((both.error, both.degrees))


def test_neither_the_order_of_clips_nor_the_names_of_groups_change_a_bit() -> None:
    for seed in range(20):
        values, labels = crossed(seed, 40 + 5 * seed, 3)
        order = rng(seed).permutation(values.shape[1])
        names = rng(seed).permutation(1000)
        moved = [[f"group {names[factor[clip]]}" for clip in order] for factor in labels]
        first, second = clustered_means(values, labels), clustered_means(values[:, order], moved)
        for name in ("mean", "error", "degrees", "skewness", "effective_n"):
            assert getattr(first, name).tolist() == getattr(second, name).tolist()


def test_numbers_in_place_of_labels_give_the_same_p_values_to_the_last_bit() -> None:
    for seed in range(20):
        values, labels = crossed(seed, 60, 2)
        own = ClipGroups(
            tuple(f"clip{(7 * clip) % 60:04d}" for clip in range(60)),
            {factor: tuple(f"{group}" for group in own) for factor, own in zip("ab", labels, strict=True)},
        )
        shown = tuple(own.numbered().factors.values())
        assert clustered_p_values(values, labels).tolist() == clustered_p_values(values, shown).tolist()


def test_the_result_of_a_row_does_not_depend_on_the_other_rows() -> None:
    values, labels = crossed(4, 100, 30)
    alone = [clustered_p_values(values[[row]], labels).item() for row in range(30)]
    assert clustered_p_values(values, labels).tolist() == alone
    assert alone == [float(f"{p:.12g}") for p in alone]


@pytest.mark.parametrize("groups", [1, 2])
def test_two_groups_say_nothing_about_new_ones(groups: int) -> None:
    noise = [clip % groups for clip in range(12)]
    own = clustered_mean([float(clip) for clip in range(12)], [noise, list(range(12))])
    assert own.interval() is None
    assert own.groups == (groups, 12)
    assert clustered_p_values(np.ones((1, 12)), [noise]).tolist() == [1.0]
    assert least_clustered_mean(np.ones((1, 12)), [noise], [0.05]).tolist() == [np.inf]


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert clustered_mean([0.1] * 30, [[clip % 3 for clip in range(30)]]).interval() == (0.1, 0.1)


@pytest.mark.parametrize(
    ("values", "message"), [([], "at least one"), ([1.0, np.nan], "finite"), ([1.0] * 3, "2 labels")]
)
def test_values_that_cannot_be_averaged_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clustered_mean(values, [["a", "b"][: len(values) or 2]] if len(values) != 0 else [])


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_very_small_and_very_large_values_are_tested_alike(scale: float) -> None:
    values, labels = crossed(6, 60, 4)
    assert clustered_p_values(values * scale, labels) == pytest.approx(clustered_p_values(values, labels), rel=1e-9)


@pytest.mark.parametrize(("clips", "rows"), [(30, 100), (100, 100), (1000, 20)])
def test_intervals_and_tests_hold_for_new_noises(clips: int, rows: int) -> None:
    covered, false = [], []
    for seed in range(15):
        values, labels = crossed(seed, clips, rows)
        means = clustered_means(values, labels)
        covered.append(np.mean(np.abs(means.mean / means.error) <= stats.t.ppf(0.975, means.degrees)))
        false.append(np.mean(clustered_p_values(values, labels) <= 0.05))
    assert 0.93 <= np.mean(covered) <= 0.98
    assert np.mean(false) <= 0.06


def test_a_long_tail_of_bad_noises_wins_no_more_often() -> None:
    false = [np.mean(clustered_p_values(*crossed(seed, 100, 100, skewed=True)) <= 0.05) for seed in range(15)]
    assert np.mean(false) <= 0.07


def test_a_clear_lead_is_found() -> None:
    values, labels = crossed(7, 100, 200)
    assert np.mean(clustered_p_values(values + 1.0, labels) <= 0.05) > 0.9


def test_the_least_mean_is_the_inverse_of_the_test() -> None:
    values, labels = crossed(8, 60, 20, skewed=True)
    levels = np.linspace(0.002, 0.3, 20)
    least = least_clustered_mean(values, labels, levels)
    centred = values - values.mean(axis=1, keepdims=True)
    assert clustered_p_values(centred + least[:, None], labels) == pytest.approx(levels)


def test_p_values_are_at_least_those_of_flipped_groups() -> None:
    values = np.ones((1, 40)) + 1e-6 * rng().normal(size=(1, 40))
    for groups in (3, 5, 8):
        labels = [[clip % groups for clip in range(40)]]
        assert clustered_p_values(values, labels).tolist() == [2.0**-groups]
        assert least_clustered_mean(values, labels, [2.0 ** -(groups + 1)]).tolist() == [np.inf]


def test_the_moments_agree_with_matrices_written_out() -> None:
    """`expectation`, `covariance` and the components' equations, against products of matrices of clips by clips."""
    from soundsright.ranking.group_design import group_design

    _, labels = crossed(9, 40, 1)
    design = group_design(labels, 40)
    centre = np.eye(40) - 1 / 40
    kinds = [np.equal.outer(f.codes, f.codes).astype(float) for f in design.factors] + [np.eye(40)]
    shared = centre @ sum(s.sign * np.equal.outer(s.codes, s.codes) for s in design.splits) @ centre
    assert design.expectation == pytest.approx([np.trace(shared @ kind) for kind in kinds])
    for i, j in itertools.product(range(3), repeat=2):
        assert design.covariance[i, j] == pytest.approx(np.trace(shared @ kinds[i] @ shared @ kinds[j]))
        assert np.linalg.inv(design.moments)[i, j] == pytest.approx(np.trace(centre @ kinds[i] @ centre @ kinds[j]))


def test_a_clear_lead_is_certain_although_the_differences_have_a_long_left_tail() -> None:
    tail = -np.log(1.0 - (np.arange(30) + 0.5) / 30)
    lead = 2.0 - tail
    labels = [[f"noise {number}" for number in range(30)]]
    assert lead.mean() / (lead.std(ddof=1) / np.sqrt(30)) > 5.5
    assert float(clustered_p_values(lead[np.newaxis], labels)[0]) < 0.01
