"""Measures the cost of the optional measures, and what each makes of outputs that are wrong in one way.

    python benchmarks/measures.py             # both tables, 8 clips
    python benchmarks/measures.py --clips 2 --only SDR MCD

The first table has the processor time per second of audio, on one thread, of clips of 4 s at 16 kHz. The second has
each measure's mean over shipped recordings. "Wrong words" is another sentence, cut to the same length; "half wrong"
has its second half. A measure of which a package is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# NumPy reads these when it is imported, so set them first.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.data import Corpus, draw_clip
from soundsright.metrics import METRICS, check_packages, score_clip
from soundsright.metrics.optional_measures import MEASURES

RATE_HZ = 16_000
SECONDS = 4.0

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """A recording, the same in noise and in a room, and another recording, all of one length."""

    clean: Signal
    noisy: Signal
    reverberant: Signal
    other: Signal


def material(count: int) -> list[Material]:
    """Clips of 4 s from the shipped recordings. The other recording is that of the next clip."""
    corpus = Corpus.open()
    denoising, dereverberation = (
        next(c for c in PUBLISHED if c.sample_rate_hz == RATE_HZ and c.task.value == task)
        for task in ("DENOISING", "DEREVERBERATION")
    )
    length = round(SECONDS * RATE_HZ)
    drawn = [
        (draw_clip(denoising, 1, i, corpus=corpus), draw_clip(dereverberation, 1, i, corpus=corpus))
        for i in range(count + 1)
    ]
    parts = [
        [
            np.resize(audio.samples, length).astype(np.float64)
            for audio in (noise.clean, noise.degraded, room.degraded)
        ]
        for noise, room in drawn
    ]
    return [
        Material(clean, noisy, reverberant, other)
        for (clean, noisy, reverberant), (other, _, _) in itertools.pairwise(parts)
    ]


def _half(clip: Material) -> Signal:
    middle = len(clip.clean) // 2
    return np.concatenate([clip.clean[:middle], clip.other[middle:]])


def _low_passed(clip: Material) -> Signal:
    spectrum = np.fft.rfft(clip.clean)
    spectrum[len(spectrum) // 2 :] = 0  # nothing above 4 kHz
    return np.asarray(np.fft.irfft(spectrum, len(clip.clean)))


OUTPUTS: dict[str, Callable[[Material], Signal]] = {
    "the clean signal": lambda clip: clip.clean,
    "8 dB less noise": lambda clip: clip.clean + 0.4 * (clip.noisy - clip.clean),
    "the noisy input": lambda clip: clip.noisy,
    "a room": lambda clip: clip.reverberant,
    "half wrong": _half,
    "wrong words": lambda clip: clip.other,
    "nothing above 4 kHz": _low_passed,
    "20 ms late": lambda clip: np.roll(clip.clean, 320),
}


def audio(signal: Signal) -> Audio:
    return Audio(signal.astype(np.float32), RATE_HZ)


def installed(names: Sequence[str]) -> list[str]:
    """The measures whose packages are installed; the others are named on the way."""
    found = []
    for name in names:
        try:
            check_packages(METRICS[name])
            found.append(name)
        except UsageError as error:
            print(f"{name} is left out: {error}")
    return found


def costs(clips: list[Material], names: list[str]) -> None:
    """Print the time of each measure and what it depends on."""
    print(f"\n### Cost, {len(clips)} clips of {SECONDS:g} s at {RATE_HZ} Hz\n")
    print("| measure | ms per second of audio | licence of what it needs |\n| --- | ---: | --- |")
    for name in names:
        signals = [[audio(signal) for signal in (clip.clean, clip.noisy)] for clip in clips]
        score_clip(signals[0][0], signals[0][1], signals[0][1], [name])  # loads libraries and compiles
        start = time.process_time()
        for clean, noisy in signals:
            score_clip(clean, noisy, noisy, [name])
        spent_ms = (time.process_time() - start) * 1e3 / (SECONDS * len(clips))
        print(f"| `{name}` | {spent_ms:.0f} | {METRICS[name].licence or '-'} |")


def evidence(clips: list[Material], names: list[str]) -> None:
    """Print the mean of each measure for each kind of output."""
    print(f"\n### What each measure makes of wrong outputs, mean of {len(clips)} clips\n")
    print("| output | " + " | ".join(f"`{name}`" for name in names) + " |\n| --- |" + " ---: |" * len(names))
    for kind, output in OUTPUTS.items():
        scores = [score_clip(audio(clip.clean), audio(output(clip)), audio(clip.noisy), names) for clip in clips]
        means = [np.mean([score[name] for score in scores]) for name in names]
        print(f"| {kind} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--only", nargs="+", default=list(MEASURES), choices=list(MEASURES), metavar="MEASURE")
    arguments = parser.parse_args()
    clips, names = material(arguments.clips), installed(arguments.only)
    costs(clips, names)
    evidence(clips, names)


if __name__ == "__main__":
    main()
