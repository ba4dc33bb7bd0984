"""Scores have the same bits with any vector units, because validators compare exact numbers.

Environment variables limit the processor features that NumPy, OpenBLAS and numba use, once per process.
"""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

NUMPY = importlib.import_module("numpy._core._multiarray_umath")

# Signals of integers only: their making must not depend on the processor either.
SCRIPT = """
import numpy as np
from soundsright.core.audio import Audio
from soundsright.metrics.registry import METRICS
from soundsright.metrics.suite import score_clip
names = [name for name, each in METRICS.items() if each.same_bits and each.needs_reference and not each.extra]
for rate in (16_000, 48_000):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        n = int(1.7 * rate)
        speech, noise = rng.integers(-8000, 8000, (2, n))
        envelope = np.repeat(rng.integers(0, 2**10, 17), n // 17 + 1)[:n]
        clean = (speech * envelope / 2**24).astype(np.float32)
        noisy = (clean + noise / 2**17).astype(np.float32)
        enhanced = (0.75 * clean + 0.25 * noisy).astype(np.float32)
        scores = score_clip(*(Audio(x, rate) for x in (clean, enhanced, noisy)), names)
        print(" ".join(f"{name}={value.hex()}" for name, value in scores.items()))
"""


def scores_under(tmp_path: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    return done.stdout


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> str:
    return scores_under(tmp_path_factory.mktemp("here"))


def test_the_script_prints_a_score_for_each_clip(here: str) -> None:
    assert here.count("SI_SDR=") == 4


def test_a_second_process_gives_the_same_bits(here: str, tmp_path: Path) -> None:
    assert scores_under(tmp_path) == here


def test_without_the_vector_units_that_numpy_finds(here: str, tmp_path: Path) -> None:
    present = [name for name in NUMPY.__cpu_dispatch__ if NUMPY.__cpu_features__[name]]
    if not present:
        pytest.skip("this processor has no vector unit beyond NumPy's baseline")
    assert scores_under(tmp_path, NPY_DISABLE_CPU_FEATURES=" ".join(present)) == here


@pytest.mark.parametrize("kernel", ["Sandybridge", "Haswell"])
def test_with_the_linear_algebra_of_an_older_processor(here: str, tmp_path: Path, kernel: str) -> None:
    assert scores_under(tmp_path, OPENBLAS_CORETYPE=kernel, OPENBLAS_NUM_THREADS="1") == here


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc chooses its powers and sines by processor"
)
def test_with_the_powers_and_sines_of_a_processor_without_fused_operations(here: str, tmp_path: Path) -> None:
    assert scores_under(tmp_path, GLIBC_TUNABLES="glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2") == here


@pytest.mark.slow
def test_compiled_for_the_plainest_processor(here: str, tmp_path: Path) -> None:
    limits = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert scores_under(tmp_path, **limits) == here


def test_a_clip_scores_the_same_alone_or_after_others() -> None:
    from soundsright.core.audio import Audio
    from soundsright.metrics.registry import METRICS
    from soundsright.metrics.suite import score_clip

    names = [name for name, each in METRICS.items() if each.needs_reference and not each.extra]
    rng = np.random.default_rng(0)

    def noise(count: int) -> Audio:
        return Audio(rng.standard_normal(count).astype(np.float32), 16_000)

    clip = noise(9_000), noise(9_000), noise(9_000)
    longer = noise(30_001), noise(30_001), noise(30_001)
    first = score_clip(*clip, names)
    score_clip(*longer, names)
    broken = Audio(np.full(9_000, np.nan, np.float32), 16_000)
    score_clip(clip[0], broken, clip[2], names)
    assert score_clip(*clip, names) == first
