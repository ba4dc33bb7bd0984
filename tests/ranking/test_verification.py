"""Verification of an answer: what passes, what fails first, and numbers that any machine computes alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundsright.core.profiles import Profile
from soundsright.core.tiers import AttemptResult
from soundsright.core.tiers_rules import tiers_rules
from soundsright.ranking import (
    MAX_AGREEMENT_DB,
    OwnAnswer,
    correlation_db,
    cosine_si_sdr_db,
    error_agreement_db,
    gain_db,
    is_repeatable,
    least_repeat_db,
    output_cosine,
    pcm_sha256,
    similarity_threshold_db,
    verify_answer,
)

RATE = 16_000
RULES = tiers_rules()
Pcm = NDArray[np.int16]


def noise(seed: int, rms: float, n: int = RATE) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, rms, n)


def pcm(samples: NDArray[np.float64]) -> Pcm:
    return np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16)


CLEAN = noise(1, 3_000)
ERROR = noise(2, 300)
OWN = OwnAnswer(pcm(CLEAN), pcm(CLEAN + ERROR), RATE)


def result(samples: NDArray[np.generic], tier: str = "Gold", rate: int = RATE, repeat_db: float = 120.0) -> str:
    return verify_answer(RULES, tier, OWN, samples, rate, repeat_db=repeat_db).result


def agreeing(db: float, seed: int = 3) -> Pcm:
    """An answer whose error agrees with one's own by `db`: another part of noise is mixed into it."""
    r = 1 - 10 ** (-db / 10) / 2
    return pcm(CLEAN + r * ERROR + math.sqrt(1 - r * r) * noise(seed, 300))


def test_the_digest_of_the_worked_example() -> None:
    samples = np.array([0, 1, -1, 32_767, -32_768], np.int16)
    digest = pcm_sha256(samples, 16_000)
    assert digest[:8] + "…" + digest[-4:] == "c8a5c83a…166f"
    assert pcm_sha256(samples.astype(">i2"), 16_000) == digest
    assert pcm_sha256(samples, 48_000) != digest
    spaced = np.zeros(10, np.int16)
    spaced[::2] = samples
    assert pcm_sha256(spaced[::2], 16_000) == digest


def test_the_scales_of_the_worked_example() -> None:
    assert [cosine_si_sdr_db(c) for c in (0.70, 0.95)] == pytest.approx([-0.174, 9.664], abs=1e-3)
    assert [correlation_db(r) for r in (0.95, 0.961, 0.9842)] == pytest.approx([10.0, 11.08, 15.0], abs=5e-3)


def test_equal_samples_pass_by_their_digest_in_every_tier_and_profile() -> None:
    for profile in Profile:
        verified = verify_answer(tiers_rules(profile), "Challenger", OWN, OWN.samples[:, None], RATE)
        assert (verified.result, verified.answer_sha256) == (AttemptResult.HASH, OWN.sha256)


def test_the_first_fault_decides() -> None:
    assert result(OWN.samples.astype(np.float32)) == "format"
    assert result(OWN.samples.astype(np.int32)) == "format"
    assert result(np.stack([OWN.samples] * 2, axis=1)) == "format"
    assert result(OWN.samples, rate=48_000) == "format"
    assert result(OWN.samples[:-1]) == "length"
    assert result(np.zeros(0, np.int16)) == "length"
    assert result(pcm(1.1 * (CLEAN + ERROR))) == "gain"
    assert result(np.zeros_like(OWN.samples)) == "gain"
    assert result(pcm(CLEAN + noise(5, 300))) == "different"


@pytest.mark.parametrize(
    ("db", "tier", "passes"), [(33.2, "Gold", True), (32.8, "Gold", False), (44, "Challenger", False)]
)
def test_similar_answers_pass_by_the_threshold_of_the_tier(db: float, tier: str, passes: bool) -> None:
    samples = agreeing(db)
    verified = verify_answer(RULES, tier, OWN, samples, RATE)
    assert verified.agreement_db == pytest.approx(db, abs=0.2)
    assert verified.result == ("similar" if passes else "different")


def test_another_good_model_passes_the_cosine_but_not_the_errors() -> None:
    """Two outputs close to the clean speech are close to each other, whatever made them."""
    other = pcm(CLEAN + noise(7, 300))
    assert output_cosine(OWN.samples, other) > 0.98
    assert verify_answer(tiers_rules(Profile.DOC), "Challenger", OWN, other, RATE).result == "similar"
    assert verify_answer(RULES, "Bronze", OWN, other, RATE).result == "different"


def test_a_models_own_noise_limits_the_threshold_of_every_tier() -> None:
    assert similarity_threshold_db(RULES, "Challenger", 37.0) == 34.0
    assert similarity_threshold_db(RULES, "Bronze", 37.0) == 30.0
    assert result(agreeing(35.0), "Challenger") == "different"
    assert result(agreeing(35.0), "Challenger", repeat_db=37.0) == "similar"
    assert not is_repeatable(RULES, least_repeat_db([30.0, 11.0]))
    assert is_repeatable(RULES, least_repeat_db([]))


def test_silence_has_no_level_to_compare_but_is_silence() -> None:
    silent, loud = np.zeros(4, np.int16), np.array([1, 2, 3, 4], np.int16)
    assert gain_db(silent, silent) == 0
    assert gain_db(silent, loud) == math.inf
    assert gain_db(loud, silent) == -math.inf
    assert (output_cosine(silent, silent), output_cosine(silent, loud)) == (1, 0)


def test_an_own_answer_has_one_channel_of_16_bits() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        OwnAnswer(np.zeros(3, np.int16), np.zeros(4, np.int16), RATE)
    with pytest.raises(ValueError, match="not int16"):
        OwnAnswer(np.zeros(3, np.int16), np.zeros(3, np.float32), RATE)
    with pytest.raises(ValueError, match="no common errors"):
        error_agreement_db(np.zeros(0, np.int16), np.zeros(0, np.int16), np.zeros(0, np.int16))


SAMPLES = st.lists(st.integers(-32_768, 32_767), min_size=3, max_size=3)


@given(SAMPLES, SAMPLES, SAMPLES)
def test_the_measures_are_finite_symmetric_and_within_their_bounds(
    clean: list[int], own: list[int], answer: list[int]
) -> None:
    c, a, b = (np.array(samples, np.int16) for samples in (clean, own, answer))
    agreement = error_agreement_db(c, a, b)
    assert agreement == error_agreement_db(c, b, a)
    assert abs(agreement) <= MAX_AGREEMENT_DB
    assert (agreement == MAX_AGREEMENT_DB) == (own == answer)
    assert -1 <= output_cosine(a, b) <= 1
    verified = verify_answer(RULES, "Bronze", OwnAnswer(c, a, RATE), b, RATE)
    assert (verified.result is AttemptResult.HASH) == (own == answer)
    assert verified.agreement_db is not None
    assert math.isfinite(verified.agreement_db)
