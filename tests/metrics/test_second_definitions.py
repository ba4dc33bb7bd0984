"""Metrics of which the field has two definitions: outside values, and independent computations of a formula."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.metrics import corrected_pesq
from soundsright.metrics.pesq import pesq
from soundsright.metrics.registry import METRICS
from soundsright.metrics.second_definitions import SECOND_DEFINITIONS
from soundsright.metrics.si_sdr import energy_ratios, span_ratios
from soundsright.metrics.snr import log_spectral_distance
from soundsright.metrics.suite import score_clip
from soundsright.metrics.urgent import urgent_log_spectral_distance
from tests.metrics.conftest import speechlike

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]


def degraded_speech(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    clean = speechlike(rng, 3, 16_000).astype(np.float32)
    noise = rng.standard_normal(len(clean))
    return clean, (clean + noise * 10 ** rng.uniform(-3.5, -1)).astype(np.float32)


# Made once with the package pesqc2 0.0.4 (github.com/audiolabs/PESQ), which needs NumPy 1 and so cannot be
# installed beside this project.
PESQC2 = {2: 2.566016912460327, 3: 3.3125364780426025, 5: 4.482544422149658, 9: 3.996013641357422}


@pytest.mark.parametrize(("seed", "theirs"), PESQC2.items())
def test_the_corrected_pesq_is_that_of_pesqc2(seed: int, theirs: float) -> None:
    clean, enhanced = degraded_speech(seed)
    assert pesq(clean, enhanced, 16_000, wide_band=True, corrected=True) == pytest.approx(theirs, abs=1e-5)


def test_the_corrected_copy_leaves_the_package_as_it_was(make_clip: MakeClip) -> None:
    clip = make_clip(seed=4)
    before = score_clip(*clip, ["PESQ_WB", "PESQ_NB"])
    corrected = score_clip(*clip, ["PESQ_WB_C2"])["PESQ_WB_C2"]
    assert corrected > before["PESQ_WB"] + 0.05
    assert score_clip(*clip, ["PESQ_WB", "PESQ_NB"]) == before


def test_a_library_without_the_table_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    corrected_pesq._corrected_library.cache_clear()
    monkeypatch.setattr(corrected_pesq, "_TABLE", "no_such_table")
    with pytest.raises(UsageError, match=r"cannot find the filter of P\.862\.2.*pip install"):
        corrected_pesq.corrected_pesq(*degraded_speech(2))


def test_the_corrected_pesq_of_a_long_clip_is_measured_in_its_own_process(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip()
    here = score_clip(*clip, ["PESQ_WB_C2"])
    monkeypatch.setattr("soundsright.metrics.pesq.LONGEST_IN_PROCESS_S", 1.0)
    assert score_clip(*clip, ["PESQ_WB_C2"]) == here


def test_an_offset_changes_si_sdr_but_not_si_snr(make_clip: MakeClip) -> None:
    clean, enhanced, _ = make_clip()
    shifted = Audio(enhanced.samples + np.float32(0.05), 16_000)
    plain, moved = (score_clip(clean, each, None, ["SI_SDR", "SI_SNR"]) for each in (enhanced, shifted))
    assert moved["SI_SNR"] == pytest.approx(plain["SI_SNR"], abs=1e-4)
    assert moved["SI_SDR"] < plain["SI_SDR"] - 1


def test_ratios_in_the_span_equal_a_projection_by_least_squares(make_clip: MakeClip) -> None:
    clean, enhanced, noisy = (audio.samples.astype(np.float64) for audio in make_clip(seed=8))
    noise = noisy - clean + 0.2 * clean  # correlates with the speech, so that the two definitions differ
    target = (enhanced @ clean) / (clean @ clean) * clean
    basis = np.stack([clean, noise], axis=1)
    projection = basis @ np.linalg.lstsq(basis, enhanced, rcond=None)[0]
    energies = [float(x @ x) for x in (target, projection - target, enhanced - projection)]
    ratios = span_ratios(clean, enhanced, clean + noise)
    assert ratios.si_sir == pytest.approx(10 * np.log10(energies[0] / energies[1]), abs=1e-6)
    assert ratios.si_sar == pytest.approx(10 * np.log10(energies[0] / energies[2]), abs=1e-6)
    assert ratios.si_sdr is not None
    assert 10 ** (-ratios.si_sdr / 10) == pytest.approx((energies[1] + energies[2]) / energies[0])
    separate = energy_ratios(clean, enhanced, clean + noise)
    assert separate.si_sdr == pytest.approx(ratios.si_sdr, abs=1e-9)
    assert abs((separate.si_sir or 0) - (ratios.si_sir or 0)) > 0.1


def test_noise_that_is_a_copy_of_the_speech_leaves_no_span() -> None:
    clean, enhanced = np.random.default_rng(0).standard_normal((2, 500)).astype(np.float32)
    signals = [Audio(x, 16_000) for x in (clean, enhanced, 2 * clean)]
    assert score_clip(signals[0], signals[1], signals[2], ["SI_SIR_SPAN"]) == {"SI_SIR_SPAN": -60.0}
    assert span_ratios(clean, enhanced, 2 * clean).si_sir is None
    assert span_ratios(0 * clean, enhanced, clean).si_sdr is None


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_the_distance_of_urgent_equals_its_formula_by_librosa(make_clip: MakeClip, rate: int) -> None:
    """The challenge's repository has no tests. This is its formula, in float32 as there."""
    librosa = pytest.importorskip("librosa", reason="librosa computes the reference")
    clean, enhanced, _ = (audio.samples for audio in make_clip(seed=6, rate=rate))
    scaled = enhanced * (np.sum(clean * enhanced) / (np.sum(enhanced**2) + 1e-8))
    n_fft, hop = int(rate * 0.032), int(rate * 0.016)
    s, e = (np.abs(librosa.stft(signal, n_fft=n_fft, hop_length=hop)) for signal in (clean, scaled))
    levels = np.log(s**2 / (e + 1e-8) ** 2 + 1e-8)
    theirs = np.mean(np.sqrt(np.mean(levels**2, axis=0)))
    assert urgent_log_spectral_distance(clean, enhanced, rate) == pytest.approx(theirs, abs=2e-4)


def test_the_two_distances_are_not_comparable(make_clip: MakeClip) -> None:
    clean, enhanced, _ = (audio.samples for audio in make_clip())
    louder = 2 * enhanced
    assert urgent_log_spectral_distance(clean, louder, 16_000) == pytest.approx(
        urgent_log_spectral_distance(clean, enhanced, 16_000), abs=1e-6
    )
    first, second = (log_spectral_distance(clean, each, 16_000) for each in (enhanced, louder))
    assert abs((first or 0) - (second or 0)) > 1


def test_a_signal_shorter_than_a_frame_still_has_a_distance_of_urgent() -> None:
    assert urgent_log_spectral_distance(np.ones(3), np.ones(3), 16_000) is not None
    assert urgent_log_spectral_distance(np.ones(0), np.ones(0), 16_000) is None


@pytest.mark.parametrize("name", ["CSIG", "CBAK", "COVL"])
def test_the_copied_script_rates_noisy_speech_higher(make_clip: MakeClip, name: str) -> None:
    clean, _, noisy = make_clip(seconds=1.0, snr_db=10)
    scores = score_clip(clean, noisy, noisy, [name, f"{name}_CMGAN"])
    assert 0.02 < scores[f"{name}_CMGAN"] - scores[name] < 1.0


def test_the_copied_scripts_rating_without_pesq_is_the_floor() -> None:
    rng = np.random.default_rng(0)
    clean, enhanced = (Audio(rng.standard_normal(3_000).astype(np.float32), 16_000) for _ in range(2))
    assert score_clip(clean, enhanced, None, ["COVL_CMGAN"]) == {"COVL_CMGAN": 1.0}


def test_every_second_definition_names_the_first_and_the_first_names_it() -> None:
    for each in SECOND_DEFINITIONS:
        first = {"SI_SNR": "SI_SDR"}.get(each.name, each.name.rsplit("_", 1)[0])
        assert first in each.definition
        assert each.name in METRICS[first].definition


def test_the_temporary_copy_is_gone_after_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    corrected_pesq._corrected_library.cache_clear()
    assert corrected_pesq.corrected_pesq(*degraded_speech(3)) > 1
    assert list(tmp_path.iterdir()) == []
