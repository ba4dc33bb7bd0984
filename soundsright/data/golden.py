"""A few clips that are drawn without recordings: float32 `(n,)`, full scale ±1, times in seconds, rates in Hz.

Every processor and every library must give the same bytes for them, as for the sets of rounds. The speech is a
signal made of integers, so it needs no corpus. The code that draws sets resamples, joins and varies it, puts it in
rooms and mixes it with noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio, Samples
from soundsright.data.audio_files import resampled
from soundsright.data.noise_kinds import Babble, FormulaNoise, MixedNoise
from soundsright.data.products import product
from soundsright.data.recipe import PUBLISHED_RECIPE, SetTask
from soundsright.data.recordings import RecordingSet
from soundsright.data.render import Rendered, render
from soundsright.data.sources import NoiseSource, RecordedNoise, Rooms, Sources

GOLDEN_RATES_HZ = (16_000, 48_000)
_SEED = 35
_CLIPS_OF_SET = 2
_KINDS = ("pink", "wind", "hum", "brown")
_RECORDED_AT_HZ = 44_100
_RECORDED_S = 4
_UTTERANCES = 3


class GoldenSpeech:
    """Utterances at 44.1 kHz by integers: voiced syllables with a gliding pitch, and pauses. A `SpeechSource`."""

    def __len__(self) -> int:
        return _UTTERANCES

    def utterance_id(self, index: int) -> str:
        return f"golden-{index}"

    def speaker(self, index: int) -> str:
        return f"golden-speaker-{index}"

    def text(self, index: int) -> str | None:
        return None

    def read(self, index: int, sample_rate_hz: int) -> Audio:
        """One utterance of 4 s at the rate of the set."""
        return Audio(resampled(_utterance(index), _RECORDED_AT_HZ, sample_rate_hz), sample_rate_hz)


def golden_clips() -> Iterator[tuple[str, Rendered]]:
    """Two short clips for each task and rate, each with its name.

    >>> [name for name, _ in golden_clips()][:2]
    ['denoising_16000/000000', 'denoising_16000/000001']
    """
    recipe = replace(PUBLISHED_RECIPE, duration_s=(1.5, 2.0), snr_db=(0.0, 10.0))
    speech = GoldenSpeech()
    kinds: tuple[NoiseSource, ...] = (*map(FormulaNoise, _KINDS), Babble(speech))
    nothing = RecordingSet(())
    sources = Sources(
        speech, MixedNoise(RecordedNoise(nothing), kinds), Rooms(nothing, recipe.measured_rirs, recipe.rt60_s)
    )
    for task in SetTask:
        for rate in GOLDEN_RATES_HZ:
            for index in range(_CLIPS_OF_SET):
                item = render(task, rate, _SEED, index, sources=sources, recipe=recipe)
                yield f"{task}_{rate}/{item.id}", item


def library_traces() -> dict[str, str]:
    """The SHA-256 of what each library computes from known values, before any rounding, by the library's name.

    A trace can differ although every clip is right. It names the library that is to blame where a clip is wrong.
    """
    return {name: _digest(make) for name, make in _TRACES.items()}


def _digest(make: Callable[[], NDArray[np.generic]]) -> str:
    try:
        return hashlib.sha256(make().tobytes()).hexdigest()
    except Exception as error:  # noqa: BLE001 (A library that fails is one that differs.)
        return f"{type(error).__name__}: {error}"[:200]


def _numpy() -> NDArray[np.generic]:
    normal = np.random.default_rng(_SEED).standard_normal((2, 2, 999), dtype=np.float32)
    one, other = ((part[0] + 1j * part[1]).astype(np.complex64) for part in normal)
    return product(one, other)


def _scipy() -> NDArray[np.generic]:
    from scipy import fft

    spectrum = fft.rfft(_utterance(0)[:16_384])
    back: NDArray[np.float32] = fft.irfft(spectrum, 16_384)
    return np.concatenate((spectrum.view(np.float32), back))


def _soxr() -> NDArray[np.generic]:
    return resampled(_utterance(0)[:_RECORDED_AT_HZ], _RECORDED_AT_HZ, GOLDEN_RATES_HZ[0])


_TRACES: dict[str, Callable[[], NDArray[np.generic]]] = {"numpy": _numpy, "scipy": _scipy, "soxr": _soxr}


def _utterance(number: int) -> Samples:
    """Pulses of a gliding pitch below a triangular envelope, with some hiss: all by integers."""
    count = _RECORDED_S * _RECORDED_AT_HZ
    at = np.arange(count, dtype=np.int64)
    rng = np.random.default_rng((_SEED, number))
    glide_s, syllable = 0.9, 11_025 - 700 * number
    pitch_hz = 110 + 45 * number + (at // 441) % round(100 * glide_s) // 3
    phase = np.cumsum(pitch_hz) % _RECORDED_AT_HZ
    pulse = np.abs(phase * 4 - 2 * _RECORDED_AT_HZ) * 256 // _RECORDED_AT_HZ - 256
    buzz = np.where(phase * 8 < _RECORDED_AT_HZ, 400, 0) + pulse
    hiss = rng.integers(-60, 61, count)
    place = at % syllable
    envelope = np.maximum(np.minimum(place, syllable * 3 // 4 - place), 0) * 16 // syllable
    # 400 x 16 x 4 is below 2^15, so every sample is exact in float32.
    samples: Samples = ((buzz + hiss) * envelope * 4).astype(np.float32) / np.float32(32_768.0)
    return samples
