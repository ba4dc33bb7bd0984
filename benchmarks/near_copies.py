"""Measures how much the outputs agree of independent enhancers, and of copies. The threshold is between the two.

    python benchmarks/near_copies.py [--clips 12] [--seed 1] [--competition DENOISING_16000HZ]

The agreements are medians over the clips, in dB (`soundsright.copies.behaviour`): of the models under models/ with
each other, and of each model with disguised copies of it. A mixture is compared with both outputs that are in it.
The table also has what a disguise adds to the scores, on one clip of each competition, in the mean over the models.
At the end comes the processor time that the comparison of 64 entries takes on 100 clips.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import istft, lfilter, stft

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])
from benchmarks.enhancers import ENTRIES, available
from soundsright.copies.behaviour import EXAMINED_CLIPS, NEAR_COPY_DB, UNREAD_NEAR_COPY_DB, agreements
from soundsright.core.audio import Audio, Clip, Samples, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition, competition_by_id
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus
from soundsright.metrics.suite import score_clip, warm_up

Disguise = Callable[[Samples, Samples, int], Samples]
SCORED_CLIPS = 1


def with_noise(output: Samples, level_db: float) -> Samples:
    rng = np.random.default_rng(0)
    level = np.sqrt(np.mean(output**2)) * 10 ** (level_db / 20)
    return np.asarray(output + level * rng.standard_normal(len(output)), dtype=np.float32)


def later(output: Samples, samples: int) -> Samples:
    return np.concatenate((np.zeros(samples, np.float32), output[:-samples]))


def filtered(output: Samples, above: list[float], below: list[float]) -> Samples:
    return np.asarray(lfilter(above, below, output), dtype=np.float32)


def all_passed(output: Samples, _noisy: Samples, _rate_hz: int) -> Samples:
    return filtered(output, [0.5, 1.0], [1.0, 0.5])


def several(output: Samples, noisy: Samples, rate_hz: int) -> Samples:
    return later(all_passed(with_noise(np.float32(-0.5) * output, -40), noisy, rate_hz), 77)


def swinging(output: Samples, rate_hz: int, part: float, hz: float) -> Samples:
    swing = 1 + part * np.sin(2 * np.pi * hz * np.arange(len(output)) / rate_hz)
    return np.asarray(output * swing, dtype=np.float32)


def humming(output: Samples, _noisy: Samples, rate_hz: int) -> Samples:
    hum = output.std() * np.sin(2 * np.pi * 40 * np.arange(len(output)) / rate_hz)
    return np.asarray(output + hum, dtype=np.float32)


def clipped(output: Samples, _noisy: Samples, _rate_hz: int) -> Samples:
    peak = max(float(np.abs(output).max()), 1e-9)
    return np.asarray(np.tanh(output / peak) * peak, dtype=np.float32)


def random_gains(output: Samples, rate_hz: int, sd_db: float, smoothed: float = 0.0) -> Samples:
    """The output with a random gain in each bin of its spectrum, or in each neighbourhood of bins."""
    rng = np.random.default_rng(0)
    _, _, spectrum = stft(output, rate_hz, nperseg=rate_hz * 32 // 1000)
    gains = rng.standard_normal(spectrum.shape)
    if smoothed:
        gains = gaussian_filter(gains, smoothed)
    spectrum = spectrum * 10 ** (sd_db / 20 * gains / gains.std())
    return np.asarray(istft(spectrum, rate_hz, nperseg=rate_hz * 32 // 1000)[1][: len(output)], dtype=np.float32)


def random_phases(output: Samples, noisy: Samples, rate_hz: int, part: float) -> Samples:
    """The output with a part of what was removed, at random phases."""
    _, _, removed = stft(noisy - output, rate_hz, nperseg=rate_hz * 32 // 1000)
    turned = np.abs(removed) * np.exp(2j * np.pi * np.random.default_rng(0).random(removed.shape))
    added = istft(turned, rate_hz, nperseg=rate_hz * 32 // 1000)[1][: len(output)]
    return np.asarray(output + part * added, dtype=np.float32)


DISGUISES: dict[str, Disguise] = {
    "one sample later": lambda output, _noisy, _rate: later(output, 1),
    "123 samples later": lambda output, _noisy, _rate: later(output, 123),
    "other sign": lambda output, _noisy, _rate: -output,
    "6 dB quieter": lambda output, _noisy, _rate: output * np.float32(0.5),
    "equaliser": lambda output, _noisy, _rate: filtered(output, [1.0, -0.6], [1.0, -0.2]),
    "all-pass of first order": all_passed,
    "all-pass of second order": lambda output, _noisy, _rate: filtered(output, [0.7, -0.9, 1.0], [1.0, -0.9, 0.7]),
    "all-pass, long": lambda output, _noisy, _rate: filtered(output, [0.95, -1.8, 1.0], [1.0, -1.8, 0.95]),
    "12 bits": lambda output, _noisy, _rate: (np.rint(output * 2048) / 2048).astype(np.float32),
    "noise at -40 dB": lambda output, _noisy, _rate: with_noise(output, -40),
    "noise at -30 dB": lambda output, _noisy, _rate: with_noise(output, -30),
    "hum at 0 dB": humming,
    "a tenth of the input": lambda output, noisy, _rate: np.float32(0.9) * output + np.float32(0.1) * noisy,
    "three tenths of the input": lambda output, noisy, _rate: np.float32(0.7) * output + np.float32(0.3) * noisy,
    "later, and a tenth of the input": lambda output, noisy, _rate: (
        np.float32(0.9) * later(output, 123) + np.float32(0.1) * noisy
    ),
    "soft clipping": clipped,
    "level swinging by 10 %": lambda output, _noisy, rate: swinging(output, rate, 0.1, 4),
    "level swinging by 30 %, slowly": lambda output, _noisy, rate: swinging(output, rate, 0.3, 1),
    "quieter, other sign, noise, all-pass, later": several,
    "random gains of 1 dB": lambda output, _noisy, rate: random_gains(output, rate, 1),
    "random gains of 2 dB": lambda output, _noisy, rate: random_gains(output, rate, 2),
    "random gains of 3 dB": lambda output, _noisy, rate: random_gains(output, rate, 3),
    "random gains of 1 dB, smoothed": lambda output, _noisy, rate: random_gains(output, rate, 1, 2.0),
    "random gains of 2 dB, smoothed": lambda output, _noisy, rate: random_gains(output, rate, 2, 2.0),
    "a tenth of the removed noise, other phases": lambda output, noisy, rate: random_phases(
        output, noisy, rate, 0.1
    ),
    "a fifth of the removed noise, other phases": lambda output, noisy, rate: random_phases(
        output, noisy, rate, 0.2
    ),
}
MIXTURES: dict[str, tuple[int, float]] = {
    "mean with another output": (1, 0.5),
    "seven tenths, and three of another output": (3, 0.7),
}
"""The number of the other output, counted from the model's own, and the part of the model's own output."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--competition", help="one of the four competitions; default: all of them")
    options = parser.parse_args()
    warm_up()
    models = dict(available(ENTRIES))
    corpus = Corpus.open()
    measured = Measured()
    for competition in [competition_by_id(options.competition)] if options.competition else PUBLISHED:
        clips = [draw_clip(competition, options.seed, i, corpus=corpus) for i in range(options.clips)]
        measured.add(competition, clips, models)
    measured.show()
    for rate_hz in (16_000, 48_000):
        seconds = seconds_for_64_entries(rate_hz)
        print(f"64 entries, 100 clips of 4 s at {rate_hz} Hz: {seconds:.0f} s of processor time")


class Measured:
    """The agreements of independent outputs and of copies, and the scores of copies, over all competitions."""

    def __init__(self) -> None:
        self.independent: list[tuple[float, str]] = []
        self.spectra: list[tuple[float, str]] = []
        self.mixed: list[tuple[float, str]] = []
        self.copies: defaultdict[str, list[float]] = defaultdict(list)
        self.scores: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, competition: Competition, clips: Sequence[Clip], models: Mapping[str, ModuleType]) -> None:
        rate_hz = competition.sample_rate_hz
        clean, noisy = [c.clean.samples for c in clips], [c.degraded.samples for c in clips]
        outputs = {
            name: [np.asarray(model.enhance(x, rate_hz), dtype=np.float32) for x in noisy]
            for name, model in models.items()
        }
        found = agreements(clean, noisy, outputs, sample_rate_hz=rate_hz, least_mixture_db=-100.0)
        self.independent += [(value, " and ".join(pair)) for pair, value in found.pairs.items()]
        self.spectra += [(value, " and ".join(pair)) for pair, value in found.spectra.items()]
        self.mixed += [(value, ", ".join(names)) for names, value in found.mixtures.items()]
        for name, disguise in DISGUISES.items():
            for output in outputs.values():
                copy = [disguise(y, x, rate_hz) for y, x in zip(output, noisy, strict=True)]
                pair = agreements(clean, noisy, {"a": output, "b": copy}, sample_rate_hz=rate_hz)
                late = [value for (mixture, *_), value in pair.mixtures.items() if mixture == "b"]
                self.copies[name].append(max([*pair.pairs.values(), *pair.spectra.values(), *late], default=0.0))
                self._score(name, clips, copy)
        for name, (step, part) in MIXTURES.items():
            for number, output in enumerate(outputs.values()):
                other = list(outputs.values())[(number + step) % len(outputs)]
                mixed = [
                    np.float32(part) * a + np.float32(1 - part) * b for a, b in zip(output, other, strict=True)
                ]
                three = {"a": output, "b": other, "mixture": mixed}
                triple = agreements(clean, noisy, three, sample_rate_hz=rate_hz)
                values = (value for (mixture, *_), value in triple.mixtures.items() if mixture == "mixture")
                self.copies[name].append(max(values, default=0.0))
                self._score(name, clips, mixed)
        for output in outputs.values():
            self._score("", clips, output)

    def _score(self, name: str, clips: Sequence[Clip], copy: Sequence[Samples]) -> None:
        for clip, samples in list(zip(clips, copy, strict=True))[:SCORED_CLIPS]:
            enhanced = Audio(on_pcm16_grid(samples), clip.clean.sample_rate_hz)
            for metric, score in score_clip(clip.clean, enhanced, names=("PESQ_WB", "ESTOI", "SI_SDR")).items():
                self.scores[name][metric].append(score)

    def show(self) -> None:
        pairs = len(self.independent)
        least_db, row = UNREAD_NEAR_COPY_DB, "| {} | {} of {} | {:.1f} | {:.1f} | {} |"
        above = sum(value >= least_db for value, _ in self.independent + self.spectra + self.mixed)
        bound = 1 - 0.05 ** (1 / pairs)
        print(f"independent pairs: {pairs}, highest agreement {max(self.independent)[0]:.1f} dB")
        print(f"independent triples: {len(self.mixed)}, highest agreement {max(self.mixed)[0]:.1f} dB")
        print(f"levels in bands: highest agreement {max(self.spectra)[0]:.1f} dB, {max(self.spectra)[1]}")
        print(f"highest pairs: {sorted(self.independent)[-3:]}")
        print(f"at or above {least_db:g} dB: {above}; if none is, the rate of false alarms per pair is below")
        print(f"{bound:.1%} with 95 % confidence\n")
        print(
            f"| copies | found at {NEAR_COPY_DB:g} dB | lowest, dB | highest, dB | PESQ-WB | ESTOI | SI-SDR, dB |"
        )
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name, values in self.copies.items():
            found = sum(value >= NEAR_COPY_DB for value in values)
            lost = [
                f"{np.mean(self.scores[name][metric]) - np.mean(self.scores[''][metric]):+.{digits}f}"
                for metric, digits in (("PESQ_WB", 2), ("ESTOI", 3), ("SI_SDR", 1))
            ]
            print(row.format(name, found, len(values), min(values), max(values), " | ".join(lost)))


def seconds_for_64_entries(sample_rate_hz: int, clips: int = 4) -> float:
    """The processor time of the comparison on 100 clips, from that on a few. The signals are noise."""
    rng = np.random.default_rng(0)
    clean, noise = rng.standard_normal((2, clips, 4 * sample_rate_hz), np.float32)
    outputs = {
        str(entry): [one + np.float32(0.1) * rng.standard_normal(len(one), np.float32) for one in clean]
        for entry in range(64)
    }

    def seconds_per_clip(examined_clips: int) -> float:
        start = time.process_time()
        noisy = [one + another for one, another in zip(clean, noise, strict=True)]
        agreements(list(clean), noisy, outputs, sample_rate_hz=sample_rate_hz, examined_clips=examined_clips)
        return (time.process_time() - start) / clips

    return EXAMINED_CLIPS * seconds_per_clip(clips) + (100 - EXAMINED_CLIPS) * seconds_per_clip(0)


if __name__ == "__main__":
    main()
