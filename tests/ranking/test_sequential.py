"""The comparison can be watched witness by witness, and its error rate stays below alpha."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.ranking.sequential import (
    SequentialResult,
    Verdict,
    cluster_means,
    first_verdicts,
    log_evidences,
    sequential_comparison,
)

ALPHA = 0.05  # large, so that a test can see it


def null_differences(kind: str, shape: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "cauchy":
        return rng.standard_cauchy(shape)
    if kind == "ties":
        return rng.standard_normal(shape) * (rng.random(shape) < 0.2)
    return rng.standard_normal(shape)


@pytest.mark.parametrize("kind", ["normal", "cauchy", "ties"])
def test_an_equal_entry_watched_at_every_clip_wins_no_more_often_than_alpha(kind: str) -> None:
    won = first_verdicts(null_differences(kind, (2_000, 200), seed=1), alpha=ALPHA).better.mean()
    assert won <= ALPHA


def test_an_entry_at_the_margin_is_called_hopeless_no_more_often_than_alpha() -> None:
    differences = 0.3 + null_differences("normal", (2_000, 200), seed=2)
    assert first_verdicts(differences, margin=0.3, alpha=ALPHA).hopeless.mean() <= ALPHA


def test_a_clearly_better_challenger_stops_early() -> None:
    differences = 1.0 + null_differences("normal", (200, 400), seed=3)
    verdicts = first_verdicts(differences)
    assert verdicts.better.all()
    assert np.median(verdicts.witnesses) < 40


def test_a_clearly_worse_challenger_is_hopeless_early() -> None:
    differences = -1.0 + null_differences("normal", (200, 400), seed=4)
    verdicts = first_verdicts(differences, margin=0.1)
    assert verdicts.hopeless.all()
    assert np.median(verdicts.witnesses) < 40


def test_a_lead_under_the_margin_is_not_enough() -> None:
    result = sequential_comparison([0.01] * 500, margin=0.02)
    assert result.verdict is Verdict.HOPELESS


def test_equal_scores_decide_nothing() -> None:
    result = sequential_comparison([0.0] * 100)
    assert result == SequentialResult(Verdict.OPEN, 100, 100, 1.0, 1.0)


def test_no_clips_decide_nothing() -> None:
    assert sequential_comparison([]).verdict is Verdict.OPEN


def test_there_is_no_verdict_over_very_few_clips() -> None:
    assert sequential_comparison([5.0] * 9, alpha=0.05, smallest=10).verdict is Verdict.OPEN
    assert sequential_comparison([5.0] * 10, alpha=0.05, smallest=10).verdict is Verdict.BETTER


@settings(max_examples=50, deadline=None)
@given(
    # No measure has differences so small that scaling them loses digits.
    st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 9)), min_size=1, max_size=60),
    st.floats(1e-3, 1e3),
)
def test_the_unit_of_the_scores_does_not_matter(differences: list[float], factor: float) -> None:
    values = np.array(differences)
    np.testing.assert_allclose(
        log_evidences(values * factor, 0.0)[0], log_evidences(values, 0.0)[0], rtol=1e-6, atol=1e-6
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_the_two_sides_mirror_each_other_and_stay_finite(differences: list[float]) -> None:
    values = np.array(differences)
    better, worse = log_evidences(values, 0.0)
    mirrored, _ = log_evidences(-values, 0.0)
    assert np.isfinite(better).all()
    np.testing.assert_allclose(worse, mirrored)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=12, max_size=60), st.integers(10, 12))
def test_later_clips_never_change_what_was_decided_before_them(differences: list[float], cut: int) -> None:
    whole, part = sequential_comparison(differences), sequential_comparison(differences[:cut])
    if part.verdict is not Verdict.OPEN:
        assert whole == part


def test_a_difference_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        sequential_comparison([0.1, float("nan")])


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_an_alpha_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        sequential_comparison([0.1], alpha=alpha)


def test_equal_entries_that_differ_by_noise_win_no_more_often_than_alpha() -> None:
    rng = np.random.default_rng(5)
    by_noise = np.repeat(rng.standard_normal((2_000, 25)), 20, axis=1)
    differences = by_noise + rng.standard_normal((2_000, 500))
    witnesses, _ = cluster_means(differences, [number // 20 for number in range(500)])
    assert first_verdicts(witnesses, alpha=ALPHA).better.mean() <= ALPHA
    assert first_verdicts(differences, alpha=ALPHA).better.mean() > 2 * ALPHA  # as if each clip were a witness


def test_clips_of_one_noise_are_one_witness() -> None:
    result = sequential_comparison([1.0] * 60, clusters=[n // 10 for n in range(60)], smallest=1)
    assert (result.verdict, result.clips, result.witnesses) == (Verdict.OPEN, 60, 6)
    assert sequential_comparison([1.0] * 60, smallest=1).verdict is Verdict.BETTER


def test_clusters_of_several_sizes_count_the_same_as_witnesses() -> None:
    labels = [0] * 5 + [1] + [2] * 2
    means, sizes = cluster_means(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 1.0, 2.0]), labels)
    assert means.tolist() == [3.0, 7.0, 1.5]
    assert sizes.tolist() == [5, 1, 2]


@pytest.mark.parametrize(
    ("clusters", "message"),
    [(["a", "b", "a"], "do not follow each other"), (["a"], "1 cluster labels for 3 clips")],
)
def test_clusters_that_do_not_fit_are_refused(clusters: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sequential_comparison([0.1, 0.2, 0.3], clusters=clusters)


def test_the_level_of_a_win_can_be_stricter() -> None:
    clearly = [1.0, 0.9, 1.1, 1.2, 0.8] * 3
    assert (
        sequential_comparison(clearly, alpha=0.05).clips < sequential_comparison(clearly, alpha_better=0.001).clips
    )
