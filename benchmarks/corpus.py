"""Measures what a private corpus costs: drawing clips from it, opening it, and checking it.

    OMP_NUM_THREADS=1 python benchmarks/corpus.py [--clips N] [--recordings N]

The clips come from one round of a private corpus of the shipped recordings, and from the same recordings as a plain
corpus. Both must give the same clips. The ways take turns, each with an empty cache, and the fastest of
three turns counts. Times are processor time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.competition import PUBLISHED
from soundsright.corpus import (
    NewRecording,
    Origin,
    PrivateCorpus,
    build_corpus,
    check_private,
    publish_retired,
    recordings_in,
)
from soundsright.data import Corpus, Recording, draw_clip

TURNS = 3
ROUND = 3
SEED = 5


def seconds(work: Callable[[], object]) -> float:
    """The processor time of the work."""
    started = time.process_time()
    work()
    return time.process_time() - started


def drawn(corpus: Callable[[], Corpus], clips: int, digests: set[tuple[str, ...]]) -> None:
    """Draw the clips of a set at 16 kHz from a newly opened corpus, and note their digests."""
    competition = next(c for c in PUBLISHED if c.sample_rate_hz == 16_000)
    opened = corpus()
    digests.add(tuple(draw_clip(competition, SEED, index, corpus=opened).digest for index in range(clips)))


def drawing(folder: Path, clips: int) -> None:
    """Print how fast clips are drawn from a private and from a plain corpus."""
    found = [recordings_in("shipped", kind, Origin()).usable for kind in ("speech", "noise", "rir")]
    private = build_corpus(folder / "private", folder / "private.key", [r for each in found for r in each]).corpus
    last = private.life.retired_round_of(private.life.cohorts - 1) - 1
    publish_retired(private, folder / "plain", through=last)
    published = Corpus.open(folder / "plain")
    by_id = {r.id: r for r in (*published.speech, *published.noise, *published.rirs)}
    pool = private.at(ROUND)

    def same(recordings: tuple[Recording, ...]) -> tuple[Recording, ...]:
        return tuple(_marked(by_id[r.id], r) for r in recordings)

    ways: dict[str, Callable[[], Corpus]] = {
        "plain": lambda: Corpus(published.root, same(pool.speech), same(pool.noise), same(pool.rirs)),
        "private": lambda: private.at(ROUND),
    }
    digests: set[tuple[str, ...]] = set()
    turns = [
        {name: seconds(partial(drawn, way, clips, digests)) for name, way in ways.items()} for _ in range(TURNS)
    ]
    best = {name: min(turn[name] for turn in turns) for name in ways}
    assert len(digests) == 1, "the private and the plain corpus gave different clips"
    print("| corpus | clips a second and core |\n| --- | ---: |")
    for name, time_s in best.items():
        print(f"| {name} | {clips / time_s:.0f} |")
    print(f"\nThe private corpus is {best['plain'] / best['private']:.2f} times as fast, with the same clips.\n")


def _marked(plain: Recording, sealed: Recording) -> Recording:
    return replace(plain, fresh=sealed.fresh)


def large(folder: Path, recordings: int) -> None:
    """Print the time to build, open and check a corpus of many short recordings."""

    def hiss(seed: int) -> Audio:
        return Audio(on_pcm16_grid(0.1 * np.random.default_rng(seed).standard_normal(32_000)), 16_000)

    material = [
        NewRecording(kind, f"{kind}-{n}", partial(hiss, n + first), "CC0-1.0", "made for this measurement")
        for kind, first, count in (("speech", 0, recordings), ("noise", recordings, recordings // 10))
        for n in range(count)
    ]
    made, key = folder / "large", folder / "large.key"
    print(f"| {len(material)} recordings of 2 s | s |\n| --- | ---: |")
    print(f"| build | {seconds(lambda: build_corpus(made, key, material)):.1f} |")
    print(f"| open | {seconds(lambda: PrivateCorpus.open(made, key)):.2f} |")
    corpus = PrivateCorpus.open(made, key)
    print(f"| the recordings of a round | {seconds(lambda: corpus.at(ROUND)):.3f} |")
    print(f"| check every file | {seconds(lambda: check_private(corpus)):.1f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--recordings", type=int, default=2_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        drawing(Path(temporary), arguments.clips)
        large(Path(temporary), arguments.recordings)
