from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pesq as package
import pytest
import soxr

from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.metrics import pesq as module
from soundsright.metrics.pesq import pesq
from soundsright.metrics.suite import score_clip

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]


@pytest.mark.parametrize("wide_band", [True, False])
def test_the_value_is_that_of_the_package(make_clip: MakeClip, wide_band: bool) -> None:
    clean, enhanced, _ = make_clip()
    theirs = package.pesq(16_000, clean.samples, enhanced.samples, "wb" if wide_band else "nb")
    assert pesq(clean.samples, enhanced.samples, 16_000, wide_band=wide_band) == theirs


def test_narrow_band_at_8_khz_is_the_packages_value(make_clip: MakeClip) -> None:
    clean, enhanced, noisy = make_clip(rate=8_000)
    theirs = package.pesq(8_000, clean.samples, enhanced.samples, "nb")
    assert score_clip(clean, enhanced, noisy, ["PESQ_NB"]) == pytest.approx({"PESQ_NB": theirs}, abs=1e-10)


def test_a_48_khz_clip_is_measured_at_16_khz_after_soxr_hq(make_clip: MakeClip) -> None:
    clean, enhanced, noisy = make_clip(rate=48_000)
    x, y = (soxr.resample(audio.samples, 48_000, 16_000, "HQ") for audio in (clean, enhanced))
    theirs = package.pesq(16_000, x, y, "wb")
    assert score_clip(clean, enhanced, noisy, ["PESQ_WB"]) == pytest.approx({"PESQ_WB": theirs}, abs=1e-10)


def test_a_long_clip_has_the_same_value_in_its_own_process(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, enhanced, _ = make_clip()
    in_this_process = pesq(clean.samples, enhanced.samples, 16_000, wide_band=True)
    monkeypatch.setattr(module, "LONGEST_IN_PROCESS_S", 1.0)
    assert pesq(clean.samples, enhanced.samples, 16_000, wide_band=True) == in_this_process


def test_a_clip_that_crashes_the_package_has_no_value_and_harms_nothing_else() -> None:
    rng = np.random.default_rng(0)
    clean = np.zeros(16_000 * 60, np.float32)
    for second in range(60):
        clean[second * 16_000 : second * 16_000 + 6_400] = rng.standard_normal(6_400) * 0.1
    assert pesq(clean, clean[::-1].copy(), 16_000, wide_band=True) is None


def test_a_clip_that_never_finishes_has_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    clean, noise = np.random.default_rng(0).standard_normal((2, 16_000 * 100)).astype(np.float32)
    assert pesq(clean, clean + noise, 16_000, wide_band=True) is not None
    monkeypatch.setattr(module, "_LIMIT_FIXED_S", 0.0)
    monkeypatch.setattr(module, "_LIMIT_FACTOR", 0.0)
    assert pesq(clean, clean + noise, 16_000, wide_band=True) is None


@pytest.mark.parametrize(
    ("clean_scale", "enhanced_scale", "n"), [(1.0, 1e-45, 32_000), (1.0, 1e38, 32_000), (1.0, 1.0, 3_000)]
)
def test_pesq_has_no_value_if_the_package_finds_no_speech(
    clean_scale: float, enhanced_scale: float, n: int
) -> None:
    signal = np.random.default_rng(0).standard_normal(n).astype(np.float32) / np.float32(10)
    clean, enhanced = signal * np.float32(clean_scale), signal * np.float32(enhanced_scale)
    assert pesq(clean, enhanced, 16_000, wide_band=True) is None


def test_a_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    ones = np.ones(16_000, np.float32)
    with pytest.raises(UsageError, match=r"pip install soundsright"):
        pesq(ones, ones, 16_000, wide_band=True)
