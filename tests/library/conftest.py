"""A small set that several tests of the library score: four clips, two systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """`clean`, `noisy`, and the outputs of systems `a` (less noise) and `b`, each with four clips of one second."""
    for name, gain in (("clean", 0.0), ("noisy", 1.0), ("a", 0.3), ("b", 0.5)):
        (tmp_path / name).mkdir()
        for clip in range(4):
            rng = np.random.default_rng(clip)
            clean = rng.standard_normal(16_000) * np.abs(np.sin(np.arange(16_000) / 900)) * 0.1
            noise = 0.05 * rng.standard_normal(16_000)
            soundfile.write(tmp_path / name / f"{clip}.wav", clean + gain * noise, 16_000)
    return tmp_path
