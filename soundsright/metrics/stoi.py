"""STOI and ESTOI, from -1 to 1, higher is better. Signals are shape `(n,)`, any rate.

Both share one resampling and one framing. Conventions and constants are those of `pystoi`, the reference: 10 kHz,
frames of 256 samples with a hop of 128 and a Hann window, 512-point spectra, 15 one-third octave bands from 150 Hz,
segments of 30 frames (384 ms). Frames whose clean part is over 40 dB quieter than the loudest are dropped. For
ESTOI, `pystoi` adds random noise of 2e-16 to keep divisions defined. Here a constant row or column has correlation
0 instead, so two runs agree to the bit.

Sources: Taal, Hendriks, Heusdens, Jensen, "An Algorithm for Intelligibility Prediction of Time-Frequency
Weighted Noisy Speech", IEEE Trans. ASLP 19(7), 2011 (STOI); Jensen, Taal, "An Algorithm for Predicting the
Intelligibility of Speech Masked by Modulated Noise Maskers", IEEE/ACM Trans. ASLP 24(11), 2016 (ESTOI).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soundsright.metrics.compiled import compiled
from soundsright.metrics.frames import frames_of, hann_window
from soundsright.metrics.resample import STOI_RATE_HZ, to_rate_of_stoi

Float64 = NDArray[np.float64]
Bounds = NDArray[np.int64]

FRAME = 256
HOP = 128
SPECTRUM = 512
SEGMENT_FRAMES = 30

_BANDS = 15
_LOWEST_CENTRE_HZ = 150.0
_DYNAMIC_RANGE = 100.0  # 40 dB as a ratio of norms
_CLIP = 1.0 + 10.0 ** (15.0 / 20.0)  # Taal et al. eq. 3 with beta = -15 dB
_EPS = float(np.finfo(np.float64).eps)
_VANISHING = 1e-24  # a variance below this share of the energy is rounding, not signal


@dataclass(frozen=True, eq=False)
class BandEnvelopes:
    """Norms in one-third octave bands, shape (frames, 15), of the clean and the enhanced signal."""

    clean: Float64
    enhanced: Float64


def band_envelopes(
    clean: NDArray[np.floating], enhanced: NDArray[np.floating], sample_rate_hz: int
) -> BandEnvelopes | None:
    """Both signals in bands, without the silent frames of the clean one; None if fewer than 30 frames remain."""
    x = to_rate_of_stoi(clean, sample_rate_hz)
    y = to_rate_of_stoi(enhanced, sample_rate_hz)
    window, low, high = _window(), *_band_edges()
    voiced_x, voiced_y = _without_silent_frames(x, y, window)
    if (len(voiced_x) - FRAME - 1) // HOP + 1 < SEGMENT_FRAMES:
        return None
    return BandEnvelopes(_bands(voiced_x, window, low, high), _bands(voiced_y, window, low, high))


def stoi(envelopes: BandEnvelopes) -> float:
    """Mean correlation of clipped envelopes over segments and bands (Taal et al. 2011, eqs. 2 to 6), in [-1, 1]."""
    return float(_stoi(envelopes.clean, envelopes.enhanced))


def estoi(envelopes: BandEnvelopes) -> float:
    """Mean spectral correlation of segments normalised by row and column (Jensen, Taal 2016, eqs. 3 to 8)."""
    return float(_estoi(envelopes.clean, envelopes.enhanced))


@cache
def _window() -> Float64:
    return hann_window(FRAME)


@cache
def _band_edges() -> tuple[Bounds, Bounds]:
    """First bin and one past the last bin of each band: the bins nearest to the edges a sixth of an octave away."""
    step_hz = STOI_RATE_HZ / SPECTRUM
    low = [round(_LOWEST_CENTRE_HZ * 2 ** ((2 * k - 1) / 6) / step_hz) for k in range(_BANDS)]
    high = [round(_LOWEST_CENTRE_HZ * 2 ** ((2 * k + 1) / 6) / step_hz) for k in range(_BANDS)]
    return np.array(low, dtype=np.int64), np.array(high, dtype=np.int64)


def _bands(signal: Float64, window: Float64, low: Bounds, high: Bounds) -> Float64:
    from scipy import fft

    spectra = fft.rfft(frames_of(signal[:-1], FRAME, HOP) * window, SPECTRUM, axis=1)
    return _band_norms(spectra.view(np.float64), low, high)


@compiled
def _without_silent_frames(x: Float64, y: Float64, window: Float64) -> tuple[Float64, Float64]:
    """Both signals, overlap-added from their windowed frames without those that are silent in `x`."""
    count = max(0, (x.shape[0] - FRAME + HOP - 1) // HOP)
    norms = np.empty(count)
    for f in range(count):
        lanes = np.zeros(8)
        for i in range(0, FRAME, 8):
            for j in range(8):
                a = window[i + j] * x[f * HOP + i + j]
                lanes[j] += a * a
        total = 0.0
        for j in range(8):
            total += lanes[j]
        norms[f] = math.sqrt(total) + _EPS
    loudest = 0.0
    for f in range(count):
        loudest = max(loudest, norms[f])
    loud_frames = 0
    for f in range(count):
        if norms[f] * _DYNAMIC_RANGE > loudest:
            loud_frames += 1
    x_out = np.zeros((loud_frames + 1) * HOP if loud_frames else 0)
    y_out = np.zeros((loud_frames + 1) * HOP if loud_frames else 0)
    start = 0
    for f in range(count):
        if norms[f] * _DYNAMIC_RANGE > loudest:
            for i in range(FRAME):
                x_out[start + i] += window[i] * x[f * HOP + i]
                y_out[start + i] += window[i] * y[f * HOP + i]
            start += HOP
    return x_out, y_out


@compiled
def _band_norms(spectra: Float64, low: Bounds, high: Bounds) -> Float64:
    """Norm per frame and band. `spectra` alternates real and imaginary parts."""
    bins = spectra.shape[1] // 2
    norms = np.empty((spectra.shape[0], low.shape[0]))
    power = np.empty(bins)
    for f in range(spectra.shape[0]):
        for k in range(bins):
            power[k] = spectra[f, 2 * k] * spectra[f, 2 * k] + spectra[f, 2 * k + 1] * spectra[f, 2 * k + 1]
        for b in range(low.shape[0]):
            total = 0.0
            for k in range(low[b], high[b]):
                total += power[k]
            norms[f, b] = math.sqrt(total)
    return norms


@compiled
def _stoi(x: Float64, y: Float64) -> float:
    bands = x.shape[1]
    segments = x.shape[0] - SEGMENT_FRAMES + 1
    gain = np.empty(bands)
    x_mean = np.empty(bands)
    y_mean = np.empty(bands)
    x_square = np.empty(bands)
    y_square = np.empty(bands)
    product = np.empty(bands)
    clipped = np.empty((SEGMENT_FRAMES, bands))
    total = 0.0
    for s in range(segments):
        x_square[:] = 0.0
        y_square[:] = 0.0
        x_mean[:] = 0.0
        y_mean[:] = 0.0
        for t in range(SEGMENT_FRAMES):
            for b in range(bands):
                x_square[b] += x[s + t, b] * x[s + t, b]
                y_square[b] += y[s + t, b] * y[s + t, b]
                x_mean[b] += x[s + t, b]
        for b in range(bands):
            gain[b] = math.sqrt(x_square[b]) / (math.sqrt(y_square[b]) + _EPS)
            x_mean[b] /= SEGMENT_FRAMES
        for t in range(SEGMENT_FRAMES):
            for b in range(bands):
                value = min(y[s + t, b] * gain[b], x[s + t, b] * _CLIP)
                clipped[t, b] = value
                y_mean[b] += value
        for b in range(bands):
            y_mean[b] /= SEGMENT_FRAMES
            x_square[b] = 0.0
            y_square[b] = 0.0
            product[b] = 0.0
        for t in range(SEGMENT_FRAMES):
            for b in range(bands):
                p = x[s + t, b] - x_mean[b]
                q = clipped[t, b] - y_mean[b]
                x_square[b] += p * p
                y_square[b] += q * q
                product[b] += p * q
        for b in range(bands):
            total += product[b] / ((math.sqrt(x_square[b]) + _EPS) * (math.sqrt(y_square[b]) + _EPS))
    return float(total / (segments * bands))


@compiled
def _estoi(x: Float64, y: Float64) -> float:
    bands = x.shape[1]
    segments = x.shape[0] - SEGMENT_FRAMES + 1
    x_rows = np.empty((SEGMENT_FRAMES, bands))
    y_rows = np.empty((SEGMENT_FRAMES, bands))
    x_mean = np.empty(bands)
    y_mean = np.empty(bands)
    x_energy = np.empty(bands)
    y_energy = np.empty(bands)
    x_scale = np.empty(bands)
    y_scale = np.empty(bands)
    total = 0.0
    for s in range(segments):
        x_mean[:] = 0.0
        y_mean[:] = 0.0
        x_energy[:] = 0.0
        y_energy[:] = 0.0
        x_scale[:] = 0.0
        y_scale[:] = 0.0
        for t in range(SEGMENT_FRAMES):
            for b in range(bands):
                x_mean[b] += x[s + t, b]
                y_mean[b] += y[s + t, b]
                x_energy[b] += x[s + t, b] * x[s + t, b]
                y_energy[b] += y[s + t, b] * y[s + t, b]
        for b in range(bands):
            x_mean[b] /= SEGMENT_FRAMES
            y_mean[b] /= SEGMENT_FRAMES
        for t in range(SEGMENT_FRAMES):
            for b in range(bands):
                p = x[s + t, b] - x_mean[b]
                q = y[s + t, b] - y_mean[b]
                x_rows[t, b] = p
                y_rows[t, b] = q
                x_scale[b] += p * p
                y_scale[b] += q * q
        for b in range(bands):
            x_scale[b] = 1.0 / math.sqrt(x_scale[b]) if x_scale[b] > _VANISHING * x_energy[b] else 0.0
            y_scale[b] = 1.0 / math.sqrt(y_scale[b]) if y_scale[b] > _VANISHING * y_energy[b] else 0.0
        for t in range(SEGMENT_FRAMES):
            p_sum = 0.0
            q_sum = 0.0
            p_square = 0.0
            q_square = 0.0
            product = 0.0
            for b in range(bands):
                p = x_rows[t, b] * x_scale[b]
                q = y_rows[t, b] * y_scale[b]
                p_sum += p
                q_sum += q
                p_square += p * p
                q_square += q * q
                product += p * q
            p_spread = p_square - p_sum * p_sum / bands
            q_spread = q_square - q_sum * q_sum / bands
            if p_spread > 1e-13 * p_square and q_spread > 1e-13 * q_square:
                total += (product - p_sum * q_sum / bands) / math.sqrt(p_spread * q_spread)
    return float(total / (segments * SEGMENT_FRAMES))
