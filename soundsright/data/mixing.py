"""Signals are float, shape `(n,)`, full scale ±1; levels in dB, times in seconds.

Adds noise to speech at a signal-to-noise ratio, loops short noise, and keeps mixtures below full scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.data.levels import SILENCE_DB, active_level, gain_to, power_db

PEAK = 0.99
"""The largest absolute sample value in a set."""

CROSS_FADE_S = 0.05


@dataclass(frozen=True, eq=False)
class Mixture:
    """Speech and mixture, float64 `(n,)`, and the gains that were applied to speech and noise."""

    clean: NDArray[np.float64]
    noisy: NDArray[np.float64]
    speech_gain: float
    noise_gain: float


def looped(segment: Samples, count: int, sample_rate_hz: int) -> Samples:
    """The segment repeated with a cross-fade of equal power until it fills `count` samples.

    >>> looped(np.ones(400, dtype=np.float32), 1_000, 1_000).shape
    (1000,)
    """
    length = segment.shape[0]
    if length >= count:
        return segment[:count]
    fade = min(round(CROSS_FADE_S * sample_rate_hz), length // 2)
    ramp = np.sin(np.linspace(0.0, np.pi / 2.0, fade)).astype(np.float32)
    piece = segment.copy()
    if fade:
        # Every joint overlaps the end with the start, so compute it once.
        piece[:fade] = segment[:fade] * ramp + segment[length - fade :] * ramp[::-1]
    period = piece[: length - fade]
    repeats = -(-count // max(1, period.shape[0])) + 1
    out: Samples = np.tile(period, repeats)[:count]
    if fade:
        # The first repetition has no predecessor to fade from.
        head = min(fade, count)
        out[:head] = segment[:head]
    return out


def mix_at_snr(
    speech: NDArray[np.floating],
    noise: NDArray[np.floating],
    *,
    snr_db: float,
    sample_rate_hz: int,
) -> Mixture:
    """Speech with noise. The noise's mean power is `snr_db` below the active speech level (ITU-T P.56).

    If the mixture would exceed `PEAK`, speech and mixture get the same lower gain, so the ratio stays.

    Raises:
        ValueError: speech or noise is silent.

    >>> rng = np.random.default_rng(1)
    >>> speech, noise = rng.standard_normal(16_000) * 0.1, rng.standard_normal(16_000)
    >>> mixture = mix_at_snr(speech, noise, snr_db=5.0, sample_rate_hz=16_000)
    >>> abs(power_db(mixture.clean) - power_db(mixture.noisy - mixture.clean) - 5.0) < 0.3
    True
    """
    gain = noise_gain(active_level(speech, sample_rate_hz).level_db, noise, snr_db=snr_db)
    clean = np.asarray(speech, dtype=np.float64)
    noisy = clean + np.asarray(noise, dtype=np.float64) * gain
    together = room_below_full_scale(clean, noisy)
    return Mixture(clean * together, noisy * together, together, gain * together)


def noise_gain(
    speech_level_db: float, noise: NDArray[np.floating], *, snr_db: float, noise_level_db: float | None = None
) -> float:
    """The gain that puts the noise's mean power `snr_db` below the active speech level.

    `noise_level_db` is measured if it is None.

    Raises:
        ValueError: speech or noise is silent.
    """
    noise_level = power_db(noise) if noise_level_db is None else noise_level_db
    if speech_level_db <= SILENCE_DB or noise_level <= SILENCE_DB + 10.0:
        raise ValueError("speech or noise is silent: no signal-to-noise ratio exists")
    return gain_to(noise_level, speech_level_db - snr_db)


def room_below_full_scale(*signals: NDArray[np.float64]) -> float:
    """The gain, at most 1, that keeps every sample of all signals within `PEAK`."""
    peak = max(max(float(signal.max(initial=0.0)), -float(signal.min(initial=0.0))) for signal in signals)
    return min(1.0, PEAK / peak) if peak > 0.0 else 1.0
