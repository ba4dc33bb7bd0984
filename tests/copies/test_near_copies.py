"""Copies are found by the agreement of their outputs."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

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


def later(signal: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """The signal that many samples later, cut to its length."""
    return np.concatenate((np.zeros(samples, np.float32), signal))[: len(signal)]


def all_pass(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(lfilter([0.5, 1.0], [1.0, 0.5], signal), np.float32)


DISGUISES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "one sample later": lambda signal: later(signal, 1),
    "20 ms later": lambda signal: later(signal, 320),
    "20 ms earlier": lambda signal: later(signal[::-1], 320)[::-1],
    "other sign": lambda signal: -signal,
    "equaliser": lambda signal: np.asarray(lfilter([1.0, -0.6], [1.0, -0.2], signal), np.float32),
    "a part of a sample later": lambda signal: (0.6 * signal + 0.4 * later(signal, 1)).astype(np.float32),
    "all-pass": all_pass,
    "16 bits": lambda signal: (np.rint(signal * 8192) / 8192).astype(np.float32),
    "several": lambda signal: later(all_pass(np.float32(-0.5) * signal), 99),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguised_copy_is_found(disguise: str) -> None:
    original, other = outputs(errors(1)), outputs(errors(2))
    copy = [DISGUISES[disguise](output) for output in original]
    (pair,) = near_copies(CLEAN, {"a": original, "b": copy, "c": other})
    assert (pair.first, pair.second) == ("a", "b")
    assert float(pair.evidence["agreement_db"]) > 20


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguise_gives_independent_models_no_agreement(disguise: str) -> None:
    other = [DISGUISES[disguise](output) for output in outputs(errors(2))]
    agreement = median_agreement_db(CLEAN, outputs(errors(1)), other)
    assert agreement is not None
    assert agreement < 3


def test_delays_are_undone_up_to_50_ms_at_every_sample_rate() -> None:
    rng = np.random.default_rng(3)
    clean, error = rng.standard_normal((2, 48_000)).astype(np.float32)
    output = clean + np.float32(0.1) * error
    for delay, found in ((2_400, True), (2_500, False)):
        agreement = agreement_db(clean, output, later(output, delay), sample_rate_hz=48_000)
        assert agreement is not None
        assert (agreement > 40) is found


def test_outputs_that_are_not_finite_are_ignored() -> None:
    bad = [np.full_like(clean, np.nan) for clean in CLEAN]
    assert near_copies(CLEAN, {"a": bad, "b": bad, "c": outputs(errors(1))}) == []
