from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Three clips of one second: clean, enhanced, noisy."""
    paths = tmp_path / "clean", tmp_path / "enhanced", tmp_path / "noisy"
    for path in paths:
        (path / "sub").mkdir(parents=True)
    for index, name in enumerate(("a", "b", "sub/c")):
        rng = np.random.default_rng(index)
        clean = rng.standard_normal(16_000) * np.abs(np.sin(np.arange(16_000) / 900)) * 0.1
        noise = 0.03 * rng.standard_normal(16_000)
        for path, signal in zip(paths, (clean, clean + 0.3 * noise, clean + noise), strict=True):
            soundfile.write(path / f"{name}.wav", signal, 16_000)
    return paths
