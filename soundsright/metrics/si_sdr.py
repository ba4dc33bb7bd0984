"""SI-SDR, SI-SIR and SI-SAR in dB. Signals are shape `(n,)`; only `si_snr` removes the mean.

The enhanced signal e is split along the clean s and the noise n = noisy - clean: e = a s + b n + artefacts, with
a = <e, s> / <s, s> and b = <e, n> / <n, n>. Then

    SI-SDR = 10 lg |a s|² / |e - a s|²
    SI-SIR = 10 lg |a s|² / |b n|²
    SI-SAR = 10 lg |a s|² / |e - a s - b n|²

By definition they ignore the level and the sign of e. Higher is better; the range is unbounded, and the registry
clips it to -60 to 100 dB. Sources: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP
2019, eqs. 4 and 5; the split along the noise as in Richter, Welker, Lemercier, Lay, Gerkmann, "Speech Enhancement
and Dereverberation with Diffusion-based Generative Models", IEEE/ACM Trans. ASLP 31, 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.metrics.compiled import compiled

_VANISHING = 1e-20  # noise with this share of its energy beside the speech is a copy of the speech, to rounding
_LANES = 16  # independent accumulators, in a fixed order: enough for any vector unit


@dataclass(frozen=True)
class EnergyRatios:
    """The ratios in dB, possibly infinite; None if undefined, because speech, output or noise has no energy."""

    si_sdr: float | None
    si_sir: float | None
    si_sar: float | None


def energy_ratios(
    clean: NDArray[np.floating], enhanced: NDArray[np.floating], noisy: NDArray[np.floating] | None
) -> EnergyRatios:
    """The three ratios, from two passes over the signals, summed in float64 in a fixed order.

    Without `noisy`, SI-SIR and SI-SAR are None.

    >>> clean, noise = np.array([1.0, 1.0, 1.0, 1.0]), np.array([0.1, -0.1, 0.1, -0.1])
    >>> ratios = energy_ratios(clean, 3 * (clean + noise), clean + noise)
    >>> round(ratios.si_sdr, 9), round(ratios.si_sir, 9), ratios.si_sar > 200
    (20.0, 20.0, True)
    """
    speech_energy, noise_energy, along_speech, along_noise, energy = _inner_products(
        clean, enhanced, clean if noisy is None else noisy
    )
    if speech_energy == 0 or energy == 0:
        return EnergyRatios(None, None, None)
    a = along_speech / speech_energy
    b = along_noise / noise_energy if noise_energy > 0 else 0.0
    distortion, artefacts = _residual_energies(clean, enhanced, clean if noisy is None else noisy, a, b)
    target = a * a * speech_energy
    si_sdr = _ratio_db(target, distortion)
    if noisy is None or noise_energy == 0:
        return EnergyRatios(si_sdr, None, None)
    return EnergyRatios(si_sdr, _ratio_db(target, b * b * noise_energy), _ratio_db(target, artefacts))


def si_snr(clean: NDArray[np.floating], enhanced: NDArray[np.floating]) -> float | None:
    """SI-SDR of both signals without their means, in dB; None if undefined.

    Source: Luo, Mesgarani, "TaSNet", ICASSP 2018, where both signals are made zero-mean first.

    >>> round(si_snr(np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])), 4)
    15.0918
    """
    s, e = (np.asarray(signal, np.float64) for signal in (clean, enhanced))
    return energy_ratios(s - _mean(s), e - _mean(e), None).si_sdr


def span_ratios(
    clean: NDArray[np.floating], enhanced: NDArray[np.floating], noisy: NDArray[np.floating]
) -> EnergyRatios:
    """The three ratios by the projection onto the span of speech and noise (Le Roux et al. 2019, section 2).

    The residual of SI-SDR is split into its projection onto that span, the interference, and the rest, the
    artefacts. The two are orthogonal, so 10^(-SDR/10) = 10^(-SIR/10) + 10^(-SAR/10), with the ratios in dB.

    >>> clean, noise = np.array([1.0, 1.0, 1.0, 1.0]), np.array([0.2, 0.0, 0.2, 0.0])
    >>> ratios = span_ratios(clean, clean + noise, clean + noise)
    >>> ratios.si_sdr == ratios.si_sir, ratios.si_sar > 200
    (True, True)
    """
    s, e = np.asarray(clean, np.float64), np.asarray(enhanced, np.float64)
    speech_energy, noise_energy, along_speech, _, energy = _inner_products(s, e, np.asarray(noisy, np.float64))
    if speech_energy == 0 or energy == 0:
        return EnergyRatios(None, None, None)
    a = along_speech / speech_energy
    target, distortion = a * a * speech_energy, _residual_energies(s, e, s, a, 0.0)[0]
    si_sdr = _ratio_db(target, distortion)
    noise = np.asarray(noisy, np.float64) - s
    noise -= _inner_products(s, noise, s)[2] / speech_energy * s  # the part of the noise beside the speech
    beside_energy = _inner_products(s, noise, s)[4]
    if noise_energy == 0 or beside_energy <= _VANISHING * noise_energy:
        return EnergyRatios(si_sdr, None, None)
    residual = e - a * s
    c = _inner_products(noise, residual, noise)[2] / beside_energy
    artefacts = _residual_energies(noise, residual, noise, c, 0.0)[0]
    return EnergyRatios(si_sdr, _ratio_db(target, c * c * beside_energy), _ratio_db(target, artefacts))


def _ratio_db(numerator: float, denominator: float) -> float:
    if numerator <= 0:
        return -math.inf
    if denominator <= 0:
        return math.inf
    return 10.0 * (math.log10(numerator) - math.log10(denominator))


@compiled
def _mean(x: NDArray[np.float64]) -> float:
    sums = np.zeros(_LANES)
    for i in range(x.shape[0]):
        sums[i % _LANES] += x[i]
    total = 0.0
    for j in range(_LANES):
        total += sums[j]
    return float(total / x.shape[0])


@compiled
def _inner_products(
    s: NDArray[np.floating], e: NDArray[np.floating], y: NDArray[np.floating]
) -> tuple[float, float, float, float, float]:
    """<s, s>, <n, n>, <e, s>, <e, n>, <e, e> with n = y - s."""
    sums = np.zeros((5, _LANES))
    for start in range(0, s.shape[0], _LANES):
        if start + _LANES <= s.shape[0]:
            for j in range(_LANES):
                a = np.float64(e[start + j])
                b = np.float64(s[start + j])
                c = np.float64(y[start + j]) - b
                sums[0, j] += b * b
                sums[1, j] += c * c
                sums[2, j] += a * b
                sums[3, j] += a * c
                sums[4, j] += a * a
        else:
            for j in range(s.shape[0] - start):
                a = np.float64(e[start + j])
                b = np.float64(s[start + j])
                c = np.float64(y[start + j]) - b
                sums[0, j] += b * b
                sums[1, j] += c * c
                sums[2, j] += a * b
                sums[3, j] += a * c
                sums[4, j] += a * a
    totals = np.zeros(5)
    for r in range(5):
        for j in range(_LANES):
            totals[r] += sums[r, j]
    return totals[0], totals[1], totals[2], totals[3], totals[4]


@compiled
def _residual_energies(
    s: NDArray[np.floating], e: NDArray[np.floating], y: NDArray[np.floating], a: float, b: float
) -> tuple[float, float]:
    """|e - a s|² and |e - a s - b n|², summed over the residuals, so that small ones suffer no cancellation."""
    sums = np.zeros((2, _LANES))
    for start in range(0, s.shape[0], _LANES):
        if start + _LANES <= s.shape[0]:
            for j in range(_LANES):
                speech = np.float64(s[start + j])
                residual = np.float64(e[start + j]) - a * speech
                artefact = residual - b * (np.float64(y[start + j]) - speech)
                sums[0, j] += residual * residual
                sums[1, j] += artefact * artefact
        else:
            for j in range(s.shape[0] - start):
                speech = np.float64(s[start + j])
                residual = np.float64(e[start + j]) - a * speech
                artefact = residual - b * (np.float64(y[start + j]) - speech)
                sums[0, j] += residual * residual
                sums[1, j] += artefact * artefact
    distortion = 0.0
    artefacts = 0.0
    for j in range(_LANES):
        distortion += sums[0, j]
        artefacts += sums[1, j]
    return distortion, artefacts
