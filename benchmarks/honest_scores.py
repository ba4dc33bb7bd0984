"""Scores honest systems, oracle masks and parrots clip by clip, for the calibration of the gates.

    python benchmarks/honest_scores.py --out scores.json [--competition DENOISING_16000HZ] [--clips 60] [--seed 1]

Honest systems are the models under models/ whose packages are installed. The oracle knows the clean speech and
applies the ideal ratio mask. Two tricks raise SI-SIR or SI-SAR and cost speech: they subtract a part of what the
first model removed, or average its output with the input. The parrot returns the clean speech, and a stealth parrot
mixes a part of it into the output of that model. `benchmarks/gates.py` reads the file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Set these before the next lines import NumPy, which reads them once.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from numpy.typing import NDArray

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])
from benchmarks.enhancers import available
from soundsright.core.audio import Audio, Clip, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition, competition_by_id
from soundsright.core.tasks import Task
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus
from soundsright.metrics.suite import score_clip

Signal = NDArray[np.floating]
FRAME_S = 0.032
STEALTH = (0.03, 0.10, 0.30)
SYSTEMS = {
    (Task.DENOISING, 16_000): (
        "baseline-denoising-16k", "dtln", "gtcrn", "nsnet2", "rnnoise", "webrtc", "spectral-gate"
    ),
    (Task.DENOISING, 48_000): ("baseline-denoising-48k", "deepfilternet3", "rnnoise", "spectral-gate"),
    (Task.DEREVERBERATION, 16_000): ("baseline-dereverberation-16k", "wpe"),
    (Task.DEREVERBERATION, 48_000): ("baseline-dereverberation-48k", "wpe"),
}  # fmt: skip


def ideal_ratio_mask(clean: Signal, degraded: Signal, sample_rate_hz: int) -> Signal:
    """The degraded signal with each bin scaled by the clean share of its magnitude, in frames of 32 ms."""
    size = int(FRAME_S * sample_rate_hz)
    hop = size // 2
    window = np.sqrt(np.hanning(size + 1)[:-1])

    def spectra(x: Signal) -> NDArray[np.complex128]:
        padded = np.pad(x.astype(np.float64), (size, 2 * size))
        return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window, axis=1)

    speech, mixture = spectra(clean), spectra(degraded)
    rest = mixture - speech
    power = np.abs(speech) ** 2
    mask = np.sqrt(power / (power + np.abs(rest) ** 2 + 1e-12))
    frames = np.fft.irfft(mask * mixture, n=size, axis=1) * window
    out = np.zeros(hop * len(frames) + size)
    for i, frame in enumerate(frames):
        out[hop * i : hop * i + size] += frame
    return out[size : size + len(clean)]


def outputs_of(
    clip: Clip, models: dict[str, Any], sample_rate_hz: int, *, honest_only: bool = False
) -> Iterator[tuple[str, Signal]]:
    clean, degraded = clip.clean.samples, clip.degraded.samples
    yield "unprocessed", degraded
    enhanced = {name: model.enhance(degraded, sample_rate_hz) for name, model in models.items()}
    yield from enhanced.items()
    if honest_only:
        return
    yield "oracle mask", ideal_ratio_mask(clean, degraded, sample_rate_hz)
    first = next(iter(enhanced.values()))
    yield "subtracting", first - 0.06 * (degraded - first)
    yield "averaging with the input", (first + degraded) / 2
    for share in STEALTH:
        yield f"stealth parrot {share:.0%}", (1 - share) * first + share * clean
    yield "parrot", clean


def scores_of(competition: Competition, clips: int, seed: int, *, honest_only: bool = False) -> dict[str, Any]:
    """The scores by system and metric, one value per clip, and the recordings, noises and rooms of the clips."""
    corpus = Corpus.open()
    rate = competition.sample_rate_hz
    assert isinstance(competition.task, Task)
    models = dict(available(SYSTEMS[competition.task, rate]))
    metrics = tuple(dict.fromkeys((*competition.metric_weights, "SI_SDR", "ESTOI")))
    by_system: dict[str, dict[str, list[float]]] = {}
    recordings: list[str] = []
    noises: list[str] = []
    rooms: list[str] = []
    for index in range(clips):
        clip = draw_clip(competition, seed, index, corpus=corpus)
        recordings.append(clip.recipe.speech)
        noises.append(clip.recipe.noise or "")
        rooms.append(clip.recipe.rir or "")
        for name, output in outputs_of(clip, models, rate, honest_only=honest_only):
            audio = Audio(on_pcm16_grid(np.asarray(output, dtype=np.float32)), rate)
            for metric, value in score_clip(clip.clean, audio, clip.degraded, metrics).items():
                by_system.setdefault(name, {}).setdefault(metric, []).append(round(value, 4))
    return {
        "recordings": recordings,
        "noises": noises,
        "rooms": rooms,
        "honest": list(models),
        "systems": by_system,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--competition", action="append", help="repeat for several; default: all published ones")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--honest-only", action="store_true", help="leave out the oracle, the tricks and the parrots"
    )
    arguments = parser.parse_args()
    competitions = [competition_by_id(name) for name in arguments.competition or [c.id for c in PUBLISHED]]
    scores = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
    for competition in competitions:
        scores[competition.id] = scores_of(
            competition, arguments.clips, arguments.seed, honest_only=arguments.honest_only
        )
        arguments.out.write_text(json.dumps(scores) + "\n", encoding="utf-8")
        print(f"{competition.id}: {arguments.clips} clips of {', '.join(scores[competition.id]['systems'])}")


if __name__ == "__main__":
    main()
