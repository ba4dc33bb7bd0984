"""The baseline's network: signals float32 `(batch, n)`, full scale ±1; spectra complex `(batch, frames, bins)`.

A spectrum of 32 ms frames every 16 ms is split into bands: narrow ones below 3 kHz, coarser ones above, the widest
above 8 kHz. Each band becomes one vector. Blocks of two recurrent layers, one along time and one along the bands,
let the vectors see the clip and each other; a small decoder then gives each bin a complex filter over a few frames.
All bands share the recurrent layers, so a network for 48 kHz is the one for 16 kHz with eight more bands.

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
"""(number, width in bins) of the bands from 0 Hz up; the bin at half the sampling rate, in none, is dropped."""

_TINY = 1e-12


@dataclass(frozen=True)
class NetworkConfig:
    """What decides the network's shape. `causal` looks at no later frame but those of the filter.

    Raises:
        UsageError: for a rate without bands, or sizes below one.
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
                f"No network for {self.sample_rate_hz} Hz", f"Choose from {', '.join(map(str, BANDS))}."
            )
        if (
            min(self.channels, self.blocks) < 1
            or self.channels % 2
            or min(self.past_frames, self.future_frames) < 0
        ):
            raise UsageError(f"{self} is no network", "Give an even number of channels and at least one block.")

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
        """The configuration that `as_json` gave.

        Raises:
            UsageError: for names that are none of the fields.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise UsageError(f"Not a network's configuration: {error}", "Choose another checkpoint.") from error


def spectrum(signal: Tensor, frame: int, hop: int) -> Tensor:
    """Spectra `(batch, frames, bins)` under a square-root Hann window; silence is added on both sides.

    The frames are those of `stft` in `models/template/app/audio.py`, which serves the network.
    """
    margin = frame - hop
    frames = -(-(signal.shape[-1] + margin) // hop)
    padded = nn.functional.pad(signal, (margin, (frames - 1) * hop + frame - margin - signal.shape[-1]))
    return torch.fft.rfft(padded.unfold(-1, frame, hop) * _sqrt_hann(frame, signal))


def signal_of(spectra: Tensor, frame: int, hop: int, length: int) -> Tensor:
    """The signal whose `spectrum` this is, `(batch, length)`, by overlap-add of half-overlapping frames."""
    frames = torch.fft.irfft(spectra, frame) * _sqrt_hann(frame, spectra.real)
    first, second = frames[..., :hop], frames[..., hop:]
    total = first[..., 1:, :] + second[..., :-1, :]
    tail = second[..., -1:, :]
    return torch.cat([total, tail], dim=-2).flatten(-2)[..., :length]


def _sqrt_hann(frame: int, like: Tensor) -> Tensor:
    return torch.sin(torch.pi * torch.arange(frame, device=like.device, dtype=like.dtype) / frame)


class BandSplit(nn.Module):
    """`(batch, frames, bins, features)` to `(batch, frames, bands, channels)`, with weights for each band."""

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


class BandJoin(nn.Module):
    """`(batch, frames, bands, channels)` to `(batch, frames, bins, features)`, with weights for each band."""

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


class Block(nn.Module):
    """A recurrent layer along time for each band, then one along the bands for each frame; both add to `x`."""

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


class Network(nn.Module):
    """Degraded spectra to enhanced ones, both as real and imaginary parts `(batch, frames, bins, 2)`."""

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
        given = parts[:, :, :bins] * scale
        magnitude = (given.square().sum(-1, keepdim=True) + _TINY).sqrt()
        loud = magnitude**COMPRESSION
        x = self.split(torch.cat([loud, given / magnitude * loud], dim=-1))
        for block in self.blocks:
            x = block(x)
        x = self.join(nn.functional.glu(self.hidden(self.norm(x)), dim=-1))
        return nn.functional.pad(self._filtered(x, parts[:, :, :bins]), (0, 0, 0, 1))

    def _filtered(self, filters: Tensor, given: Tensor) -> Tensor:
        """Each bin's frames weighted with its complex filter, whose middle tap starts from one."""
        past, future, frames = self.config.past_frames, self.config.future_frames, given.shape[1]
        around = nn.functional.pad(given, (0, 0, 0, 0, past, future))
        real, imaginary = torch.zeros_like(given[..., 0]), torch.zeros_like(given[..., 0])
        for tap in range(self.config.taps):
            a, b = around[:, tap : tap + frames].unbind(-1)
            c, d = filters[..., 2 * tap], filters[..., 2 * tap + 1]
            if tap == past:
                c = c + 1.0
            real, imaginary = real + a * c - b * d, imaginary + a * d + b * c
        return torch.stack([real, imaginary], dim=-1)

    def enhance(self, signal: Tensor) -> Tensor:
        """Enhanced signals for degraded ones, `(batch, n)` both."""
        frame, hop = self.config.frame, self.config.hop
        parts = torch.view_as_real(spectrum(signal, frame, hop))
        return signal_of(torch.view_as_complex(self(parts).contiguous()), frame, hop, signal.shape[-1])
