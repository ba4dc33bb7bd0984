"""Copies are found by the agreement of their outputs."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import istft, lfilter, stft

from soundsright.copies.behaviour import INPUT, agreement_db, agreements, near_copies
from soundsright.copies.duplicates import DuplicateRule

RNG = np.random.default_rng(5)
CLEAN = [RNG.standard_normal(16_000).astype(np.float32) for _ in range(3)]
NOISY = [clean + RNG.standard_normal(16_000).astype(np.float32) for clean in CLEAN]


def errors(seed: int, level: float = 0.2) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [(level * rng.standard_normal(len(clean))).astype(np.float32) for clean in CLEAN]


def outputs(*parts: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    return [sum((part[i] for part in parts), clean) for i, clean in enumerate(CLEAN)]


def median_agreement_db(a: list[NDArray[np.float32]], b: list[NDArray[np.float32]]) -> float:
    return agreements(CLEAN, NOISY, {"a": a, "b": b}).pairs["a", "b"]


def test_agreement_follows_from_the_correlation_of_the_errors() -> None:
    """Errors that share nine tenths of their energy are correlated at 0.9: -10 lg 2(1 - 0.9) = 7 dB."""
    shared, one, other = errors(1, 0.2 * 0.9**0.5), errors(2, 0.2 * 0.1**0.5), errors(3, 0.2 * 0.1**0.5)
    assert median_agreement_db(outputs(shared, one), outputs(shared, other)) == pytest.approx(7.0, abs=0.6)


def test_a_quieter_or_slightly_noisy_copy_is_found() -> None:
    original = outputs(errors(1))
    quieter = [np.float32(0.3) * output for output in original]
    noisy = [output + np.float32(0.02) * error for output, error in zip(original, errors(9, 1.0), strict=True)]
    other = outputs(errors(2))
    copies = near_copies(CLEAN, NOISY, {"a": original, "b": quieter, "c": noisy, "d": other})
    assert [(pair.first, pair.second) for pair in copies] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {pair.rule for pair in copies} == {DuplicateRule.NEAR_COPY}
    assert float(copies[1].evidence["agreement_db"]) > 15


def test_two_models_close_to_the_clean_speech_are_not_copies() -> None:
    assert near_copies(CLEAN, NOISY, {"a": outputs(errors(1, 0.01)), "b": outputs(errors(2, 0.01))}) == []


def test_failed_clips_and_silence_are_ignored() -> None:
    silent = [np.zeros_like(clean) for clean in CLEAN]
    assert near_copies(CLEAN, NOISY, {"a": [None] * 3, "b": silent, "c": silent}) == []


def test_two_outputs_that_are_the_clean_speech_are_copies() -> None:
    assert near_copies(CLEAN, NOISY, {"a": CLEAN, "b": CLEAN})


def test_signals_must_be_aligned() -> None:
    with pytest.raises(ValueError, match="not aligned"):
        agreement_db(CLEAN[0], NOISY[0], CLEAN[0], CLEAN[0][:-1])


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
    (pair,) = near_copies(CLEAN, NOISY, {"a": original, "b": copy, "c": other})
    assert (pair.first, pair.second) == ("a", "b")
    assert float(pair.evidence["agreement_db"]) > 20


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguise_gives_independent_models_no_agreement(disguise: str) -> None:
    other = [DISGUISES[disguise](output) for output in outputs(errors(2))]
    assert median_agreement_db(outputs(errors(1)), other) < 3


def test_delays_are_undone_up_to_50_ms_at_every_sample_rate() -> None:
    rng = np.random.default_rng(3)
    clean, error, noise = rng.standard_normal((3, 96_000)).astype(np.float32)
    output = clean + np.float32(0.1) * error
    for delay, found in ((2_400, True), (2_600, False)):
        agreement = agreement_db(clean, clean + noise, output, later(output, delay), sample_rate_hz=48_000)
        assert agreement is not None
        assert (agreement > 40) is found


@pytest.mark.parametrize("late", [0, 123])
def test_a_copy_that_is_mixed_with_the_input_is_found_also_if_it_is_late(late: int) -> None:
    original = outputs(errors(1))
    mixed = [0.85 * later(a, late) + np.float32(0.15) * y for a, y in zip(original, NOISY, strict=True)]
    (pair,) = near_copies(CLEAN, NOISY, {"a": original, "other": outputs(errors(2)), "mixed": mixed})
    assert (pair.first, pair.second, pair.evidence.get("mixed_with")) == ("a", "mixed", INPUT if late else None)
    assert float(pair.evidence["agreement_db"]) > 25


def test_the_mean_of_two_outputs_is_a_copy_of_its_larger_part_and_the_parts_are_not() -> None:
    a, b = outputs(errors(1)), outputs(errors(2, 0.3))
    mixed = [0.6 * one + np.float32(0.4) * another for one, another in zip(a, b, strict=True)]
    likenesses = near_copies(CLEAN, NOISY, {"a": a, "b": b, "other": outputs(errors(3)), "mixed": mixed})
    assert [(pair.first, pair.second, pair.evidence["mixed_with"]) for pair in likenesses] == [("a", "mixed", "b")]
    assert not near_copies(CLEAN, NOISY, {"a": a, "b": b, "other": outputs(errors(3))})


@pytest.mark.parametrize(("part", "hz"), [(0.1, 4), (0.3, 1)])
def test_a_copy_whose_level_swings_is_found(part: float, hz: float) -> None:
    swing = (1 + part * np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000)).astype(np.float32)
    original = outputs(errors(1))
    assert near_copies(CLEAN, NOISY, {"a": original, "b": [output * swing for output in original]})
    assert not near_copies(CLEAN, NOISY, {"a": original, "b": [output * swing for output in outputs(errors(2))]})


def suppressed(depth_db: float, seed: int, *, bins_db: float = 0.0) -> list[NDArray[np.float32]]:
    """The input with an enhancer's own errors in bands over time, and random gains in single bins."""
    own = np.random.default_rng(seed)
    bins = np.random.default_rng([seed, 1])
    found = []
    for noisy in NOISY:
        _, _, spectrum = stft(noisy, 16_000, nperseg=512)
        coarse = np.repeat(np.repeat(own.standard_normal((17, 20)), 16, axis=0), 4, axis=1)
        gains_db = depth_db * coarse[: spectrum.shape[0], : spectrum.shape[1]]
        gains_db = gains_db + bins_db * bins.standard_normal(spectrum.shape)
        signal = istft(spectrum * 10 ** (gains_db / 20), 16_000, nperseg=512)[1][: len(noisy)]
        found.append(signal.astype(np.float32))
    return found


def test_a_copy_with_random_gains_in_every_bin_is_found_by_its_levels_in_bands() -> None:
    original, copy = suppressed(4.0, 1), suppressed(4.0, 1, bins_db=2.5)
    assert median_agreement_db(original, copy) < 8
    (found,) = near_copies(CLEAN, NOISY, {"a": original, "b": copy, "c": suppressed(4.0, 2)})
    assert (found.first, found.second, found.evidence["compared"]) == ("a", "b", "levels in bands")


def test_an_entry_that_could_not_be_read_needs_less_agreement() -> None:
    shared, one, other = errors(1, 0.2 * 0.9**0.5), errors(2, 0.2 * 0.1**0.5), errors(3, 0.2 * 0.1**0.5)
    entries = {"a": outputs(shared, one), "b": outputs(shared, other)}
    assert near_copies(CLEAN, NOISY, entries) == []
    (pair,) = near_copies(CLEAN, NOISY, entries, unread={"b"})
    assert pair.evidence["threshold_db"] == "6"


def test_hum_outside_the_band_of_speech_hides_no_copy() -> None:
    original = outputs(errors(1))
    hum = np.float32(3) * np.sin(2 * np.pi * 40 * np.arange(16_000) / 16_000).astype(np.float32)
    assert near_copies(CLEAN, NOISY, {"a": original, "b": [output + hum for output in original]})


def test_no_output_disturbs_the_comparison_of_others() -> None:
    """Outputs without a defined filter: an impulse, a tone, a constant, tiny and huge values, the input itself."""
    time = np.arange(16_000)
    impulse = np.where(time == 8_000, np.float32(1), np.float32(0))
    tone = np.sin(2 * np.pi * 1_000 * time / 16_000).astype(np.float32)
    hostile: dict[str, Sequence[NDArray[np.float32] | None]] = {
        "impulse": [impulse] * 3,
        "tone": [tone] * 3,
        "constant": [np.ones(16_000, np.float32)] * 3,
        "tiny": [clean * np.float32(1e-38) for clean in CLEAN],
        "huge": [clean * np.float32(1e37) for clean in CLEAN],
        "input": NOISY,
        "failed": [None] * 3,
    }
    original = outputs(errors(1))
    copy = [later(output, 3) for output in original]
    entries = {"a": original, **hostile, "copy": copy}
    with np.errstate(all="raise", under="ignore"):
        likenesses = near_copies(CLEAN, NOISY, entries)
    assert near_copies(CLEAN, NOISY, {"a": original, "copy": copy})[0] in likenesses
    assert not any({"a", "input", "impulse", "tone"} >= {pair.first, pair.second} for pair in likenesses)


def test_clips_that_are_too_short_to_compare_are_ignored() -> None:
    short = [clean[:3_000] for clean in CLEAN]
    assert near_copies(short, short, {"a": short, "b": short}) == []
    assert near_copies([], [], {"a": [], "b": []}) == []
    assert near_copies(CLEAN, NOISY, {"a": NOISY, "b": NOISY}) == []


def test_only_the_first_clips_are_searched_for_mixtures() -> None:
    a, b = outputs(errors(1)), outputs(errors(2))
    mixed: list[NDArray[np.float32]] = [(one + another) / np.float32(2) for one, another in zip(a, b, strict=True)]
    entries = {"a": a, "b": b, "mixed": mixed}
    assert agreements(CLEAN, NOISY, entries, examined_clips=0).mixtures == {}
    assert set(agreements(CLEAN, NOISY, entries, examined_clips=1).mixtures) <= {
        ("mixed", "a", "b"),
        ("mixed", "b", "a"),
    }


def test_outputs_that_are_not_finite_are_ignored() -> None:
    bad = [np.full_like(clean, np.nan) for clean in CLEAN]
    assert near_copies(CLEAN, NOISY, {"a": bad, "b": bad, "c": outputs(errors(1))}) == []


def test_entries_that_all_return_their_input_stop_no_round() -> None:
    noisy = outputs(errors(1))
    assert not agreements(CLEAN, noisy, {"alice": noisy, "bob": noisy}).pairs
