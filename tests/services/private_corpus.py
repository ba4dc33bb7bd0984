"""A private corpus of invented recordings, for tests of rounds on it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.material import Material
from soundsright.corpus import NewRecording as Recorded
from soundsright.corpus import Plan, build_corpus

RATE_HZ = 16_000
SPEAKERS = ("Speaker-Aleph", "Speaker-Beth", "Speaker-Gimel")
USES = 2
"""Each recording is used in two rounds."""


def voice(seed: int, duration_s: float = 4.0) -> Audio:
    """Noise with pauses, which has the active level of speech."""
    rng = np.random.default_rng(seed)
    n = round(duration_s * RATE_HZ)
    loudness = np.repeat(rng.uniform(0.2, 1.0, n // 1_600 + 1), 1_600)[:n]
    return Audio(on_pcm16_grid(0.1 * loudness * rng.standard_normal(n)), RATE_HZ)


def recordings(count: int, *, first: int = 0) -> list[Recorded]:
    """Speech, each with its own name, and with a speaker and a text that no page may show."""
    return [
        Recorded(
            kind="speech",
            name=f"studio-take-{number}.wav",
            read=partial(voice, number),
            licence="CC-BY-4.0",
            source="a studio of our own",
            speaker=SPEAKERS[number % len(SPEAKERS)],
            text=f"Zebras whisper {number} secret sentences.",
        )
        for number in range(first, first + count)
    ] + [
        Recorded(
            kind="noise",
            name=f"studio-noise-{number}.wav",
            read=partial(voice, 1_000 + number),
            licence="CC-BY-4.0",
            source="a studio of our own",
        )
        for number in range(first, first + count // 2)
    ]


def private_material(home: Path, *, count: int = 12, name: str = "corpus", first_round: int = 0) -> Material:
    """The material of a new corpus below `home`."""
    folder, key = home / name, home / f"{name}.key"
    build_corpus(folder, key, recordings(count), plan=Plan(uses=USES, fresh=2, first_round=first_round))
    return Material(folder, key)
