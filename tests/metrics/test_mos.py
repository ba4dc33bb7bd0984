from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.metrics import mos
from soundsright.metrics.mos import dnsmos, log_mel
from soundsright.metrics.registry import METRICS
from soundsright.metrics.suite import score_clip

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]
pytest.importorskip("speechmos", reason="speechmos, which holds the networks, is not installed")


def test_speech_in_noise_is_rated_below_clean_speech(make_clip: MakeClip) -> None:
    clean, _, noisy = make_clip(seconds=2.0)
    better, worse = dnsmos(clean.samples), dnsmos(noisy.samples)
    assert better is not None
    assert worse is not None
    assert better.bak > worse.bak + 0.5


def test_ratings_are_those_of_the_package(make_clip: MakeClip) -> None:
    pytest.importorskip("librosa", reason="librosa, which the package's own code needs, is not installed")
    from speechmos import dnsmos as package

    clean, _, _ = make_clip(seconds=9.5)
    theirs, ours = package.run(clean.samples, 16_000), dnsmos(clean.samples)
    assert ours is not None
    assert (ours.sig, ours.bak, ours.ovrl, ours.p808) == pytest.approx(
        (theirs["sig_mos"], theirs["bak_mos"], theirs["ovrl_mos"], theirs["p808_mos"]), abs=1e-5
    )


def test_equal_windows_are_rated_once(make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    rated = []

    def count(window: np.ndarray, *, p835: bool, p808: bool) -> tuple[float, float, float, float]:
        rated.append(len(window))
        return (float(len(rated)),) * 4

    monkeypatch.setattr(mos, "_ratings", count)
    clean, _, _ = make_clip(seconds=4.0)
    ratings = dnsmos(clean.samples)
    assert rated == [144_160] * 4
    assert ratings is not None
    assert ratings.sig == pytest.approx((1 + 2 + 3 + 4 + 1 + 2 + 3) / 7)


def test_the_features_of_the_quality_network_have_its_shape_and_range() -> None:
    features = log_mel(np.random.default_rng(0).standard_normal(144_000).astype(np.float32))
    assert features.shape == (900, 120)
    assert features.max() == 1.0
    assert features.min() >= -1.0


@pytest.mark.parametrize("gain", [1e-30, 1e30])
def test_absurd_levels_are_rated_inside_the_range(make_clip: MakeClip, gain: float) -> None:
    clean, enhanced, _ = make_clip(seconds=1.0)
    loud = Audio(enhanced.samples * np.float32(gain), 16_000)
    for name, value in score_clip(clean, loud, None, ["DNSMOS_P808", "DNSMOS_OVRL"]).items():
        assert METRICS[name].low <= value <= METRICS[name].high


def test_a_silent_reference_does_not_matter_to_a_rating_without_one(make_clip: MakeClip) -> None:
    clean, enhanced, _ = make_clip(seconds=1.0)
    silent = Audio(0 * clean.samples, 16_000)
    name = ["DNSMOS_P808"]
    assert score_clip(silent, enhanced, None, name) == score_clip(clean, enhanced, None, name)


@pytest.mark.parametrize("package", ["onnxruntime", "speechmos"])
def test_a_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    mos._session.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(mos, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'soundsright\[validator\]'"):
        dnsmos(np.ones(16_000, np.float32))
