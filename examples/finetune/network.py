"""The baseline's network: signals float32 `(batch, n)`, full scale ±1; spectra complex `(batch, frames, bins)`.

The spectrum of 32 ms frames every 16 ms is split into bands: narrow below 3 kHz, wider above, widest above 8 kHz.
Each band becomes one vector. Each block has two recurrent layers, one along time and one along the bands. A small
decoder then estimates a complex filter over a few frames for each bin. All bands share the recurrent layers, so the
network for 48 kHz is the one for 16 kHz with eight more bands.

Ideas: Y. Luo and J. Yu, "Music Source Separation with Band-split RNN", TASLP 2023 (band split, the two directions);
W. Mack and E. Habets, "Deep Filtering", SPL 2020 (a filter over frames instead of a mask).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from soundsright.core.errors import UsageError

FRAME_S = 0.032
COMPRESSION = 0.3
BANDS = {16_000: ((8, 4), (8, 8), (10, 16)), 48_000: ((8, 4), (8, 8), (10, 16), (8, 64))}
"""(number, width in bins) of the bands from 0 Hz up. The bin at half the sampling rate is in no band and is
dropped.
"""

_TINY = 1e-12


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of the network. With `causal`, only the filter looks at later frames.

    Raises:
        UsageError: there are no bands for the rate, or a size is out of range.
    """

    sample_rate_hz: int = 16_000
    channels: int = 32
    blocks: int = 3
    past_frames: int = 1
    future_frames: int = 1
    causal: bool = False

    def __post_init__(self) -> None:
        if self.sample_rate_hz not in BANDS:
            raise UsageError(
                f"There is no network for {self.sample_rate_hz} Hz", f"Choose from {', '.join(map(str, BANDS))}."
            )
        if (
            min(self.channels, self.blocks) < 1
            or self.channels % 2
            or min(self.past_frames, self.future_frames) < 0
        ):
            raise UsageError(
                f"{self} is not a valid network", "Give an even number of channels and at least one block."
            )

    @property
    def frame(self) -> int:
        return round(FRAME_S * self.sample_rate_hz)

    @property
    def hop(self) -> int:
        return self.frame // 2

    @property
    def taps(self) -> int:
        return self.past_frames + 1 + self.future_frames

    @property
    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """The configuration from the values of `as_json`.

        Raises:
            UsageError: a name is not a field.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise UsageError(f"Not a network's configuration: {error}", "Choose another checkpoint.") from error


def spectrum(signal: Tensor, frame: int, hop: int) -> Tensor:
    """Spectra `(batch, frames, bins)` with a square-root Hann window, after padding with silence on both sides.

    The frames equal those of `stft` in `models/template/app/audio.py`, which runs the network in a model.
    """
    margin = frame - hop
    frames = -(-(signal.shape[-1] + margin) // hop)
    padded = nn.functional.pad(signal, (margin, (frames - 1) * hop + frame - margin - signal.shape[-1]))
    return torch.fft.rfft(padded.unfold(-1, frame, hop) * _sqrt_hann(frame, signal))


def signal_of(spectra: Tensor, frame: int, hop: int, length: int) -> Tensor:
    """The inverse of `spectrum`: signals `(batch, length)`, by overlap-add of half-overlapping frames."""
    frames = torch.fft.irfft(spectra, frame) * _sqrt_hann(frame, spectra.real)
    first, second = frames[..., :hop], frames[..., hop:]
    total = first[..., 1:, :] + second[..., :-1, :]
    tail = second[..., -1:, :]
    return torch.cat([total, tail], dim=-2).flatten(-2)[..., :length]


def _sqrt_hann(frame: int, like: Tensor) -> Tensor:
    return torch.sin(torch.pi * torch.arange(frame, device=like.device, dtype=like.dtype) / frame)


class BandSplit(nn.Module):  # type: ignore[misc]
    """Maps `(batch, frames, bins, features)` to `(batch, frames, bands, channels)`, with weights for each band."""

    def __init__(self, bands: tuple[tuple[int, int], ...], features: int, channels: int) -> None:
        super().__init__()
        self.bands = bands
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(count, width * features, channels) / (width * features) ** 0.5)
            for count, width in bands
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(count, channels)) for count, _ in bands)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames = x.shape[:2]
        out, first = [], 0
        for (count, width), weight, bias in zip(self.bands, self.weights, self.biases, strict=True):
            band = x[:, :, first : first + count * width].reshape(batch * frames, count, -1)
            out.append(torch.bmm(band.transpose(0, 1), weight).transpose(0, 1) + bias)
            first += count * width
        return torch.cat(out, dim=1).reshape(batch, frames, -1, out[0].shape[-1])


class BandJoin(nn.Module):  # type: ignore[misc]
    """Maps `(batch, frames, bands, channels)` to `(batch, frames, bins, features)`, with weights for each band."""

    def __init__(self, bands: tuple[tuple[int, int], ...], channels: int, features: int) -> None:
        super().__init__()
        self.bands, self.features = bands, features
        self.weights = nn.ParameterList(
            nn.Parameter(0.1 * torch.randn(count, channels, width * features) / channels**0.5)
            for count, width in bands
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(count, width * features)) for count, width in bands)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames = x.shape[:2]
        x = x.reshape(batch * frames, *x.shape[2:])
        out, first = [], 0
        for (count, width), weight, bias in zip(self.bands, self.weights, self.biases, strict=True):
            band = torch.bmm(x[:, first : first + count].transpose(0, 1), weight).transpose(0, 1) + bias
            out.append(band.reshape(batch, frames, count * width, self.features))
            first += count
        return torch.cat(out, dim=2)


class Block(nn.Module):  # type: ignore[misc]
    """A recurrent layer along time in each band, then one along the bands in each frame, both with a skip
    connection.
    """

    def __init__(self, channels: int, *, causal: bool) -> None:
        super().__init__()
        self.time_norm = nn.LayerNorm(channels)
        self.time = nn.LSTM(channels, channels, bidirectional=not causal)
        self.time_out = nn.Linear(channels * (1 if causal else 2), channels)
        self.band_norm = nn.LayerNorm(channels)
        self.band = nn.GRU(channels, channels // 2, bidirectional=True)
        self.band_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, bands, channels = x.shape
        along = self.time_norm(x).transpose(0, 1).reshape(frames, batch * bands, channels)
        x = x + self.time_out(self.time(along)[0]).reshape(frames, batch, bands, channels).transpose(0, 1)
        along = self.band_norm(x).permute(2, 0, 1, 3).reshape(bands, batch * frames, channels)
        return x + self.band_out(self.band(along)[0]).reshape(bands, batch, frames, channels).permute(1, 2, 0, 3)


class Network(nn.Module):  # type: ignore[misc]
    """Maps degraded spectra to enhanced ones, both as real and imaginary parts `(batch, frames, bins, 2)`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        bands, channels = BANDS[config.sample_rate_hz], config.channels
        self.split = BandSplit(bands, 3, channels)
        self.blocks = nn.ModuleList(Block(channels, causal=config.causal) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(channels)
        self.hidden = nn.Linear(channels, 4 * channels)
        self.join = BandJoin(bands, 2 * channels, 2 * config.taps)

    def forward(self, parts: Tensor) -> Tensor:
        bins = parts.shape[2] - 1
        scale = (parts.square().mean(dim=(1, 2, 3), keepdim=True) + _TINY).rsqrt()
        degraded = parts[:, :, :bins] * scale
        magnitude = (degraded.square().sum(-1, keepdim=True) + _TINY).sqrt()
        loud = magnitude**COMPRESSION
        x = self.split(torch.cat([loud, degraded / magnitude * loud], dim=-1))
        for block in self.blocks:
            x = block(x)
        x = self.join(nn.functional.glu(self.hidden(self.norm(x)), dim=-1))
        return nn.functional.pad(self._filtered(x, parts[:, :, :bins]), (0, 0, 0, 1))

    def _filtered(self, filters: Tensor, degraded: Tensor) -> Tensor:
        """The frames after each bin's complex filter; 1 is added to its middle tap."""
        past, future, frames = self.config.past_frames, self.config.future_frames, degraded.shape[1]
        around = nn.functional.pad(degraded, (0, 0, 0, 0, past, future))
        real, imaginary = torch.zeros_like(degraded[..., 0]), torch.zeros_like(degraded[..., 0])
        for tap in range(self.config.taps):
            a, b = around[:, tap : tap + frames].unbind(-1)
            c, d = filters[..., 2 * tap], filters[..., 2 * tap + 1]
            if tap == past:
                c = c + 1.0
            real, imaginary = real + a * c - b * d, imaginary + a * d + b * c
        return torch.stack([real, imaginary], dim=-1)

    def enhance(self, signal: Tensor) -> Tensor:
        """The enhanced signals of degraded ones, both `(batch, n)`."""
        frame, hop = self.config.frame, self.config.hop
        parts = torch.view_as_real(spectrum(signal, frame, hop))
        return signal_of(torch.view_as_complex(self(parts).contiguous()), frame, hop, signal.shape[-1])
