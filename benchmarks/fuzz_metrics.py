"""Tests every metric that has a reference with hostile outputs: each score must be finite and in its range.

    python benchmarks/fuzz_metrics.py             # 100 000 outputs, the same on every machine
    python benchmarks/fuzz_metrics.py --table     # the scores of each kind of hostile output for one recording

Each output is drawn from `numpy.random.default_rng([seed, index])`, made hostile, checked by `metrics.validate`,
and scored. A rejected output scores the floors, as in a competition. The exit status is 1 if a score is not finite
or out of range.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import AudioRejected
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus
from soundsright.metrics.pesq import pesq
from soundsright.metrics.registry import METRICS, floors
from soundsright.metrics.suite import score_clip, warm_up
from soundsright.metrics.validate import checked_enhanced
from soundsright.services.scoring.folder import ScoreOptions, score_files, score_set

Samples = NDArray[np.floating[Any]]
Rng = np.random.Generator

NAMES = [name for name, each in METRICS.items() if each.needs_reference and not each.extra]
RATES_HZ = (16_000, 16_000, 16_000, 48_000, 8_000)


def speechlike(rng: Rng, n: int, rate: int) -> Samples:
    """Harmonics with a slow envelope and pauses, which every metric accepts as speech."""
    t = np.arange(n) / rate
    f0 = rng.uniform(80, 250)
    phase = 2 * np.pi * np.cumsum(f0 * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(2, 6) * t))) / rate
    voice = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 12))
    envelope = np.maximum(0, np.sin(2 * np.pi * rng.uniform(1, 4) * t + rng.uniform(0, 6)))
    return np.asarray(0.1 * voice * envelope + 1e-4 * rng.standard_normal(n))


def _random_bits(rng: Rng, x: Samples) -> Samples:
    return rng.integers(0, 2**32, len(x), dtype=np.uint32).view(np.float32)


def _with_value(rng: Rng, x: Samples, value: float) -> Samples:
    out = x.astype(np.float32)
    out[rng.integers(0, len(x), rng.integers(1, 20))] = value
    return out


def _burst(rng: Rng, x: Samples) -> Samples:
    out = np.zeros_like(x)
    start = rng.integers(0, len(x))
    out[start : start + rng.integers(1, 800)] = rng.uniform(-1, 1)
    return out


def _syllable(rng: Rng, x: Samples, rest: float) -> Samples:
    """A twentieth of the signal unchanged, and the rest multiplied by `rest`."""
    start = rng.integers(0, len(x))
    inside = (np.arange(len(x)) >= start) & (np.arange(len(x)) < start + max(1, len(x) // 20))
    return np.where(inside, x, rest * x)


def _holes(rng: Rng, x: Samples) -> Samples:
    spectrum = np.fft.rfft(x)
    spectrum[rng.random(len(spectrum)) < rng.uniform(0.1, 0.99)] = 0
    return np.asarray(np.fft.irfft(spectrum, len(x)))


def _gaps(rng: Rng, x: Samples) -> Samples:
    out = x.copy()
    for _ in range(rng.integers(1, 6)):
        start = rng.integers(0, len(x))
        out[start : start + rng.integers(1, len(x))] = 0
    return out


HOSTILE: dict[str, Callable[[Rng, Samples, Samples], Samples]] = {
    "the noisy input itself": lambda rng, x, y: y,
    "a perfect copy": lambda rng, x, y: x,
    "silence": lambda rng, x, y: 0 * x,
    "a constant": lambda rng, x, y: np.full(len(x), rng.uniform(-1, 1)),
    "an offset": lambda rng, x, y: x + rng.choice([-1e3, -0.5, 0.5, 1e3]),
    "denormals": lambda rng, x, y: x * 1e-42,
    "denormals on silence": lambda rng, x, y: rng.integers(0, 2, len(x)) * 1e-45,
    "NaN here and there": lambda rng, x, y: _with_value(rng, x, math.nan),
    "infinity here and there": lambda rng, x, y: _with_value(rng, x, math.inf),
    "NaN throughout": lambda rng, x, y: np.full(len(x), math.nan),
    "one huge sample": lambda rng, x, y: _with_value(rng, x, 3e38),
    "clipped hard": lambda rng, x, y: np.clip(x * 10.0 ** rng.uniform(1, 30), -1, 1),
    "over full scale": lambda rng, x, y: np.clip(x * 10.0 ** rng.uniform(1, 39), -3.4e38, 3.4e38),
    "far too quiet": lambda rng, x, y: x * 10.0 ** rng.uniform(-44, -1),
    "sign flipped": lambda rng, x, y: -y,
    "rescaled": lambda rng, x, y: y * rng.uniform(0.01, 3),
    "delayed": lambda rng, x, y: np.roll(y, rng.integers(-len(x), len(x))),
    "backwards": lambda rng, x, y: y[::-1].copy(),
    "white noise": lambda rng, x, y: rng.standard_normal(len(x)),
    "full-scale square": lambda rng, x, y: np.where(np.arange(len(x)) // rng.integers(1, 400) % 2, 1.0, -1.0),
    "one sample": lambda rng, x, y: _with_value(rng, 0 * x, rng.choice([1.0, -1e-30, 1e30])),
    "one burst": lambda rng, x, y: _burst(rng, x),
    "clicks added": lambda rng, x, y: _with_value(rng, y, rng.choice([1.0, -1.0])),
    "gaps of zeros": lambda rng, x, y: _gaps(rng, y),
    "a syllable amid silence": lambda rng, x, y: _syllable(rng, y, 0.0),
    "a burst amid quiet": lambda rng, x, y: _syllable(rng, y, 10.0 ** rng.uniform(-3, -1)),
    "spectral holes": lambda rng, x, y: _holes(rng, y),
    "one bit": lambda rng, x, y: np.sign(y),
    "random bits as float": lambda rng, x, y: _random_bits(rng, x),
    "random bits, made finite": lambda rng, x, y: np.nan_to_num(_random_bits(rng, x)),
    "the difference to the input": lambda rng, x, y: y - x,
    "orthogonal to the clean": lambda rng, x, y: y - x * (y @ x) / np.maximum(x @ x, 1e-30),
    "stereo": lambda rng, x, y: np.stack([y, y]),
    "a sample short": lambda rng, x, y: y[:-1],
    "half the length": lambda rng, x, y: y[: len(y) // 2],
    "nothing": lambda rng, x, y: y[:0],
    "twice the length": lambda rng, x, y: np.concatenate([y, y]),
}


def drawn(seed: int, index: int) -> tuple[str, Audio, Samples, Audio]:
    """The kind of one output, its clean signal, its hostile samples, and its noisy signal."""
    rng = np.random.default_rng([seed, index])
    rate = int(rng.choice(RATES_HZ))
    lengths = [int(0.6 * rate), int(0.45 * rate), int(rng.integers(1, rate // 2))]
    n = int(rng.choice(lengths, p=[0.5, 0.3, 0.2]))
    clean = np.zeros(n) if rng.random() < 0.01 else speechlike(rng, n, rate) * 10.0 ** rng.uniform(-4, 0.5)
    noisy = clean if rng.random() < 0.02 else clean + rng.standard_normal(n) * 10.0 ** rng.uniform(-5, 0)
    kind = str(rng.choice(list(HOSTILE)))
    with np.errstate(all="ignore"):
        output = HOSTILE[kind](rng, clean, noisy).astype(np.float32)
    return kind, Audio(clean.astype(np.float32), rate), output, Audio(noisy.astype(np.float32), rate)


def scored(clean: Audio, output: Samples, noisy: Audio, names: list[str]) -> tuple[dict[str, float], str]:
    """The scores as in a competition, and the code of the rejection, or an empty string."""
    try:
        enhanced = checked_enhanced("clip", output, clean.sample_rate_hz, clean)
    except AudioRejected as error:
        return floors(names), error.code
    return score_clip(clean, enhanced, noisy, names), ""


def worst_of(seed: int, start: int, count: int) -> tuple[int, list[str], dict[str, list[float]]]:
    """Score `count` outputs. Returns the number of scores, the wrong ones, and the range of each metric."""
    total = 0
    wrong: list[str] = []
    ranges: dict[str, list[float]] = {}
    for index in range(start, start + count):
        kind, clean, output, noisy = drawn(seed, index)
        names = [name for name in NAMES if clean.sample_rate_hz in METRICS[name].sample_rates_hz]
        if index % 4 and clean.sample_rate_hz != 8_000:
            names.remove("PESQ_NB")  # as slow as all others together, and the same code as wide band
        for name, value in scored(clean, output, noisy, names)[0].items():
            total += 1
            low, high = ranges.setdefault(name, [value, value])
            ranges[name] = [min(low, value), max(high, value)]
            if not (math.isfinite(value) and METRICS[name].low <= value <= METRICS[name].high):
                wrong.append(f"output {index} ({kind}): {name} = {value}")
    return total, wrong, ranges


def fuzz(outputs: int, seed: int, workers: int) -> int:
    """Score the outputs on a pool, print the ranges and the wrong scores. Returns the exit status."""
    start = time.perf_counter()
    total = 0
    wrong: list[str] = []
    ranges: dict[str, list[float]] = {}
    step = 250
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=warm_up) as pool:
        jobs = [pool.submit(worst_of, seed, i, min(step, outputs - i)) for i in range(0, outputs, step)]
        for job in jobs:
            scores, problems, part = job.result()
            total += scores
            wrong += problems
            for name, (low, high) in part.items():
                old = ranges.setdefault(name, [low, high])
                ranges[name] = [min(old[0], low), max(old[1], high)]
    print(f"{outputs} hostile outputs of {len(HOSTILE)} kinds, seed {seed}: {total} scores, {len(wrong)} wrong")
    print(f"{time.perf_counter() - start:.0f} s with {workers} workers")
    for name, (low, high) in ranges.items():
        print(f"  {name:<8} {low:9.4f} … {high:9.4f}   allowed {METRICS[name].low:g} … {METRICS[name].high:g}")
    for problem in wrong[:50]:
        print(problem)
    return 1 if wrong else 0


SPOILT_FILES: dict[str, Callable[[bytes], bytes | None]] = {
    "no file": lambda wav: None,
    "an empty file": lambda wav: b"",
    "a cut file": lambda wav: wav[: len(wav) // 2],
    "no audio": lambda wav: b"This is no sound.\n" * 100,
}


def table(seed: int) -> None:
    """Print a table: each kind of output for one shipped recording, scored as `soundsright score` does."""
    clip = draw_clip(PUBLISHED[0], seed, 0, corpus=Corpus.open())
    names = ("PESQ_WB", "ESTOI", "STOI", "SI_SDR", "SI_SIR", "SI_SAR", "SNR", "SSNR", "LSD", "COVL")
    clean, noisy = (a.samples.astype(np.float64) for a in (clip.clean, clip.degraded))
    outputs: dict[str, Samples] = {}
    for kind, make in HOSTILE.items():
        with np.errstate(all="ignore"):
            outputs[kind] = make(np.random.default_rng(seed), clean, noisy).astype(np.float32)
    print("| output | refused as | PESQ_WB as packaged | " + " | ".join(names) + " |")
    print("| --- | --- | ---: |" + " ---: |" * len(names))
    kinds = [*outputs, "half the rate", *SPOILT_FILES]
    with tempfile.TemporaryDirectory() as folder:
        sides = [Path(folder) / side for side in ("clean", "enhanced", "noisy")]
        for side in sides:
            side.mkdir()
        for number, kind in enumerate(kinds):
            paths = [side / f"{number:03}.wav" for side in sides]
            output = outputs.get(kind, noisy)
            rate = 8_000 if kind == "half the rate" else 16_000
            for path, signal, hz in zip(
                paths, (clip.clean.samples, output.T, clip.degraded.samples), (16_000, rate, 16_000), strict=True
            ):
                soundfile.write(path, signal, hz, subtype="FLOAT")
            if kind in SPOILT_FILES:
                spoilt = SPOILT_FILES[kind](paths[1].read_bytes())
                paths[1].unlink()
                if spoilt is not None:
                    paths[1].write_bytes(spoilt)
        results = score_files(score_set(*sides), ScoreOptions(names))
    for kind, result in zip(kinds, results, strict=True):
        refused = "" if result.failure is None else result.failure.code
        scores = floors(names) if result.scores is None else result.scores
        packaged = None if refused else pesq(clip.clean.samples, outputs[kind], 16_000, wide_band=True)
        raw = "none" if packaged is None else f"{packaged:.3f}"
        print(
            f"| {kind} | {refused} | {raw} | "
            + " | ".join(f"{round(scores[name], 3) + 0.0:.3f}" for name in names)
            + " |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print the score of each kind on one recording")
    arguments = parser.parse_args()
    if arguments.table:
        table(arguments.seed)
        return
    sys.exit(fuzz(arguments.outputs, arguments.seed, arguments.workers))


if __name__ == "__main__":
    main()
