import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.data import speed
from soundsright.data.speed import TAP_BITS, TAPS, at_speed
from soundsright.data.variation import SPEED_CHANGES

SPEEDS = [1000 + change for change in SPEED_CHANGES]
NUMPY = importlib.import_module("numpy._core._multiarray_umath")

DRAW = """
from soundsright.core.competition import PUBLISHED
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus
for competition in PUBLISHED[::2]:
    for index in range(3):
        print(draw_clip(competition, 3, index, corpus=Corpus.open()).digest)
noises = set()
index = 0
while len(noises) < 8:
    clip = draw_clip(PUBLISHED[0], 3, index, corpus=Corpus.open())
    if not clip.recipe.noise_offset_s and clip.recipe.noise not in noises:
        print(clip.digest)
        noises.add(clip.recipe.noise)
    index += 1
"""


def tones(times: NDArray[np.float64], highest: float) -> NDArray[np.float64]:
    """Sixty tones up to `highest`, a share of the band, at these times in samples."""
    rng = np.random.default_rng(1)
    cycles, phases = rng.uniform(0.0, highest / 2.0, 60), rng.uniform(0.0, 2.0 * np.pi, 60)
    out: NDArray[np.float64] = np.cos(2.0 * np.pi * np.outer(times, cycles) + phases).sum(axis=1) / 60.0
    return out


def hiss(count: int, peak: float = 1.0) -> Samples:
    return np.random.default_rng(2).uniform(-peak, peak, count).astype(np.float32)


def error_db(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    inner = slice(TAPS, -TAPS)
    error = np.asarray(found, np.float64)[inner] - wanted[inner]
    return float(10.0 * np.log10(np.square(error).mean() / np.square(wanted[inner]).mean()))


@pytest.mark.parametrize("thousandths", SPEEDS)
def test_tones_are_played_at_the_speed(thousandths: int) -> None:
    band = 0.9 * min(1.0, 1000.0 / thousandths)
    played = at_speed(tones(np.arange(8_000.0), band).astype(np.float32), thousandths)
    assert played.size == round(8_000 * 1000 / thousandths)
    assert error_db(played, tones(np.arange(played.size) * thousandths / 1000.0, band)) < -80.0


@pytest.mark.parametrize("thousandths", [960, 1_015])
def test_the_slow_resampler_agrees(thousandths: int) -> None:
    samples = tones(np.arange(8_000.0), 0.85)
    slow = soxr.resample(samples, thousandths, 1000, quality="VHQ")
    assert error_db(at_speed(samples.astype(np.float32), thousandths)[: slow.size], slow) < -80.0


@pytest.mark.parametrize("thousandths", [960, 1_015, 1_040])
def test_every_sum_is_exact(thousandths: int) -> None:
    """Integers, which have no rounding, give the same bits."""
    grid = np.rint(hiss(5_000, peak=4.0) * 2.0**21).astype(np.int64)
    played = at_speed((grid / 2**21).astype(np.float32), thousandths)
    for index in range(0, played.size, 7):
        place = index * thousandths / 1000.0
        at = np.arange(max(0, int(place) - TAPS), min(grid.size, int(place) + TAPS))
        taps = np.rint(speed.taps_at(at - place, thousandths) * 2.0**TAP_BITS).astype(np.int64)
        assert played[index] == np.float32(int((grid[at] * taps).sum()) / 2 ** (21 + TAP_BITS))


def test_no_sum_of_loud_samples_outgrows_float64() -> None:
    for thousandths in SPEEDS:
        sums = [np.abs(taps).sum(axis=0).max() for _, taps in speed.filters(thousandths)]
        assert max(sums) * 20.0 < 2.0 ** (53 - 23 - TAP_BITS)


def test_no_tap_lies_where_another_sine_would_round_it_differently() -> None:
    for thousandths in SPEEDS:
        places = np.arange(200) * thousandths / 1000.0
        lags = np.arange(-TAPS, 300)[:, None] - places
        taps = speed.taps_at(lags[np.abs(lags) <= TAPS], thousandths) * 2.0**TAP_BITS
        assert np.abs(taps - np.floor(taps) - 0.5).min() > 1e-6


@pytest.mark.parametrize("count", [0, 1, 47, 203, 31_999, 32_001, 100_000])
def test_the_end_of_a_signal_changes_nothing_before_it(count: int) -> None:
    samples = hiss(150_000)
    short, long = at_speed(samples[:count], 1_015), at_speed(samples, 1_015)
    assert short.dtype == np.float32
    assert short.size == round(count / 1.015)
    same = max(0, short.size - TAPS)
    np.testing.assert_array_equal(short[:same], long[:same])


def drawn_under(**environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", DRAW], env=os.environ | environment, capture_output=True, text=True, check=True
    ).stdout


def test_every_processor_draws_the_same_bits() -> None:
    here = drawn_under()
    assert len(here.split()) == 14
    present = [name for name in NUMPY.__cpu_dispatch__ if NUMPY.__cpu_features__[name]]
    assert drawn_under(OPENBLAS_CORETYPE="Sandybridge", NPY_DISABLE_CPU_FEATURES=" ".join(present)) == here
    assert drawn_under(OPENBLAS_CORETYPE="Haswell", OMP_NUM_THREADS="2") == here
