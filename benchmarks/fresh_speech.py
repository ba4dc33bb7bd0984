"""Measures the new speech of rounds: how varied it is, what it costs, and whether it ranks models as recordings do.

    python benchmarks/fresh_speech.py variety [--passages 100000]
    python benchmarks/fresh_speech.py speed [--clips 100]
    python benchmarks/fresh_speech.py ranks [--clips 40] [--seed 1]

`variety` counts equal texts. `speed` draws the same number of clips from recordings and from new speech that is not
in a cache; processor time includes the synthesiser's. `ranks` runs the repository's denoisers on clips at 16 kHz of
each kind of speech, and compares their order by Spearman's rank correlation. Two halves of the recorded clips show
the correlation that chance alone leaves. Engines and models that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Set these before the next lines import NumPy, which reads them once.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])
from benchmarks.enhancers import available
from soundsright.adapters.speech import FreshSpeech, varied_program
from soundsright.core.audio import Audio, Clip, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition
from soundsright.core.errors import UsageError
from soundsright.data import Corpus, draw_clip, passage
from soundsright.metrics.suite import score_clip, warm_up

ENGINES = ("espeak-ng", "flite")
DENOISERS = (
    "baseline-denoising-16k", "deepfilternet3", "dtln", "gtcrn", "nsnet2", "rnnoise", "webrtc", "spectral-gate",
)  # fmt: skip
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR")


def engines() -> Iterator[FreshSpeech]:
    """The installed synthesisers. Prints the others."""
    for name in ENGINES:
        try:
            yield FreshSpeech(varied_program(name))
        except UsageError as error:
            print(f"{name} is left out: {error}")


def variety(count: int) -> None:
    """Print how many of the passages of many seeds are equal, and an upper bound of the chance of a repetition."""
    texts = [passage(seed, index) for seed in range(-(-count // 200)) for index in range(200)][:count]
    pairs = count * (count - 1) / 2
    equal_pairs = sum(n * (n - 1) // 2 for n in np.unique(texts, return_counts=True)[1].tolist())
    lengths = np.percentile([len(text) for text in texts], [0, 5, 50, 95, 100]).astype(int)
    # With 95 % confidence the expected number of equal pairs is at most 3 if none was seen (rule of three).
    bound = (equal_pairs + 3.0 * max(1.0, equal_pairs) ** 0.5) / pairs

    print(f"{count} passages: {equal_pairs} equal pairs of {pairs:.3g}")
    print("characters: least {}, 5 % {}, median {}, 95 % {}, most {}".format(*lengths))
    print(f"chance that two texts are equal: at most {bound:.2g}")
    print(f"chance that a round of 400 repeats a text of 365 such rounds: at most {400 * 365 * 400 * bound:.2g}")


def drawn(
    competition: Competition, count: int, seed: int, corpus: Corpus, speech: FreshSpeech | None
) -> list[Clip]:
    """Clips of recordings, or of new speech with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        source = None if speech is None else speech.of_set(seed, count, Path(folder))
        return [draw_clip(competition, seed, index, corpus=corpus, speech=source) for index in range(count)]


def speed(count: int) -> None:
    """Print the time per clip for recordings and each engine. The kinds take turns, three times."""
    corpus = Corpus.open()
    kinds: dict[str, FreshSpeech | None] = {"recordings": None, **{speech.name: speech for speech in engines()}}
    print("| competition | speech | processor time per clip, ms | seconds of audio per clip | by recordings |")
    print("| --- | --- | ---: | ---: | ---: |")
    for competition in PUBLISHED[:2]:
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        lengths: dict[str, float] = {}
        for turn in range(3):
            for name, speech in kinds.items():
                start = _processor_s()
                clips = drawn(competition, count, turn, corpus, speech)
                taken[name].append((_processor_s() - start) / count)
                lengths[name] = sum(clip.clean.duration_s for clip in clips) / count
        for name in kinds:
            best = min(taken[name])
            print(
                f"| {competition.id} | {name} | {1e3 * best:.1f} | {lengths[name]:.1f} "
                f"| {best / min(taken['recordings']):.2f} |"
            )


def _processor_s() -> float:
    """The processor time of this process and of the programs that it has run."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def ranks(count: int, seed: int) -> None:
    """Print each model's mean scores by kind of speech, and the rank correlations between the kinds."""
    warm_up()
    corpus = Corpus.open()
    models = {"unprocessed": None, **dict(available(DENOISERS))}
    kinds: dict[str, FreshSpeech | None] = {"recordings": None, **{speech.name: speech for speech in engines()}}
    scores: dict[str, NDArray[np.float64]] = {}
    for kind, speech in kinds.items():
        started = time.monotonic()
        clips = drawn(PUBLISHED[0], count, seed, corpus, speech)
        scores[kind] = np.array([[_scores(model, clip) for clip in clips] for model in models.values()])
        print(f"{kind}: {count} clips in {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(f"### {PUBLISHED[0].title}, {count} clips of each kind: " + ", ".join(METRICS) + "\n")
    print("| model | " + " | ".join(kinds) + " |")
    print("| --- |" + " --- |" * len(kinds))
    for row, name in enumerate(models):
        means = (scores[kind][row].mean(axis=0) for kind in kinds)
        print(f"| {name} | " + " | ".join(f"{p:.2f}, {e:.3f}, {s:.1f}" for p, e, s in means) + " |")
    halves = {"recordings, even clips": scores["recordings"][:, ::2], "odd clips": scores["recordings"][:, 1::2]}
    print("\n| rank correlation | " + " | ".join(METRICS) + " |")
    print("| --- |" + " ---: |" * len(METRICS))
    for table in (scores, halves):
        for one, other in itertools.combinations(table, 2):
            values = (
                spearmanr(table[one][:, :, m].mean(axis=1), table[other][:, :, m].mean(axis=1)).statistic
                for m in range(len(METRICS))
            )
            print(f"| {one} and {other} | " + " | ".join(f"{value:.2f}" for value in values) + " |")


def _scores(model: object, clip: Clip) -> list[float]:
    """The scores of the model's output; for None, those of its input."""
    enhanced = clip.degraded
    if model is not None:
        samples = model.enhance(clip.degraded.samples, clip.degraded.sample_rate_hz)  # type: ignore[attr-defined]
        enhanced = Audio(on_pcm16_grid(samples), clip.degraded.sample_rate_hz)
    by_metric = score_clip(clip.clean, enhanced, names=METRICS)
    return [float(by_metric[metric]) for metric in METRICS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("variety", "speed", "ranks"))
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.what == "variety":
        variety(arguments.passages)
    elif arguments.what == "speed":
        speed(arguments.clips)
    else:
        ranks(arguments.clips, arguments.seed)


if __name__ == "__main__":
    main()
