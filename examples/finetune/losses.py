"""The training loss. Signals are float32 `(batch, n)`, full scale ±1; levels in dB.

Spectra are compared at several resolutions, with and without phase. Their magnitudes are raised to the power 0.3,
which approximates loudness (S. Braun and I. Tashev, "A consolidated view of loss functions for supervised deep
learning-based speech enhancement", TSP 2021). The scale-invariant signal-to-distortion ratio (J. Le Roux et al.,
"SDR - half-baked or well done?", ICASSP 2019) keeps the waveform aligned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from examples.finetune.network import COMPRESSION, spectrum
from examples.finetune.perception import perceived_difference

_TINY = 1e-12
_FLOOR = 1e-3
"""The power below which a bin counts as silent, about 55 dB below speech; the signals have a mean square of 1.
Without this floor, residues in digital silence would outweigh errors in the speech."""


def si_sdr_db(estimate: Tensor, target: Tensor) -> Tensor:
    """SI-SDR of each signal in dB, shape `(batch,)`, after the mean is removed."""
    estimate, target = estimate - estimate.mean(-1, keepdim=True), target - target.mean(-1, keepdim=True)
    scale = (estimate * target).sum(-1, keepdim=True) / (target.square().sum(-1, keepdim=True) + _TINY)
    projected = scale * target
    error = estimate - projected
    return 10 * torch.log10((projected.square().sum(-1) + _TINY) / (error.square().sum(-1) + _TINY))


def spectral_distance(estimate: Tensor, target: Tensor, frame: int, *, complex_share: float = 0.3) -> Tensor:
    """Mean squared distance of compressed spectra, with frames of `frame` samples at half overlap."""
    ours, theirs = (spectrum(x, frame, frame // 2) for x in (estimate, target))
    a, b = ((x.real.square() + x.imag.square() + _FLOOR).sqrt() for x in (ours, theirs))
    loud_a, loud_b = a**COMPRESSION, b**COMPRESSION
    magnitude = (loud_a - loud_b).square().mean()
    difference = ours * (loud_a / a) - theirs * (loud_b / b)
    both = difference.real.square() + difference.imag.square()
    return (1 - complex_share) * magnitude + complex_share * both.mean()


def enhancement_loss(
    estimate: Tensor,
    target: Tensor,
    sample_rate_hz: int,
    *,
    frames_s: tuple[float, ...] = (0.016, 0.032, 0.064),
    si_sdr_weight: float = 0.01,
    perceptual_weight: float = 0.0,
) -> Tensor:
    """The loss: mean spectral distance over `frames_s`, minus the weighted SI-SDR, plus the weighted perceived
    difference.

    Both signals are first scaled by the target's level, so that all clips have the same weight.
    """
    scale = (target.square().mean(-1, keepdim=True) + _TINY).rsqrt()
    estimate, target = estimate * scale, target * scale
    distance = torch.stack(
        [
            spectral_distance(estimate, target, round(s * sample_rate_hz)) / (s * sample_rate_hz) ** COMPRESSION
            for s in frames_s
        ]
    ).mean()
    loss = distance - si_sdr_weight * si_sdr_db(estimate, target).clamp(-20, 30).mean()
    if perceptual_weight > 0.0:
        loss = loss + perceptual_weight * perceived_difference(estimate, target, sample_rate_hz).mean()
    return loss
