import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile


def write_speech(path: Path, *, rate: int = 16_000, seconds: float = 3.5, seed: int = 0, **settings: Any) -> Path:
    """Write full-band noise that is gated like syllables; levels, mixing and rooms treat it as speech."""
    rng = np.random.default_rng(seed)
    count = int(rate * seconds)
    gate = np.sin(2 * np.pi * 2.0 * np.arange(count) / rate + seed) > -0.3
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * rng.standard_normal(count) * gate, rate, **settings)
    return path


def lines_of(out: Path) -> list[dict[str, Any]]:
    """The lines of a set's manifest."""
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def speech_dir(tmp_path: Path) -> Path:
    for number in range(4):
        write_speech(tmp_path / "speech" / f"speaker{number % 2}" / f"{number}.wav", seed=number)
    return tmp_path / "speech"
