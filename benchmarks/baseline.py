"""Measures the speed of the baselines on one core, and of the packaged enhancers for comparison.

    python benchmarks/baseline.py [--seconds 2 10 60] [--repeats 3]

The real-time factor is processor time on one thread divided by the duration of the audio, the best of several
repeats. Below 1, a model is faster than real time. Compare rows of one run, not machines. The memory is the growth
of the process's peak memory on the longest clip, after the model is loaded.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import ModuleType

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])

import numpy as np

from benchmarks.enhancers import ENTRIES, MODELS, available

RATES_HZ = (16_000, 48_000)


def noise(seconds: float, rate_hz: int) -> np.ndarray:
    """Noise whose level rises and falls, so that no model can skip it as silence."""
    rng = np.random.default_rng(1)
    count = round(seconds * rate_hz)
    envelope = 0.05 * (1.5 + np.sin(2 * np.pi * 2.0 * np.arange(count) / rate_hz))
    return (envelope * rng.standard_normal(count)).astype(np.float32)


def real_time_factors(
    models: dict[str, ModuleType], rate_hz: int, seconds: list[float], repeats: int
) -> dict[str, list[float]]:
    """The real-time factors of each model, one for each duration."""
    best: dict[str, list[float]] = defaultdict(lambda: [float("inf")] * len(seconds))
    for _ in range(repeats):
        for index, duration_s in enumerate(seconds):
            audio = noise(duration_s, rate_hz)
            for name, model in models.items():
                start = time.process_time()
                model.enhance(audio, rate_hz)
                best[name][index] = min(best[name][index], (time.process_time() - start) / duration_s)
    return best


def peak_growth_mb(model: ModuleType, rate_hz: int, seconds: float) -> float:
    """How much a clip of that length raises the peak memory of the process, in MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.enhance(noise(seconds, rate_hz), rate_hz)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[2.0, 10.0, 60.0])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    seconds = sorted(arguments.seconds)
    if seconds[0] <= 0 or arguments.repeats < 1:
        parser.error("--seconds and --repeats must be greater than 0")
    baselines = sorted(path.parent.name for path in MODELS.glob("baseline-*/network.onnx"))
    ours = dict(available(tuple(baselines)))
    grown = {}
    for name, model in ours.items():
        rate_hz = 48_000 if name.endswith("48k") else 16_000
        model.enhance(noise(1.0, rate_hz), rate_hz)
        grown[name] = peak_growth_mb(model, rate_hz, seconds[-1])
    others = dict(available(ENTRIES))
    for rate_hz in RATES_HZ:
        fitting = {name: m for name, m in ours.items() if name.endswith(f"-{rate_hz // 1000}k")}
        factors = real_time_factors({**fitting, **others}, rate_hz, seconds, arguments.repeats)
        print(f"\n### {rate_hz // 1000} kHz\n")
        print(f"| model | {' | '.join(f'{s:g} s' for s in seconds)} | memory, MB |")
        print(f"| --- |{' ---: |' * (len(seconds) + 1)}")
        for name, values in factors.items():
            memory = f"{grown[name]:.0f}" if name in grown else "-"
            print(f"| {name} | {' | '.join(f'{v:.4f}' for v in values)} | {memory} |")


if __name__ == "__main__":
    main()
