"""The perceived difference of two signals, as a loss. Signals float32 `(batch, n)`, levels in dB SPL, frequencies
in Hz.

It follows the steps of ITU-T P.862 (PESQ) that have a gradient. The estimate's level is matched to the target's in
each frame. Loudness follows Zwicker's law in bands of equal width in Bark. A dead zone is subtracted from the
loudness difference. A second, asymmetric term gives more weight to added sound than to removed sound. Time
alignment, filters and the mapping to a score are left out. The threshold of hearing is from E. Terhardt
("Calculating virtual pitch", Hearing Research 1, 1979), the Bark scale from H. Traunmüller (JASA 88, 1990). The
loss agrees with PESQ in rank, not in value.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn

FRAME_S = 0.032
BANDS = 42
LEVEL_DB = 79.0
"""The assumed playback level of active speech."""

_LOWEST_HZ, _HIGHEST_HZ = 60.0, 7_800.0
_DEAD_ZONE = 0.25
_SMOOTHING = (0.00032, 0.00128, 0.0064, 0.032, 0.16, 0.8)
"""A first-order recursive filter that keeps 0.2 of the past, cut at 0.1 %; the newest frame is the last."""
_TINY = 1e-8


def bark(frequency_hz: float) -> float:
    """The frequency in Bark.

    >>> round(bark(1_000.0), 2)
    8.53
    """
    return 26.81 * frequency_hz / (1960.0 + frequency_hz) - 0.53


def hearing_threshold_db(frequency_hz: float) -> float:
    """The threshold of hearing in dB SPL.

    >>> round(hearing_threshold_db(1_000.0), 1)
    3.4
    """
    khz = frequency_hz / 1000.0
    return 3.64 * math.pow(khz, -0.8) - 6.5 * math.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4


@cache
def _bands(frame: int, sample_rate_hz: int) -> tuple[Tensor, Tensor]:
    """The share of each bin in each band, `(bins, bands)`, and the bands' thresholds as powers, `(bands,)`."""
    low, high = bark(_LOWEST_HZ), bark(_HIGHEST_HZ)
    shares = torch.zeros(frame // 2 + 1, BANDS)
    thresholds = []
    for band in range(BANDS):
        centre = low + (band + 0.5) * (high - low) / BANDS
        centre_hz = 1960.0 * (centre + 0.53) / (26.28 - centre)
        thresholds.append(10 ** (hearing_threshold_db(centre_hz) / 10))
    width = (high - low) / BANDS
    for k in range(1, frame // 2 + 1):
        position = (bark(k * sample_rate_hz / frame) - low) / width - 0.5
        first = math.floor(position)
        for band, share in ((first, 1 - (position - first)), (first + 1, position - first)):
            if 0 <= band < BANDS:
                shares[k, band] += share
    return shares, torch.tensor(thresholds)


def _powers(signal: Tensor, frame: int, shares: Tensor) -> Tensor:
    """Power of each frame and band, `(batch, frames, bands)`, for a signal at `LEVEL_DB`."""
    window = torch.hann_window(frame, device=signal.device)
    spectra = torch.fft.rfft(signal.unfold(-1, frame, frame // 2) * window)
    scale = 10 ** (LEVEL_DB / 10) / (window.square().sum() * frame / 2)
    return (spectra.real.square() + spectra.imag.square()) @ shares * scale


def _gains_to(target: Tensor, power: Tensor) -> Tensor:
    """The power gain of each frame towards the target power, `(batch, frames)`, smoothed and bounded."""
    gain = ((target + 5e3) / (power + 5e3)).clamp(3e-4, 5.0)
    padded = nn.functional.pad(gain[:, None], (len(_SMOOTHING) - 1, 0), mode="replicate")
    return nn.functional.conv1d(padded, gain.new_tensor(_SMOOTHING)[None, None])[:, 0]


def perceived_difference(estimate: Tensor, target: Tensor, sample_rate_hz: int) -> Tensor:
    """The disturbance of each signal, `(batch,)`, roughly in units of PESQ's raw score."""
    frame = round(FRAME_S * sample_rate_hz)
    shares, thresholds = (x.to(estimate.device) for x in _bands(frame, sample_rate_hz))
    estimate, target = (x * (x.square().mean(-1, keepdim=True) + _TINY).rsqrt() for x in (estimate, target))
    ours, theirs = (_powers(x, frame, shares) for x in (estimate, target))
    ours = ours * _gains_to(theirs.sum(-1), ours.sum(-1))[..., None]
    loud, should = (
        (thresholds / 0.5) ** 0.23 * ((0.5 + 0.5 * power / thresholds) ** 0.23 - 1.0).clamp(min=0.0)
        for power in (ours, theirs)
    )
    difference = loud - should
    heard = (difference.abs() - _DEAD_ZONE * torch.minimum(loud, should)).clamp(min=0.0)
    added = ((ours + 50.0) / (theirs + 50.0)) ** 1.2
    added = torch.where(added < 3.0, torch.zeros_like(added), added.clamp(max=12.0)).detach()
    weight = ((theirs.sum(-1) + 1e5) / 1e7) ** -0.04
    symmetric = ((heard.square().mean(-1) + _TINY).sqrt() * weight).clamp(max=45.0)
    asymmetric = ((heard * added).mean(-1) * weight).clamp(max=45.0)
    return sum(w * (x.square().mean(-1) + _TINY).sqrt() for w, x in ((0.1, symmetric), (0.0309, asymmetric)))
