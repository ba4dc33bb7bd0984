"""Impulse responses are float, shape `(taps,)`; times in seconds, levels in dB.

Reverberation time by Schroeder's backward integration, the direct path, and reverberant speech that is aligned with
the dry speech to the sample.

Sources: M. R. Schroeder, "New method of measuring reverberation time", JASA 37 (1965); ISO 3382-2:2008 for T30, and
for the truncation of responses that end in noise and its correction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.data.levels import energy_of
from soundsright.data.products import product

Signal = NDArray[np.float64]

_BLOCK_S = 0.005
_ONSET_DB = -20.0
_DIRECT_WINDOW_S = 0.0025
_DIRECT_DB = -10.0
_BLOCK = 8_192


def direct_path(rir: NDArray[np.floating], sample_rate_hz: int) -> int:
    """Index of the direct sound: the first peak within 10 dB of the strongest one in the 2.5 ms after the onset.

    The onset is the first tap within 20 dB of the response's peak. The strongest peak may be a later one:
    reflections that arrive together, from a floor and a table, can exceed the direct sound.

    >>> direct_path(np.array([0.0, 0.0, 0.8, 0.3, 0.9]), 16_000)
    2
    """
    magnitude = np.abs(rir)
    onset = int(np.argmax(magnitude >= magnitude.max() * 10.0 ** (_ONSET_DB / 20.0)))
    window = magnitude[onset : onset + max(1, round(_DIRECT_WINDOW_S * sample_rate_hz))]
    first = int(np.argmax(window >= window.max() * 10.0 ** (_DIRECT_DB / 20.0)))
    while first + 1 < window.size and window[first + 1] > window[first]:
        first += 1
    return onset + first


def decay_curve_db(rir: NDArray[np.floating], sample_rate_hz: int) -> Signal:
    """Schroeder's decay curve from the direct path on: remaining energy over total energy, shape `(taps,)`, in dB.

    The response is cut where it reaches its noise floor. The energy beyond the cut is added as an exponential decay
    (ISO 3382-2), so the curve does not bend at its end.
    """
    taps = np.asarray(rir, dtype=np.float64)[direct_path(rir, sample_rate_hz) :]
    energy = taps * taps
    block = max(1, round(_BLOCK_S * sample_rate_hz))
    count = energy.size // block
    missing = 0.0
    if count >= 8:
        blocks = energy[: count * block].reshape(count, block).sum(axis=1)
        tail = blocks[-max(1, count // 10) :].mean()
        smooth = np.convolve(blocks, np.ones(5) / 5, mode="same")
        strong = np.flatnonzero(smooth > 4.0 * tail)
        last = int(strong[-1]) + 1 if strong.size else count
        first = int(np.argmax(blocks))
        if last - first >= 8 and blocks[first] > 0.0:
            energy = energy[: last * block]
            start = first + (last - first) // 2
            levels = np.log(blocks[start:last] + 1e-30)
            slope = np.polyfit(np.arange(last - start), levels, 1)
            if slope[0] < -1e-6:
                at_end = float(np.exp(slope[1] + slope[0] * (last - start)))
                missing = at_end / (1.0 - float(np.exp(slope[0])))
    remaining = np.cumsum(energy[::-1])[::-1] + missing
    curve: Signal = 10.0 * np.log10(np.maximum(remaining, 1e-30) / max(float(remaining[0]), 1e-30))
    return curve


def rt60_s(rir: NDArray[np.floating], sample_rate_hz: int) -> float:
    """Reverberation time T30 in seconds: the slope of the decay from -5 to -35 dB, extrapolated to 60 dB.

    If the response decays by less than 35 dB, the fit ends 5 dB above its end (T20 and shorter). An anechoic
    response has no decay to fit, and the result is 0.

    >>> decay = np.exp(-6.9078 / 0.5 * np.arange(16_000) / 16_000)
    >>> round(rt60_s(np.random.default_rng(1).standard_normal(16_000) * decay, 16_000), 1)
    0.5
    """
    curve = decay_curve_db(rir, sample_rate_hz)
    end_db = max(-35.0, float(curve[-1]) + 5.0)
    first = int(np.argmax(curve <= -5.0))
    below = np.flatnonzero(curve <= end_db)
    if end_db > -10.0 or first == 0 or below.size == 0 or below[0] - first < 4:
        return 0.0
    span = curve[first : int(below[0])]
    # Least squares by sums, because a polynomial fit of 100 000 points costs more than the integration.
    index = np.arange(span.size, dtype=np.float64) - (span.size - 1) / 2.0
    slope_db_per_tap = float((index * span).sum() / energy_of(index))
    return -60.0 / slope_db_per_tap / sample_rate_hz if slope_db_per_tap < 0.0 else 0.0


@dataclass(frozen=True, eq=False)
class Room:
    """An impulse response: positive at its direct path, tap `direct`, with its reverberation time.

    `group` names the room; responses of other microphone positions in it have the same group.
    """

    id: str
    taps: Signal
    direct: int
    sample_rate_hz: int
    rt60_s: float
    group: str

    @classmethod
    def of(cls, room_id: str, taps: NDArray[np.floating], sample_rate_hz: int, *, group: str = "") -> Room:
        """Find the direct path, make it positive, cut the tail at -60 dB, and measure the reverberation time."""
        values = np.asarray(taps, dtype=np.float64)
        direct = direct_path(values, sample_rate_hz)
        values = values * np.sign(values[direct])
        time_s = rt60_s(values, sample_rate_hz)
        energy = np.cumsum((values * values)[::-1])[::-1]
        heard = int(np.count_nonzero(energy > energy[0] * 1e-6))
        return cls(room_id, values[: max(heard, direct + 1)], direct, sample_rate_hz, time_s, group or room_id)

    def early(self, reflections_s: float) -> Signal:
        """The taps up to `reflections_s` seconds after the direct path."""
        return self.taps[: self.direct + 1 + round(reflections_s * self.sample_rate_hz)]


def reverberant(dry: NDArray[np.floating], taps: NDArray[np.floating], direct: int) -> Signal:
    """Dry speech in the room, at its own length: sample k of the result has the direct sound of sample k.

    It computes in single precision, which takes half the time; the error is 120 dB below the signal. Signal and
    response are cut into blocks (overlap-save with a partitioned response), so that transforms of one size fit the
    processor's vector units and cache.

    >>> reverberant(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.5]), direct=1).round(4).tolist()
    [1.0, 0.5, 0.0]
    """
    from scipy.fft import irfft, rfft

    count, size = dry.shape[0], 2 * _BLOCK
    blocks, parts = -(-(count + direct) // _BLOCK), -(-taps.shape[0] // _BLOCK)
    signal = np.zeros((blocks + 1) * _BLOCK, np.float32)
    signal[_BLOCK : _BLOCK + count] = dry
    response = np.zeros(parts * _BLOCK, np.float32)
    response[: taps.shape[0]] = taps
    spectra = rfft(np.lib.stride_tricks.sliding_window_view(signal, size)[::_BLOCK])
    wet = np.zeros_like(spectra)
    for lag, part in enumerate(rfft(response.reshape(parts, _BLOCK), size)[:blocks]):
        wet[lag:] += product(spectra[: blocks - lag], part)
    # The first half of each transform is invalid because of its wrap-around.
    out = irfft(wet, size)[:, _BLOCK:].reshape(-1)
    return np.asarray(out[direct : direct + count], dtype=np.float64)
