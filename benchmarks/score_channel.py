"""Measures how much an entry can tell its owner through one published score of a clip that is still private.

    OMP_NUM_THREADS=1 python benchmarks/score_channel.py [--clips N]

A model hears a clip and has no network, but its scores are published. So it can return the clip with a noise of a
chosen power, and the owner reads the power from SI-SDR. Two more entries calibrate: one returns the clip, the other
adds the noise at full power. The clean speech is unknown to all of them, and blurs the reading. The bits are those
of a uniform value that is read with this error.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from soundsright.core.competition import PUBLISHED
from soundsright.data import Corpus, draw_clips
from soundsright.metrics.si_sdr import si_snr

LEVELS = 64
SEED = 5


def errors(clips: int, decimals: int) -> list[float]:
    """The errors of the power that the owner reads from scores of that many decimals, in parts of full power."""
    rng = np.random.default_rng(0)
    found = []

    def distortion(clean: np.ndarray, answer: np.ndarray) -> float:
        score = si_snr(clean, answer)
        assert score is not None
        return float(10.0 ** (-round(score, decimals) / 10.0))

    for clip in draw_clips(PUBLISHED[0], SEED, clips, corpus=Corpus.open()):
        clean, heard = clip.clean.samples.astype(float), clip.degraded.samples.astype(float)
        noise = rng.standard_normal(heard.size)
        noise -= noise @ heard / (heard @ heard) * heard
        noise *= math.sqrt((heard @ heard) / (noise @ noise))
        none, full = distortion(clean, heard), distortion(clean, heard + noise)
        for level in range(1, LEVELS):
            power = level / LEVELS
            read = (distortion(clean, heard + math.sqrt(power) * noise) - none) / (full - none)
            found.append(read - power)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60)
    clips = parser.parse_args().clips
    print("| decimals of SI-SDR in dB | bits of one score |\n| ---: | ---: |")
    for decimals in (6, 3, 2, 1):
        error = float(np.std(errors(clips, decimals)))
        print(f"| {decimals} | {-math.log2(math.sqrt(12.0) * error):.1f} |")
