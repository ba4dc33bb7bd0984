"""CSIG, CBAK and COVL against a plain SciPy version of the published listing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz, toeplitz

from soundsright.core.audio import Audio
from soundsright.metrics.composite import composite, log_likelihood_ratios, weighted_spectral_slopes
from soundsright.metrics.frames import loizou_frames
from soundsright.metrics.suite import score_clip

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]


def plain_llr(clean: np.ndarray, enhanced: np.ndarray) -> float:
    def autocorrelation(x: np.ndarray) -> np.ndarray:
        return np.array([np.dot(x[: len(x) - k], x[k:]) for k in range(17)])

    def error_filter(r: np.ndarray) -> np.ndarray:
        return np.concatenate([[1.0], -solve_toeplitz(r[:16], r[1:])])

    r = autocorrelation(clean)
    a, b = error_filter(r), error_filter(autocorrelation(enhanced))
    return float(np.log((b @ toeplitz(r) @ b) / (a @ toeplitz(r) @ a)))


def test_likelihood_ratios_equal_those_of_solved_normal_equations(make_clip: MakeClip) -> None:
    clean, _, noisy = make_clip(snr_db=10)
    s, e = (loizou_frames(audio.samples, 16_000) for audio in (clean, noisy))
    loud = np.flatnonzero((s**2).sum(axis=1) > 1e-3 * (s**2).sum(axis=1).max())
    ours = log_likelihood_ratios(s, e)[loud]
    np.testing.assert_allclose(ours, [plain_llr(s[f], e[f]) for f in loud], rtol=1e-5, atol=1e-5)


def test_a_perfect_copy_has_distance_zero(make_clip: MakeClip) -> None:
    clean, _, _ = make_clip()
    s = loizou_frames(clean.samples, 16_000)
    assert np.abs(log_likelihood_ratios(s, s)).max() == 0.0
    assert np.abs(weighted_spectral_slopes(s, s)).max() == 0.0


def test_a_silent_frame_gets_the_predictor_one_and_zeros() -> None:
    n = np.arange(480)
    voiced = (np.sin(0.2 * n) + 0.5 * np.sin(0.61 * n) + 1e-3 * np.cos(1.7 * n * n))[np.newaxis]
    ratio = log_likelihood_ratios(voiced, 0 * voiced)[0]
    assert ratio > 1.0
    assert np.isfinite(log_likelihood_ratios(0 * voiced, voiced)).all()


def test_the_ratings_of_a_perfect_copy_are_the_best_there_are(make_clip: MakeClip) -> None:
    clean, _, noisy = make_clip()
    scores = score_clip(clean, clean, noisy, ["CSIG", "CBAK", "COVL"])
    assert scores == {"CSIG": 5.0, "CBAK": 5.0, "COVL": 5.0}


def test_noise_lowers_every_rating_step_by_step(make_clip: MakeClip) -> None:
    ratings = []
    for snr_db in (30, 15, 0):
        clean, _, noisy = make_clip(snr_db=snr_db)
        ratings_of_clip = composite(clean.samples, noisy.samples, 4.0 - (30 - snr_db) / 15)
        assert ratings_of_clip is not None
        ratings.append([ratings_of_clip.csig, ratings_of_clip.cbak, ratings_of_clip.covl])
    assert (np.diff(ratings, axis=0) < 0).all()


def test_an_unvoiced_spectral_slope_changes_the_rating(make_clip: MakeClip) -> None:
    clean, _, _ = make_clip()
    tilted = np.diff(clean.samples, prepend=np.float32(0))
    s, e = loizou_frames(clean.samples, 16_000), loizou_frames(tilted, 16_000)
    assert np.mean(weighted_spectral_slopes(s, e)) > 5 * np.mean(weighted_spectral_slopes(s, 2 * s))


def test_without_a_value_of_pesq_the_ratings_are_the_floor() -> None:
    rng = np.random.default_rng(0)
    clean, enhanced = (Audio(rng.standard_normal(3_000).astype(np.float32), 16_000) for _ in range(2))
    assert score_clip(clean, enhanced, None, ["COVL"]) == {"COVL": 1.0}


def test_a_48_khz_clip_is_rated_at_16_khz(make_clip: MakeClip) -> None:
    at_48 = score_clip(*make_clip(rate=48_000, seconds=3.0), ["COVL"])["COVL"]
    assert 1.0 < at_48 < 5.0


@pytest.mark.parametrize("n", [0, 479])
def test_a_signal_shorter_than_a_frame_has_no_rating(n: int) -> None:
    assert composite(np.ones(n), np.ones(n), 2.0) is None
