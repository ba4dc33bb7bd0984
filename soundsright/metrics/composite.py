"""CSIG, CBAK and COVL: predicted ratings of speech, background and overall quality, from 1 to 5.

Signals are shape `(n,)` at 16 kHz. Each rating is a regression of listeners' ratings on PESQ, the log-likelihood
ratio (LLR), the weighted spectral slope (WSS) and the segmental SNR. At 16 kHz, papers use wide-band PESQ, and so
does this module. LLR and WSS are means over the 95 % of frames with the smallest values.

Sources: Hu, Loizou, "Evaluation of Objective Quality Measures for Speech Enhancement", IEEE Trans. ASLP 16(1),
2008; Loizou, "Speech Enhancement: Theory and Practice", 2nd ed., 2013, chapter 11 and its listing of the
composite measure; Klatt, "Prediction of Perceived Phonetic Distance from Critical-Band Spectra", ICASSP 1982
(WSS).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soundsright.metrics.compiled import compiled
from soundsright.metrics.frames import loizou_frames
from soundsright.metrics.snr import segmental_snr

Float64 = NDArray[np.float64]

RATE_HZ = 16_000

_ORDER = 16
_KEPT_SHARE = 0.95
_SPECTRUM = 1024
_BANDS = 25
_EPS = float(np.finfo(np.float64).eps)
# Centres and widths of the critical bands in Hz (Loizou's table after Quackenbush, Barnwell, Clements 1988).
_CENTRES_HZ = (
    50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63,
)  # fmt: skip
_WIDTHS_HZ = (
    70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423,
    153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136,
)  # fmt: skip


@dataclass(frozen=True)
class Composite:
    """Ratings from 1 (bad) to 5 (excellent): CSIG of the speech, CBAK of the background, COVL overall."""

    csig: float
    cbak: float
    covl: float


def composite(
    clean: NDArray[np.floating], enhanced: NDArray[np.floating], pesq_wb: float, *, slope_gain: float = 1.0
) -> Composite | None:
    """The three ratings of a clip at 16 kHz with its wide-band PESQ; None if the clip is shorter than one frame.

    `slope_gain` multiplies both signals before the spectral slopes. Levels in bands have an absolute floor, so
    the gain is part of the definition: Loizou's listing has full scale ±1.

    CSIG = 3.093 - 1.029 LLR + 0.603 PESQ - 0.009 WSS, CBAK = 1.634 + 0.478 PESQ - 0.007 WSS + 0.063 SSNR,
    COVL = 1.594 + 0.805 PESQ - 0.512 LLR - 0.007 WSS (Hu, Loizou 2008), each limited to 1 to 5.
    """
    s, e = loizou_frames(clean, RATE_HZ), loizou_frames(enhanced, RATE_HZ)
    ssnr = segmental_snr(clean, enhanced, RATE_HZ)
    if ssnr is None:
        return None
    llr = _mean_of_least(log_likelihood_ratios(s, e))
    wss = _mean_of_least(weighted_spectral_slopes(slope_gain * s, slope_gain * e))
    return Composite(
        csig=_rating(3.093 - 1.029 * llr + 0.603 * pesq_wb - 0.009 * wss),
        cbak=_rating(1.634 + 0.478 * pesq_wb - 0.007 * wss + 0.063 * ssnr),
        covl=_rating(1.594 + 0.805 * pesq_wb - 0.512 * llr - 0.007 * wss),
    )


def log_likelihood_ratios(clean: Float64, enhanced: Float64) -> Float64:
    """The log-likelihood ratio ln((a_e R a_e) / (a_s R a_s)) per windowed frame, shape `(frames,)`; 0 for equal
    frames.

    R is the clean frame's autocorrelation; a_s and a_e are the clean and the enhanced linear predictors of order
    16. It measures how badly the enhanced predictor fits the clean frame. A silent frame has the predictor (1, 0,
    …, 0).
    """
    return _log_likelihood_ratios(np.ascontiguousarray(clean), np.ascontiguousarray(enhanced))


def weighted_spectral_slopes(clean: Float64, enhanced: Float64) -> Float64:
    """Klatt's distance per windowed frame, shape `(frames,)`: differing slopes in 25 bands, weighted by peaks."""
    from scipy import fft

    spectra = (fft.rfft(frames, _SPECTRUM, axis=1).view(np.float64) for frames in (clean, enhanced))
    levels = [_band_levels(each, _critical_bands()) for each in spectra]
    return _weighted_spectral_slopes(levels[0], levels[1])


def _rating(value: float) -> float:
    return min(max(value, 1.0), 5.0)


def _mean_of_least(values: Float64) -> float:
    least = np.sort(values)[: max(1, round(len(values) * _KEPT_SHARE))]
    return math.fsum(least) / len(least)


@cache
def _critical_bands() -> Float64:
    """Gaussian filters on the bins, shape (25, 512); weights below -30 dB are 0."""
    bins = _SPECTRUM // 2
    per_hz = bins / (RATE_HZ / 2)
    least = math.exp(-30.0 / (2 * 2.303))
    filters = np.zeros((_BANDS, bins))
    for band, (centre_hz, width_hz) in enumerate(zip(_CENTRES_HZ, _WIDTHS_HZ, strict=True)):
        centre, gain = math.floor(centre_hz * per_hz), math.log(_WIDTHS_HZ[0] / width_hz)
        for k in range(bins):
            weight = math.exp(-11.0 * ((k - centre) / (width_hz * per_hz)) ** 2 + gain)
            filters[band, k] = weight if weight > least else 0.0
    return filters


@compiled
def _predictor(frame: Float64, autocorrelation: Float64, predictor: Float64) -> None:
    """Fill in a frame's autocorrelation (order + 1) and error filter 1, -a_1, …, by Levinson-Durbin recursion."""
    length = frame.shape[0]
    autocorrelation[:] = 0.0
    for i in range(length - _ORDER):
        for lag in range(_ORDER + 1):
            autocorrelation[lag] += frame[i] * frame[i + lag]
    for i in range(length - _ORDER, length):
        for lag in range(length - i):
            autocorrelation[lag] += frame[i] * frame[i + lag]
    predictor[:] = 0.0
    predictor[0] = 1.0
    error = autocorrelation[0]
    previous = np.zeros(_ORDER + 1)
    for order in range(1, _ORDER + 1):
        if not error > _EPS * autocorrelation[0]:
            break  # silent or fully predicted: the remaining coefficients stay zero
        total = autocorrelation[order]
        for i in range(1, order):
            total += predictor[i] * autocorrelation[order - i]
        reflection = -total / error
        previous[:] = predictor
        for i in range(1, order):
            predictor[i] = previous[i] + reflection * previous[order - i]
        predictor[order] = reflection
        error *= 1.0 - reflection * reflection


@compiled
def _quadratic_form(a: Float64, r: Float64) -> float:
    total = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[0]):
            total += a[i] * a[j] * r[abs(i - j)]
    return float(total)


@compiled
def _log_likelihood_ratios(s: Float64, e: Float64) -> Float64:
    ratios = np.zeros(s.shape[0])
    r_clean = np.empty(_ORDER + 1)
    r_enhanced = np.empty(_ORDER + 1)
    a_clean = np.empty(_ORDER + 1)
    a_enhanced = np.empty(_ORDER + 1)
    for f in range(s.shape[0]):
        _predictor(s[f], r_clean, a_clean)
        _predictor(e[f], r_enhanced, a_enhanced)
        best = _quadratic_form(a_clean, r_clean)
        reached = _quadratic_form(a_enhanced, r_clean)
        if best > 0.0 and reached > 0.0:
            ratios[f] = math.log(reached / best)
    return ratios


@compiled
def _band_levels(spectra: Float64, filters: Float64) -> Float64:
    """Level in dB per frame and band. `spectra` alternates real and imaginary parts."""
    bands, bins = filters.shape
    levels = np.empty((spectra.shape[0], bands))
    power = np.empty(bins)
    for f in range(spectra.shape[0]):
        for k in range(bins):
            power[k] = spectra[f, 2 * k] * spectra[f, 2 * k] + spectra[f, 2 * k + 1] * spectra[f, 2 * k + 1]
        for b in range(bands):
            total = 0.0
            for k in range(bins):
                if filters[b, k] != 0.0:
                    total += filters[b, k] * power[k]
            levels[f, b] = 10.0 * math.log10(max(total, 1e-10))
    return levels


@compiled
def _slope_weights(levels: Float64, weights: Float64) -> None:
    """Fill in Klatt's weight of each slope: its closeness in level to the loudest band and to the nearest peak."""
    slopes = levels.shape[0] - 1
    loudest = levels[0]
    for b in range(1, levels.shape[0]):
        loudest = max(loudest, levels[b])
    for b in range(slopes):
        n = b
        if levels[b + 1] > levels[b]:
            while n < slopes and levels[n + 1] > levels[n]:
                n += 1
            peak = levels[
                n - 1
            ]  # the band before the summit, as in Loizou's listing and so in all published values
        else:
            while n >= 0 and levels[n + 1] <= levels[n]:
                n -= 1
            peak = levels[n + 1]
        weights[b] = 20.0 / (20.0 + loudest - levels[b]) * 1.0 / (1.0 + peak - levels[b])


@compiled
def _weighted_spectral_slopes(s: Float64, e: Float64) -> Float64:
    slopes = s.shape[1] - 1
    distances = np.zeros(s.shape[0])
    clean_weights = np.empty(slopes)
    enhanced_weights = np.empty(slopes)
    for f in range(s.shape[0]):
        _slope_weights(s[f], clean_weights)
        _slope_weights(e[f], enhanced_weights)
        total = 0.0
        weights = 0.0
        for b in range(slopes):
            weight = (clean_weights[b] + enhanced_weights[b]) / 2.0
            difference = (s[f, b + 1] - s[f, b]) - (e[f, b + 1] - e[f, b])
            total += weight * difference * difference
            weights += weight
        distances[f] = total / weights
    return distances
