"""SRMR: how little a signal reverberates, judged from the signal alone. Signals are `(n,)`, at 16 kHz.

Speech changes its loudness some 4 to 16 times a second; a room's tail adds faster changes. SRMR is the energy of
the slow changes (4 to 18 Hz) over that of the faster ones. 23 gammatone filters from 125 Hz up give envelopes,
and eight filters (4 to 128 Hz, Q of 2) split each envelope. Energies are taken in Hamming windows of 256 ms,
every 64 ms. The highest filter that counts as fast follows from the bandwidth with 90 % of the energy.

Source: Falk, Zheng, Chan, "A Non-Intrusive Quality and Intelligibility Measure of Reverberant and Dereverberated
Speech", IEEE Trans. ASLP 18(7), 2010. Gammatone filters: Slaney, "An Efficient Implementation of the Patterson-
Holdsworth Auditory Filter Bank", Apple Technical Report 35, 1993. There is no normalisation of energies.

Filters and envelopes are computed together, by one Fourier transform per signal and one per filter.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples

RATE_HZ = 16_000

_CHANNELS = 23
_LOWEST_HZ = 125.0
_EAR_Q = 9.26449
_LEAST_BANDWIDTH_HZ = 24.7
_MODULATIONS_HZ = tuple(4.0 * 2.0 ** (5.0 * k / 7.0) for k in range(8))
_MODULATION_Q = 2.0
_SLOW = 4
"""The first four modulation filters are slow."""

_WINDOW = 4096
_HOP = 1024
_MOST_SHARE = 0.9
_DECAY = 4096
"""Zeros after the signal, in which every gammatone filter decays."""

Float64 = NDArray[np.float64]


def srmr(enhanced: Samples) -> float | None:
    """The ratio of a signal at 16 kHz, 0 and up; more is less reverberant. None if it is silent or under 256 ms."""
    peak = float(np.max(np.abs(enhanced), initial=0.0))
    if len(enhanced) < _WINDOW or peak == 0.0:
        return None
    energy = modulation_energies(enhanced / np.float64(peak))
    by_channel = energy.sum(axis=1)
    total = by_channel.sum()
    if not total > 0.0:
        return None
    # The channels with the lowest frequencies that hold 90 % of the energy.
    count = int(np.searchsorted(np.cumsum(by_channel), _MOST_SHARE * total, side="right"))
    bandwidth_hz = _bandwidth_hz(_centres_hz()[min(count, _CHANNELS - 1)])
    fast = energy[:, _SLOW : _last_modulation(bandwidth_hz)].sum()
    return float(energy[:, :_SLOW].sum() / fast) if fast > 0.0 else None


def modulation_energies(signal: NDArray[np.floating]) -> Float64:
    """The mean energy of each channel, low to high, in each modulation filter, shape (23, 8)."""
    from scipy import fft
    from scipy import signal as filters

    length = fft.next_fast_len(len(signal) + _DECAY)
    spectrum = fft.fft(np.asarray(signal, dtype=np.float64), length)[: length // 2 + 1]
    delay = np.exp(-2j * np.pi * np.arange(length // 2 + 1) / length)
    weights = np.square(_hamming())
    frames = 1 + (len(signal) - _WINDOW) // _HOP
    energies = np.zeros((_CHANNELS, len(_MODULATIONS_HZ)))
    for channel, centre_hz in enumerate(_centres_hz()):
        envelope = _envelope(spectrum * _gammatone(delay, centre_hz), length)[: len(signal)]
        for number, (forward, back) in enumerate(_modulation_filters()):
            changes = filters.lfilter(forward, back, envelope)
            blocks = np.lib.stride_tricks.sliding_window_view(changes**2, _WINDOW)[::_HOP]
            # One frame after the other, so that the memory stays small and the order of the sums fixed.
            energies[channel, number] = math.fsum(float(np.sum(block * weights)) for block in blocks) / frames
    return energies


def _envelope(half_spectrum: NDArray[np.complex128], length: int) -> Float64:
    """The magnitude of the analytic signal with this spectrum of positive frequencies."""
    from scipy import fft

    analytic = np.zeros(length, np.complex128)
    analytic[: len(half_spectrum)] = half_spectrum
    analytic[1 : (length + 1) // 2] *= 2.0
    envelope: Float64 = np.abs(fft.ifft(analytic, overwrite_x=True))
    return envelope


def _gammatone(delay: NDArray[np.complex128], centre_hz: float) -> NDArray[np.complex128]:
    """The response of Slaney's filter with this centre, 1 at the centre, where a sample of delay is `delay`."""
    centre = np.exp(-2j * np.pi * np.array([centre_hz]) / RATE_HZ)
    response: NDArray[np.complex128] = _response(delay, centre_hz) / abs(_response(centre, centre_hz)[0])
    return response


def _response(delay: NDArray[np.complex128], centre_hz: float) -> NDArray[np.complex128]:
    """Four sections with the same poles and a zero each."""
    angle = 2 * np.pi * centre_hz / RATE_HZ
    decay = math.exp(-2 * np.pi * 1.019 * _bandwidth_hz(centre_hz) / RATE_HZ)
    response = 1.0 / (1.0 - 2.0 * math.cos(angle) * decay * delay + (decay * delay) ** 2)
    response = np.square(np.square(response))
    for root in (math.sqrt(3 + 2**1.5), math.sqrt(3 - 2**1.5)):
        for sign in (1, -1):
            response *= 1.0 - decay * (math.cos(angle) + sign * root * math.sin(angle)) * delay
    return response


@cache
def _centres_hz() -> tuple[float, ...]:
    """The centres of the channels, low to high, evenly spaced by equivalent rectangular bandwidth."""
    offset = _EAR_Q * _LEAST_BANDWIDTH_HZ
    step = math.log((_LOWEST_HZ + offset) / (RATE_HZ / 2 + offset)) / _CHANNELS
    return tuple((RATE_HZ / 2 + offset) * math.exp(k * step) - offset for k in range(_CHANNELS, 0, -1))


def _bandwidth_hz(centre_hz: float) -> float:
    return centre_hz / _EAR_Q + _LEAST_BANDWIDTH_HZ


@cache
def _modulation_filters() -> tuple[tuple[Float64, Float64], ...]:
    """Band-pass filters of second order: coefficients of the input and of the output."""
    found = []
    for centre_hz in _MODULATIONS_HZ:
        warped = math.tan(math.pi * centre_hz / RATE_HZ)
        width = warped / _MODULATION_Q
        forward = np.array([width, 0.0, -width])
        found.append((forward, np.array([1 + width + warped**2, 2 * warped**2 - 2, 1 - width + warped**2])))
    return tuple(found)


def _last_modulation(bandwidth_hz: float) -> int:
    """How many modulation filters count: those whose lower edge lies within the bandwidth, at least five."""
    edges = [
        centre_hz - math.tan(math.pi * centre_hz / RATE_HZ) / _MODULATION_Q * RATE_HZ / (2 * math.pi)
        for centre_hz in _MODULATIONS_HZ
    ]
    return max(_SLOW + 1, sum(1 for edge in edges if edge <= bandwidth_hz))


@cache
def _hamming() -> Float64:
    """A periodic Hamming window."""
    window: Float64 = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    return window
