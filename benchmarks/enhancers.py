"""Scores each model below models/ on the shipped recordings, and the unprocessed input for comparison.

    python benchmarks/enhancers.py [--clips 20] [--seed 1] [--competition DENOISING_16000HZ] [--models dtln gtcrn]

Scores are means over the clips. The real-time factor is processor time on one thread divided by the duration of the
audio. Compare it between rows of one run, not between machines. Models whose packages are missing are named and
skipped.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

# Set these before the next lines import NumPy, which reads them once.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

from soundsright.core.audio import Audio, Clip, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition, competition_by_id
from soundsright.core.errors import UsageError
from soundsright.data.clips import checked_clip_count, draw_clip
from soundsright.data.corpora import Corpus
from soundsright.metrics.suite import score_clip, warm_up

MODELS = Path(__file__).parents[1] / "models"
ENTRIES = ("deepfilternet3", "dtln", "gtcrn", "nsnet2", "rnnoise", "webrtc", "spectral-gate", "wpe")
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR")


def enhancer(name: str) -> ModuleType:
    """The module of the model `models/NAME`; see `enhancer_in`."""
    return enhancer_in(MODELS / name)


def enhancer_in(folder: Path) -> ModuleType:
    """The module `app.enhance` of a model's folder, with the model loaded. Its package name is unique."""
    package = f"model_{folder.name.replace('-', '_')}"
    app = folder / "app"
    spec = importlib.util.spec_from_file_location(
        package, app / "__init__.py", submodule_search_locations=[str(app)]
    )
    assert spec
    sys.modules[package] = importlib.util.module_from_spec(spec)
    model = importlib.import_module(f"{package}.enhance")
    if hasattr(model, "load"):
        model.load()
    return model


def available(names: tuple[str, ...]) -> Iterator[tuple[str, ModuleType]]:
    """Each model whose packages are installed, by name. Prints the others."""
    for name in names:
        try:
            yield name, enhancer(name)
        except ModuleNotFoundError as missing:
            print(f"{name} is skipped: {missing}")


def measure(competition: Competition, clips: list[Clip], models: dict[str, ModuleType]) -> None:
    """Print one row per model. All models enhance one clip after the other, so a busy machine affects all alike."""
    scores: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(METRICS, 0.0))
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips:
        for name, model in {"unprocessed": None, **models}.items():
            enhanced = clip.degraded
            if model is not None:
                start = time.process_time()
                samples = model.enhance(clip.degraded.samples, competition.sample_rate_hz)
                seconds[name] += time.process_time() - start
                enhanced = Audio(on_pcm16_grid(samples), competition.sample_rate_hz)
            for metric, score in score_clip(clip.clean, enhanced, names=METRICS).items():
                scores[name][metric] += score / len(clips)
    duration_s = sum(clip.clean.duration_s for clip in clips)
    print(f"\n### {competition.title}: {len(clips)} clips, {duration_s:.0f} s\n")
    print("| model | PESQ-WB | ESTOI | SI-SDR, dB | real-time factor |")
    print("| --- | --- | --- | --- | --- |")
    for name, means in scores.items():
        speed = f"{seconds[name] / duration_s:.3f}" if name in seconds else "-"
        print(f"| {name} | {means['PESQ_WB']:.2f} | {means['ESTOI']:.3f} | {means['SI_SDR']:.2f} | {speed} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--competition", help="one of the four competitions [default: all]")
    parser.add_argument("--models", nargs="+", choices=ENTRIES, default=ENTRIES, metavar="NAME")
    arguments = parser.parse_args()
    try:
        count = checked_clip_count(arguments.clips)
        competitions = [competition_by_id(arguments.competition)] if arguments.competition else PUBLISHED
        corpus = Corpus.open()
        drawn = {c.id: [draw_clip(c, arguments.seed, i, corpus=corpus) for i in range(count)] for c in competitions}
    except UsageError as error:
        parser.error(str(error))
    warm_up()
    models = dict(available(tuple(arguments.models)))
    for competition in competitions:
        measure(competition, drawn[competition.id], models)


if __name__ == "__main__":
    main()
