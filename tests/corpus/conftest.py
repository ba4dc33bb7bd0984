"""A private corpus of short invented recordings, built once for all tests that only read it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.corpus import NewRecording, Plan, PrivateCorpus, build_corpus

RATE_HZ = 16_000


def hiss(seed: int, duration_s: float = 0.6) -> Audio:
    rng = np.random.default_rng(seed)
    return Audio(on_pcm16_grid(0.1 * rng.standard_normal(round(duration_s * RATE_HZ))), RATE_HZ)


def some(kind: str, numbers: range, *, seed: int = 0) -> list[NewRecording]:
    """Recordings of hiss, each with its own name, speaker and text."""
    offset = {"speech": 0, "noise": 10_000, "rir": 20_000}[kind] + 100_000 * seed
    return [
        NewRecording(
            kind=kind,
            name=f"{kind}-file-{number}.wav",
            read=partial(hiss, offset + number),
            licence="CC-BY-4.0",
            source="a studio of our own",
            speaker=f"Speaker {number % 7}" if kind == "speech" else "",
            text=f"Secret sentence {number}." if kind == "speech" else None,
        )
        for number in numbers
    ]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder and key of a corpus of 24 recordings of speech, 8 of noise, 2 of rooms: 8 cohorts, 3 in use."""
    home = tmp_path_factory.mktemp("corpus")
    material = [*some("speech", range(24)), *some("noise", range(8)), *some("rir", range(2))]
    build_corpus(home / "private", home / "private.key", material, plan=Plan(uses=3, fresh=3))
    return home / "private", home / "private.key"


@pytest.fixture
def corpus(built: tuple[Path, Path]) -> PrivateCorpus:
    return PrivateCorpus.open(*built)


@pytest.fixture
def copied(built: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the corpus that a test may change."""
    shutil.copytree(built[0], tmp_path / "copy")
    shutil.copy2(built[1], tmp_path / "copy.key")
    return tmp_path / "copy", tmp_path / "copy.key"


ChangeByte = Callable[[Path], None]


@pytest.fixture
def change_byte() -> ChangeByte:
    """Changes one byte in the middle of a file."""

    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    return change
