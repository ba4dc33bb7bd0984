"""Fixtures of the tests of commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for number, name in enumerate(("clean", "noisy", "enhanced", "other")):
        (tmp_path / name).mkdir()
        for clip in range(4):
            rng = np.random.default_rng(clip)
            clean = rng.standard_normal(16_000) * np.abs(np.sin(np.arange(16_000) / 900)) * 0.1
            noise = 0.05 * rng.standard_normal(16_000)
            soundfile.write(tmp_path / name / f"{clip}.wav", clean + (0.0, 1.0, 0.3, 0.5)[number] * noise, 16_000)
    return tmp_path
