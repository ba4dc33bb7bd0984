"""Measures how many clips a second one worker makes during training, compared with a naive loader.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/loader.py [--clips N]

The naive loader reads and resamples both files of each pair with librosa, measures loudness with pyloudnorm, and
convolves with SciPy, clip after clip. Both loaders cut 4 s from the same WAV files at 48 kHz. The times are
processor time, so a busy machine changes little; ratios are of one run. With torch, the stream is then read through
a `DataLoader`: wall time with one and with two workers, and the shortest training step that never waits. It needs
`pip install soundsright[validator] librosa pyloudnorm`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])
from benchmarks.generate import RECIPE, SECONDS, PublishedRecipe, material, repeated, sources_of
from soundsright.data.clips import corpus_sources
from soundsright.data.corpora import Corpus
from soundsright.data.recipe import SetRecipe, SetTask
from soundsright.data.sources import Sources
from soundsright.data.stream import ClipStream, torch_dataset

BATCH = 16


def stream_of(sources: Sources, task: SetTask, rate: int, clips: int, recipe: SetRecipe) -> ClipStream:
    return ClipStream(
        sources, task, rate, seed=1, recipe=recipe, crop_s=SECONDS, batch_size=BATCH, epoch_clips=clips
    )


def one_worker(folder: Path, clips: int) -> None:
    """Print clips per second of processor time: this package with and without a cache, and the naive loader."""
    files = material(folder, 24)
    print("clips a second and core              naive     this package   no cache   ratio")
    for task in (SetTask.DENOISING, SetTask.DEREVERBERATION):
        for rate in (16_000, 48_000):
            naive = PublishedRecipe(files, rate)
            naive.pair(task, 0)  # Do not count imports and compilation.
            naive_ms = repeated(partial(naive.pair, task), clips)
            ours_ms = []
            for cache_bytes in (400_000_000, 0):
                stream = stream_of(sources_of(files, cache_bytes), task, rate, clips, RECIPE)
                if cache_bytes:
                    stream.batch(1, 0)
                ours_ms.append(repeated(partial(stream.batch, 0), len(stream)) / BATCH)
            rates = [1e3 / ms for ms in (naive_ms, *ours_ms)]
            print(
                f"{task:16s} {rate // 1000} kHz         {rates[0]:10.0f} {rates[1]:16.0f} {rates[2]:10.0f}"
                f" {rates[1] / rates[0]:7.1f}"
            )


def shipped(clips: int) -> None:
    """Print the speed with the shipped recordings and simulated rooms."""
    corpus = Corpus.open()
    recipe = SetRecipe(duration_s=(SECONDS, SECONDS))
    for rate in (16_000, 48_000):
        for task in SetTask:
            stream = stream_of(corpus_sources(corpus, rate, recipe), task, rate, clips, recipe)
            stream.batch(1, 0)
            ms = repeated(partial(stream.batch, 0), len(stream)) / BATCH
            print(f"shipped recordings, {task}, {rate // 1000} kHz: {1e3 / ms:.0f} clips a second and core")


def through_torch(clips: int) -> None:
    """Print the speed through a DataLoader in wall time, and the shortest step that never waits for it."""
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        print("torch is not installed: the DataLoader was not measured")
        return
    corpus = Corpus.open()
    recipe = SetRecipe(duration_s=(SECONDS, SECONDS))
    stream = stream_of(corpus_sources(corpus, 16_000, recipe), SetTask.BOTH, 16_000, clips, recipe)
    rates = {}
    for workers in (1, 2):
        dataset = torch_dataset(stream)
        loader = DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=True)
        for _ in loader:  # Start the workers and fill their caches.
            pass
        dataset.begin(1)
        start = time.perf_counter()
        count = sum(len(batch["index"]) for batch in loader)
        rates[workers] = count / (time.perf_counter() - start)
    print(
        f"DataLoader, both tasks, 16 kHz, wall time: {rates[1]:.0f} clips a second with 1 worker, {rates[2]:.0f} "
        f"with 2 (ratio {rates[2] / rates[1]:.2f}); a step of {BATCH} clips never waits if it lasts "
        f"{1e3 * BATCH / rates[2]:.0f} ms with 2 workers"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=480)
    clips = parser.parse_args().clips
    warnings.simplefilter("ignore")  # pyloudnorm warns of clipping, which the recipe corrects later.
    with tempfile.TemporaryDirectory() as name:
        one_worker(Path(name), clips)
    shipped(clips)
    through_torch(4 * clips)


if __name__ == "__main__":
    main()
