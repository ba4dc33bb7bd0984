"""Measures how much the outputs agree of independent enhancers, and of copies. The threshold is between the two.

    python benchmarks/near_copies.py [--clips 24] [--seed 1] [--competition DENOISING_16000HZ]

Prints the median agreement in dB (`soundsright.copies.behaviour`) of each pair of models under models/. Then it
compares each model with disguised copies of itself: later, with the other sign, filtered, rounded to 12 bits, with
noise 40 dB below the speech, mixed with a tenth of the input, and several of these together. At the end it prints
the processor time that the comparison of 64 entries takes on 100 clips.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy.signal import lfilter

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.enhancers import ENTRIES, available
from soundsright.copies.behaviour import NEAR_COPY_DB, median_agreement_db, near_copies
from soundsright.core.audio import Samples
from soundsright.core.competition import PUBLISHED, Competition, competition_by_id
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus


def smoothed(output: Samples, _noisy: Samples) -> Samples:
    weights = np.array([0.05, 0.9, 0.05], dtype=np.float32)
    return np.convolve(output, weights, mode="same").astype(np.float32)


def with_noise(output: Samples, _noisy: Samples) -> Samples:
    rng = np.random.default_rng(0)
    level = np.sqrt(np.mean(output**2)) * 10 ** (-40 / 20)
    return np.asarray(output + level * rng.standard_normal(len(output)), dtype=np.float32)


def later(output: Samples, samples: int) -> Samples:
    return np.concatenate((np.zeros(samples, np.float32), output[:-samples]))


def filtered(output: Samples, above: list[float], below: list[float]) -> Samples:
    return np.asarray(lfilter(above, below, output), dtype=np.float32)


def all_passed(output: Samples, _noisy: Samples) -> Samples:
    return filtered(output, [0.5, 1.0], [1.0, 0.5])


def all_passed_twice(output: Samples, _noisy: Samples) -> Samples:
    return filtered(output, [0.7, -0.9, 1.0], [1.0, -0.9, 0.7])


def several(output: Samples, noisy: Samples) -> Samples:
    return later(all_passed(with_noise(np.float32(-0.5) * output, noisy), noisy), 77)


DISGUISES: dict[str, Callable[[Samples, Samples], Samples]] = {
    "one sample later": lambda output, _noisy: later(output, 1),
    "123 samples later": lambda output, _noisy: later(output, 123),
    "other sign": lambda output, _noisy: -output,
    "all-pass of first order": all_passed,
    "all-pass of second order": all_passed_twice,
    "equaliser": lambda output, _noisy: filtered(output, [1.0, -0.6], [1.0, -0.2]),
    "6 dB quieter": lambda output, _noisy: output * np.float32(0.5),
    "12 bits": lambda output, _noisy: (np.rint(output * 2048) / 2048).astype(np.float32),
    "noise at -40 dB": with_noise,
    "a tenth of the input": lambda output, noisy: np.float32(0.9) * output + np.float32(0.1) * noisy,
    "low-passed": smoothed,
    "quieter, other sign, noise, all-pass, later": several,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--competition", help="one of the four competitions; default: all of them")
    options = parser.parse_args()
    models = dict(available(ENTRIES))
    corpus = Corpus.open()
    independent: list[float] = []
    disguised: dict[str, list[float]] = {name: [] for name in DISGUISES}
    for competition in [competition_by_id(options.competition)] if options.competition else PUBLISHED:
        apart, alike = agreements(competition, models, corpus, options.clips, options.seed)
        independent += apart
        for name, values in alike.items():
            disguised[name] += values
    above = sum(value >= NEAR_COPY_DB for value in independent)
    bound = 1 - 0.05 ** (1 / len(independent))
    print(f"\nindependent pairs: {len(independent)}, highest agreement {max(independent):.1f} dB")
    print(f"above the threshold of {NEAR_COPY_DB:g} dB: {above}; if none is, the rate of false alarms per pair is")
    print(f"below {bound:.1%} with 95 % confidence")
    for name, values in disguised.items():
        detected = sum(value >= NEAR_COPY_DB for value in values)
        print(f"copies, {name}: {detected} of {len(values)} found, {min(values):.1f} to {max(values):.1f} dB")
    for rate_hz in (16_000, 48_000):
        seconds = seconds_for_64_entries(rate_hz)
        print(f"64 entries, 100 clips of 4 s at {rate_hz} Hz: {seconds:.0f} s of processor time")


def seconds_for_64_entries(sample_rate_hz: int, clips: int = 4) -> float:
    """The processor time of the comparison on 100 clips, from that on a few. The signals are noise."""
    rng = np.random.default_rng(0)
    clean = [rng.standard_normal(4 * sample_rate_hz, np.float32) for _ in range(clips)]
    outputs = {
        str(entry): [one + np.float32(0.1) * rng.standard_normal(len(one), np.float32) for one in clean]
        for entry in range(64)
    }
    start = time.process_time()
    near_copies(clean, outputs, sample_rate_hz=sample_rate_hz)
    return (time.process_time() - start) * 100 / clips


def agreements(
    competition: Competition, models: Mapping[str, ModuleType], corpus: Corpus, count: int, seed: int
) -> tuple[list[float], dict[str, list[float]]]:
    clips = [draw_clip(competition, seed, i, corpus=corpus) for i in range(count)]
    clean, noisy = [c.clean.samples for c in clips], [c.degraded.samples for c in clips]
    outputs = {
        name: [np.asarray(m.enhance(x, competition.sample_rate_hz), dtype=np.float32) for x in noisy]
        for name, m in models.items()
    }
    rate_hz = competition.sample_rate_hz
    print(f"\n{competition.title}, {count} clips")
    apart = []
    for first, second in itertools.combinations(outputs, 2):
        value = median_agreement_db(clean, outputs[first], outputs[second], sample_rate_hz=rate_hz)
        if value is not None:
            apart.append(value)
            print(f"  {first:<16}{second:<16}{value:>7.1f} dB")
    alike: dict[str, list[float]] = {name: [] for name in DISGUISES}
    for output in outputs.values():
        for name, disguise in DISGUISES.items():
            copy = [disguise(y, x) for y, x in zip(output, noisy, strict=True)]
            value = median_agreement_db(clean, output, copy, sample_rate_hz=rate_hz)
            if value is not None:
                alike[name].append(value)
    return apart, alike


if __name__ == "__main__":
    main()
