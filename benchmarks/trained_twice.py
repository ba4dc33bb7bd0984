"""Measures how much models agree that were trained alike, and parametric enhancers with other parameters.

    python benchmarks/trained_twice.py [--steps 400]

It needs PyTorch. Small recurrent networks of one architecture learn masks for `DENOISING_16000HZ` on drawn clips:
with other initial weights, on the same clips or on disjoint halves of them, or with another loss. Spectral
subtraction is run with several parameters, alone and after a network. Agreements are in dB.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from scipy.signal import istft, stft

from soundsright.copies.behaviour import agreements
from soundsright.core.audio import Clip, Samples
from soundsright.core.competition import competition_by_id
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus

TRAINING_CLIPS, TEST_CLIPS, BATCH, SAMPLES = 240, 12, 12, 32_000
_WINDOW = torch.hann_window(512)


class Masks(torch.nn.Module):  # type: ignore[misc]
    """A recurrent network that gives a mask for each spectrum."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = torch.nn.GRU(257, 128, batch_first=True)
        self.out = torch.nn.Linear(128, 257)

    def forward(self, spectra: torch.Tensor) -> torch.Tensor:
        levels = (torch.log(spectra.abs() + 1e-4).transpose(1, 2) + 4) / 3
        return torch.sigmoid(self.out(self.recurrent(levels)[0])).transpose(1, 2)


def spectra_of(samples: Samples) -> torch.Tensor:
    return torch.stft(torch.as_tensor(samples), 512, 256, window=_WINDOW, return_complex=True)


def trained(clips: Sequence[Clip], seed: int, steps: int, *, compressed: bool = True) -> Masks:
    noisy = torch.stack([spectra_of(clip.degraded.samples[:SAMPLES]) for clip in clips])
    clean = torch.stack([spectra_of(clip.clean.samples[:SAMPLES]) for clip in clips])
    torch.manual_seed(seed)
    model = Masks()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        chosen = torch.randint(len(clips), (BATCH,))
        masked = model(noisy[chosen]) * noisy[chosen]
        if compressed:
            loss = ((masked.abs() + 1e-3) ** 0.3 - (clean[chosen].abs() + 1e-3) ** 0.3).pow(2).mean()
        else:
            energy = clean[chosen].abs().pow(2).sum((1, 2))
            loss = ((masked - clean[chosen]).abs().pow(2).sum((1, 2)) / energy).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


def enhanced(model: Masks, clips: Sequence[Clip]) -> list[Samples]:
    outputs: list[Samples] = []
    with torch.no_grad():
        for clip in clips:
            noisy = spectra_of(clip.degraded.samples)[None]
            count = len(clip.degraded.samples)
            signal: Any = torch.istft((model(noisy) * noisy)[0], 512, 256, window=_WINDOW, length=count)
            outputs.append(signal.numpy().astype(np.float32))
    return outputs


def subtracted(outputs: Sequence[Samples], *, over: float, floor: float, size: int = 512) -> list[Samples]:
    """Spectral subtraction of a stationary noise, the lower quintile of the power in each bin."""
    results: list[Samples] = []
    for output in outputs:
        _, _, spectrum = stft(output, 16_000, nperseg=size)
        power = np.abs(spectrum) ** 2
        noise = 1.5 * np.quantile(power, 0.2, axis=1, keepdims=True)
        gain = np.sqrt(np.maximum(1 - over * noise / (power + 1e-12), floor))
        results.append(istft(spectrum * gain, 16_000, nperseg=size)[1][: len(output)].astype(np.float32))
    return results


def show(clips: Sequence[Clip], outputs: Mapping[str, Sequence[Samples]]) -> None:
    clean, noisy = [clip.clean.samples for clip in clips], [clip.degraded.samples for clip in clips]
    found = agreements(clean, noisy, outputs)
    print("| one | other | waveform, dB | levels in bands, dB |")
    print("| --- | --- | ---: | ---: |")
    for pair in combinations(outputs, 2):
        print(f"| {pair[0]} | {pair[1]} | {found.pairs[pair]:.1f} | {found.spectra[pair]:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    competition, corpus = competition_by_id("DENOISING_16000HZ"), Corpus.open()
    training = [draw_clip(competition, 777, i, corpus=corpus) for i in range(TRAINING_CLIPS)]
    clips = [draw_clip(competition, 1, i, corpus=corpus) for i in range(TEST_CLIPS)]
    networks = {
        "network": enhanced(trained(training, 1, steps), clips),
        "other initial weights": enhanced(trained(training, 2, steps), clips),
        "first half of the clips": enhanced(trained(training[::2], 3, steps), clips),
        "second half": enhanced(trained(training[1::2], 4, steps), clips),
        "other loss": enhanced(trained(training, 5, steps, compressed=False), clips),
    }
    show(clips, networks)
    noisy = [clip.degraded.samples for clip in clips]
    print()
    show(
        clips,
        {
            "subtraction": subtracted(noisy, over=1, floor=0.05),
            "subtracting twice as much": subtracted(noisy, over=2, floor=0.05),
            "frames of half the length": subtracted(noisy, over=1, floor=0.05, size=256),
            "frames of twice the length": subtracted(noisy, over=1.5, floor=0.1, size=1024),
            "network": networks["network"],
            "network, then subtraction": subtracted(networks["network"], over=1, floor=0.1),
            "network, then more subtraction": subtracted(networks["network"], over=3, floor=0.3),
            "other weights, then subtraction": subtracted(networks["other initial weights"], over=1, floor=0.1),
        },
    )


if __name__ == "__main__":
    main()
