"""Two answers to one clip agree if their errors do, or, without errors to compare, if they are close."""

from __future__ import annotations

import numpy as np
import pytest

from soundsright.core.audio import Samples
from soundsright.services.replay.matching import match_of

RATE_HZ = 16_000


@pytest.fixture
def signals() -> tuple[Samples, Samples, Samples]:
    """Clean speech, a degraded form of it, and noise of full scale."""
    clean, noise, other = np.random.default_rng(3).standard_normal((3, RATE_HZ)).astype(np.float32)
    return 0.1 * clean, 0.1 * clean + 0.05 * noise, other


def test_the_errors_of_answers_decide(signals: tuple[Samples, Samples, Samples]) -> None:
    clean, degraded, other = signals
    answer = clean + 0.01 * other
    assert match_of(clean, degraded, answer, answer + 1e-5 * other[::-1], RATE_HZ).agrees
    match = match_of(clean, degraded, answer, clean + 0.01 * other[::-1], RATE_HZ)
    assert (match.agrees, match.least) == (False, "at least 8 dB of agreement")


def test_answers_that_only_filter_the_input_are_compared_as_they_are(
    signals: tuple[Samples, Samples, Samples],
) -> None:
    clean, degraded, other = signals
    assert match_of(clean, degraded, degraded, degraded + 1e-5 * other, RATE_HZ).agrees
    match = match_of(clean, degraded, degraded, 0.5 * degraded, RATE_HZ)
    assert (match.agrees, match.least) == (False, "at least 30 dB of closeness")


def test_silence_and_another_length_never_agree(signals: tuple[Samples, Samples, Samples]) -> None:
    clean, degraded, _ = signals
    assert not match_of(clean, degraded, np.zeros_like(clean), clean, RATE_HZ).agrees
    assert not match_of(clean, degraded, clean, np.zeros_like(clean), RATE_HZ).agrees
    assert not match_of(clean, degraded, degraded, degraded[:-1], RATE_HZ).agrees
