"""SI-SDR, SI-SIR and SI-SAR on signals built to have exact values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.metrics.si_sdr import energy_ratios


def orthogonal_parts(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Speech, noise and artefacts of energy one, orthogonal to each other."""
    q, _ = np.linalg.qr(rng.standard_normal((n, 3)))
    return q[:, 0], q[:, 1], q[:, 2]


@given(
    sir_db=st.floats(-40, 60),
    sar_db=st.floats(-40, 60),
    gain=st.floats(1e-3, 1e3),
    n=st.integers(8, 300),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=60)
def test_signals_of_known_ratios_measure_those_ratios(
    sir_db: float, sar_db: float, gain: float, n: int, seed: int
) -> None:
    speech, noise, artefacts = orthogonal_parts(np.random.default_rng(seed), n)
    enhanced = gain * (speech + 10 ** (-sir_db / 20) * noise + 10 ** (-sar_db / 20) * artefacts)
    ratios = energy_ratios(speech, enhanced, speech + 0.3 * noise)
    assert ratios.si_sir == pytest.approx(sir_db, abs=1e-6)
    assert ratios.si_sar == pytest.approx(sar_db, abs=1e-6)
    assert ratios.si_sdr == pytest.approx(-10 * math.log10(10 ** (-sir_db / 10) + 10 ** (-sar_db / 10)), abs=1e-6)


def test_a_perfect_copy_is_infinitely_good_and_an_orthogonal_signal_infinitely_bad() -> None:
    speech, _, _ = orthogonal_parts(np.random.default_rng(0), 64)
    assert energy_ratios(np.round(speech, 2), np.round(speech, 2), None).si_sdr == math.inf
    blocks = np.repeat(np.eye(2), 32, axis=1)
    assert energy_ratios(blocks[0], blocks[1], None).si_sdr == -math.inf


def test_sign_and_level_do_not_matter_by_definition() -> None:
    speech, noise, _ = orthogonal_parts(np.random.default_rng(0), 64)
    noisy = speech + 0.1 * noise
    assert energy_ratios(speech, -7 * noisy, noisy).si_sdr == pytest.approx(20)


def test_without_a_noisy_signal_only_si_sdr_is_defined() -> None:
    speech, noise, _ = orthogonal_parts(np.random.default_rng(0), 64)
    ratios = energy_ratios(speech, speech + noise, None)
    assert ratios.si_sdr == pytest.approx(0)
    assert ratios.si_sir is None
    assert ratios.si_sar is None


def test_without_noise_there_is_no_interference() -> None:
    speech, noise, _ = orthogonal_parts(np.random.default_rng(0), 64)
    assert energy_ratios(speech, speech + noise, speech).si_sir is None


def test_silence_has_no_ratio() -> None:
    speech, _, _ = orthogonal_parts(np.random.default_rng(0), 64)
    assert energy_ratios(speech, 0 * speech, speech).si_sdr is None
    assert energy_ratios(0 * speech, speech, speech).si_sdr is None


@pytest.mark.parametrize("scale", [1e-38, 1e30])
def test_levels_at_the_ends_of_float32_keep_their_ratio(scale: float) -> None:
    rng = np.random.default_rng(5)
    speech, noise = rng.standard_normal((2, 400)).astype(np.float32)
    near = energy_ratios(speech, speech + noise, speech + noise).si_sdr
    far = energy_ratios(speech, (speech + noise) * np.float32(scale), speech + noise).si_sdr
    assert far == pytest.approx(near, abs=1e-4)
