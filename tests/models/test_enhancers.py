"""Each real model does what its card says, on the recordings that ship with the project."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.competition import competition_by_id
from soundsright.data.clips import SetRecipe, draw_clip
from soundsright.data.corpora import Corpus
from soundsright.data.mixing import looped, mix_at_snr
from soundsright.metrics.suite import score_clip
from tests.models.conftest import ImportModel

Samples = NDArray[np.float32]

MODELS = Path(__file__).parents[2] / "models"
LEAST_GAIN_DB = {
    "deepfilternet3": 5.0,
    "dtln": 6.0,
    "gtcrn": 5.0,
    "nsnet2": 3.0,
    "rnnoise": 3.0,
    "spectral-gate": 3.0,
    "webrtc": 0.5,
}
"""What each denoiser must add to the SI-SDR at 5 dB SNR: well below what it does add, well above what would be left
with a wrong delay, state or scale."""

REAL = (*LEAST_GAIN_DB, "wpe")
RATES_HZ = (16_000, 48_000)

every_model = pytest.mark.parametrize("name", REAL)
both_rates = pytest.mark.parametrize("rate_hz", RATES_HZ)


@cache
def noisy_speech(rate_hz: int) -> tuple[tuple[Audio, Audio], ...]:
    """Pairs of clean and noisy speech: 3 s of the two longest recordings, with engine noise at 5 dB SNR."""
    corpus = Corpus.open()
    speech, noise = corpus.speech_for(rate_hz), corpus.noise_for(rate_hz)
    longest = sorted(range(len(speech)), key=speech.duration_s)[-2:]
    engines = [i for i, recording in enumerate(noise.recordings) if "engine" in recording.id][:2]
    pairs = []
    for voice, engine in zip(longest, engines, strict=True):
        clean = speech.samples(voice, rate_hz)[: 3 * rate_hz]
        around = looped(noise.samples(engine, rate_hz), len(clean), rate_hz)
        mixture = mix_at_snr(clean, around, snr_db=5.0, sample_rate_hz=rate_hz)
        signals = [Audio(on_pcm16_grid(x), rate_hz) for x in (mixture.clean, mixture.noisy)]
        pairs.append((signals[0], signals[1]))
    return tuple(pairs)


@cache
def reverberant_speech(rate_hz: int) -> tuple[tuple[Audio, Audio], ...]:
    """Pairs of dry and reverberant speech, in rooms of everyday size."""
    recipe = SetRecipe(rt60_s=(0.4, 0.8), duration_s=(2.5, 3.0))
    competition, corpus = competition_by_id(f"DEREVERBERATION_{rate_hz}HZ"), Corpus.open()
    clips = (draw_clip(competition, 2, i, corpus=corpus, recipe=recipe) for i in range(3))
    return tuple((clip.clean, clip.degraded) for clip in clips)


def mean_gains(
    enhance: Callable[[NDArray[np.float32], int], NDArray[np.float32]], pairs: Iterable[tuple[Audio, Audio]]
) -> dict[str, float]:
    """By how much the model raises the scores of the degraded signals, by metric."""
    gains: dict[str, list[float]] = {"ESTOI": [], "SI_SDR": []}
    for clean, degraded in pairs:
        enhanced = Audio(enhance(degraded.samples, degraded.sample_rate_hz), degraded.sample_rate_hz)
        before, after = (score_clip(clean, audio, names=list(gains)) for audio in (degraded, enhanced))
        for metric in gains:
            gains[metric].append(after[metric] - before[metric])
    return {metric: float(np.mean(values)) for metric, values in gains.items()}


def lag(reference: Samples, signal: Samples) -> int:
    """The delay of the signal in samples, from the peak of the cross-correlation."""
    n = 2 * len(reference)
    correlation = np.fft.irfft(np.fft.rfft(signal, n) * np.conj(np.fft.rfft(reference, n)), n)
    peak = int(np.argmax(correlation))
    return peak if peak < n // 2 else peak - n


@both_rates
@pytest.mark.parametrize("name", LEAST_GAIN_DB)
def test_a_denoiser_raises_si_sdr_over_the_noisy_input(import_model: ImportModel, name: str, rate_hz: int) -> None:
    assert mean_gains(import_model(name).enhance, noisy_speech(rate_hz))["SI_SDR"] > LEAST_GAIN_DB[name]


@both_rates
def test_wpe_brings_reverberant_speech_closer_to_the_dry_speech(import_model: ImportModel, rate_hz: int) -> None:
    gains = mean_gains(import_model("wpe").enhance, reverberant_speech(rate_hz))
    assert gains["ESTOI"] > 0.01
    assert gains["SI_SDR"] > 0.1


@both_rates
@every_model
def test_clean_speech_comes_back_without_delay(import_model: ImportModel, name: str, rate_hz: int) -> None:
    clean = noisy_speech(rate_hz)[0][0].samples
    assert abs(lag(clean, import_model(name).enhance(clean, rate_hz))) <= rate_hz // 16_000


@both_rates
@every_model
def test_the_same_clip_gives_the_same_samples_after_other_clips(
    import_model: ImportModel, name: str, rate_hz: int
) -> None:
    enhance = import_model(name).enhance
    first, second = (noisy.samples for _, noisy in noisy_speech(rate_hz))
    before = enhance(first, rate_hz)
    enhance(second, rate_hz)
    np.testing.assert_array_equal(enhance(first, rate_hz), before)


@both_rates
@every_model
@pytest.mark.parametrize("length", [1, 333, 16_001])
def test_length_type_and_input_are_kept(import_model: ImportModel, name: str, rate_hz: int, length: int) -> None:
    rng = np.random.default_rng(length)
    audio = (0.1 * rng.standard_normal(length)).astype(np.float32)
    original = audio.copy()
    enhanced = import_model(name).enhance(audio, rate_hz)
    assert enhanced.shape == (length,)
    assert enhanced.dtype == np.float32
    assert np.isfinite(enhanced).all()
    np.testing.assert_array_equal(audio, original)


@both_rates
@every_model
def test_digital_silence_stays_silent(import_model: ImportModel, name: str, rate_hz: int) -> None:
    assert np.abs(import_model(name).enhance(np.zeros(8_000, np.float32), rate_hz)).max() < 1e-4


@pytest.mark.parametrize("hop", [256, 128])
def test_stft_and_back_is_the_signal_to_the_last_sample(import_model: ImportModel, hop: int) -> None:
    audio = import_model("spectral-gate", "audio")
    signal = np.random.default_rng(0).standard_normal(5_001).astype(np.float32)
    window = audio.sqrt_hann(512)
    again = audio.istft(audio.stft(signal, window, hop), window, hop, len(signal))
    np.testing.assert_allclose(again, signal, atol=1e-5)


def test_shipped_weights_are_those_that_their_card_names() -> None:
    for name in ("dtln", "gtcrn"):
        card = dict(
            re.findall(r"\| `([^`]+\.onnx)` \| `([0-9a-f]{64})` \|", (MODELS / name / "README.md").read_text())
        )
        weights = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (MODELS / name).glob("*.onnx")
        }
        assert weights == card


def test_every_folder_is_a_whole_submission() -> None:
    folders = sorted(path for path in MODELS.iterdir() if path.is_dir())
    assert len(folders) >= 13
    for folder in folders:
        for file in (
            "Dockerfile",
            "README.md",
            "requirements.txt",
            "app/__init__.py",
            "app/enhance.py",
            "app/server.py",
        ):
            assert (folder / file).is_file(), f"{folder.name} lacks {file}"
        assert (folder / "README.md").read_text().startswith("---\nlicense: ")
        dockerfile = (folder / "Dockerfile").read_text()
        assert '\nCMD ["python", "-m", "app.server"]\n' in dockerfile
        assert re.search(r"^USER (?!0|root)", dockerfile, re.MULTILINE)
