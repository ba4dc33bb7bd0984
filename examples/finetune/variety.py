"""Variations of voices and noises, for training only. Signals float32 `(n,)`, rates in Hz, levels in dB.

An utterance at another speed sounds like a speaker with a longer or shorter vocal tract (T. Ko et al., "Audio
augmentation for speech recognition", Interspeech 2015). A noise can also be reversed, filtered as by another
microphone, and mixed with a second noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soundsright.core.audio import Audio, Samples
from soundsright.core.ports import SpeechSource
from soundsright.data.audio_files import resampled
from soundsright.data.noise_kinds import levelled
from soundsright.data.sources import NoiseSegment, NoiseSource
from soundsright.data.turns import Turn

VOICE_SPEEDS = (1.0, 0.88, 0.94, 1.07, 1.15)
NOISE_OCTAVES = 0.6
"""The largest change of a noise's speed, in octaves."""


@dataclass(frozen=True, eq=False)
class VariedVoices:
    """Each utterance at each of `VOICE_SPEEDS`. Its text and its speaker stay the same."""

    voices: SpeechSource

    def __len__(self) -> int:
        return len(VOICE_SPEEDS) * len(self.voices)

    def utterance_id(self, index: int) -> str:
        speed, utterance = divmod(index, len(self.voices))
        return f"{self.voices.utterance_id(utterance)}@{VOICE_SPEEDS[speed]:g}"

    def speaker(self, index: int) -> str:
        return self.voices.speaker(index % len(self.voices))

    def text(self, index: int) -> str | None:
        return self.voices.text(index % len(self.voices))

    def read(self, index: int, sample_rate_hz: int) -> Audio:
        speed, utterance = divmod(index, len(self.voices))
        samples = self.voices.read(utterance, sample_rate_hz).samples
        return Audio(_played(samples, VOICE_SPEEDS[speed], sample_rate_hz), sample_rate_hz)


@dataclass(frozen=True, eq=False)
class VariedNoise:
    """Variations of another source's noises. One in three is mixed with a second noise."""

    noise: NoiseSource

    def draw(
        self,
        rng: np.random.Generator,
        count: int,
        sample_rate_hz: int,
        *,
        avoid: str = "",
        turn: Turn | None = None,
    ) -> NoiseSegment:
        first, samples = self._varied(rng, count, sample_rate_hz, avoid, turn)
        if rng.random() < 1 / 3:
            _, background = self._varied(rng, count, sample_rate_hz, avoid)
            samples = samples + background * 10.0 ** (rng.uniform(-15.0, 0.0) / 20.0)
        return NoiseSegment(
            first.id, levelled(samples), first.offset_s, recording=first.recording, speakers=first.speakers
        )

    def _varied(
        self, rng: np.random.Generator, count: int, sample_rate_hz: int, avoid: str, turn: Turn | None = None
    ) -> tuple[NoiseSegment, Samples]:
        speed = 2.0 ** rng.uniform(-NOISE_OCTAVES, NOISE_OCTAVES)
        segment = self.noise.draw(rng, int(np.ceil(count * speed)) + 2, sample_rate_hz, avoid=avoid, turn=turn)
        samples = _played(segment.samples, speed, sample_rate_hz)[:count]
        if rng.random() < 0.3:
            samples = samples[::-1]
        return segment, levelled(through_a_microphone(rng, samples))


def through_a_microphone(rng: np.random.Generator, samples: Samples) -> Samples:
    """The signal after a zero-phase filter with a random gain of up to ±10 dB over the octaves."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(samples.shape[0], real=True)
    octaves = np.log2(np.maximum(np.linspace(0.0, 1.0, size // 2 + 1), 2.0**-8))
    corners = np.sort(rng.uniform(-8.0, 0.0, 4))
    gain_db = np.interp(octaves, corners, rng.uniform(-10.0, 10.0, corners.size))
    filtered: Samples = irfft(rfft(samples, size) * 10.0 ** (gain_db / 20.0), size)[: samples.shape[0]]
    return filtered.astype(np.float32)


def _played(samples: Samples, speed: float, sample_rate_hz: int) -> Samples:
    return resampled(samples, round(sample_rate_hz * speed), sample_rate_hz)
