"""Copies are found by the agreement of their outputs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.copies.behaviour import agreement_db, median_agreement_db, near_copies
from soundsright.copies.duplicates import DuplicateRule

RNG = np.random.default_rng(5)
CLEAN = [RNG.standard_normal(4_000).astype(np.float32) for _ in range(5)]


def errors(seed: int, level: float = 0.2) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [(level * rng.standard_normal(len(clean))).astype(np.float32) for clean in CLEAN]


def outputs(*parts: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    return [sum((part[i] for part in parts), clean) for i, clean in enumerate(CLEAN)]


def test_agreement_follows_from_the_correlation_of_the_errors() -> None:
    """Errors that share nine tenths of their energy are correlated at 0.9: -10 lg 2(1 - 0.9) = 7 dB."""
    shared, one, other = errors(1, 0.2 * 0.9**0.5), errors(2, 0.2 * 0.1**0.5), errors(3, 0.2 * 0.1**0.5)
    assert median_agreement_db(CLEAN, outputs(shared, one), outputs(shared, other)) == pytest.approx(7.0, abs=0.4)


def test_a_quieter_or_slightly_noisy_copy_is_found() -> None:
    original = outputs(errors(1))
    quieter = [np.float32(0.3) * output for output in original]
    noisy = [output + np.float32(0.02) * error for output, error in zip(original, errors(9, 1.0), strict=True)]
    other = outputs(errors(2))
    copies = near_copies(CLEAN, {"a": original, "b": quieter, "c": noisy, "d": other})
    assert [(pair.first, pair.second) for pair in copies] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {pair.rule for pair in copies} == {DuplicateRule.NEAR_COPY}
    assert float(copies[1].evidence["agreement_db"]) > 15


def test_two_models_close_to_the_clean_speech_are_not_copies() -> None:
    assert near_copies(CLEAN, {"a": outputs(errors(1, 0.01)), "b": outputs(errors(2, 0.01))}) == []


def test_failed_clips_and_silence_are_ignored() -> None:
    silent = [np.zeros_like(clean) for clean in CLEAN]
    assert near_copies(CLEAN, {"a": [None] * 5, "b": silent, "c": silent}) == []
    assert agreement_db(CLEAN[0], CLEAN[0], CLEAN[0]) == 80.0


def test_signals_must_be_aligned() -> None:
    with pytest.raises(ValueError, match="not aligned"):
        agreement_db(CLEAN[0], CLEAN[0], CLEAN[0][:-1])
