"""Measures that no competition pays for: values of outside programs, and hostile outputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.metrics import NoValue, check_packages, measured_clip, metric, registry, score_clip
from soundsright.metrics.facts import Direction
from soundsright.metrics.mcd import mel_cepstra
from soundsright.metrics.optional_measures import MEASURES, OPTIONAL_MEASURES
from soundsright.metrics.sdr import sdr
from soundsright.metrics.srmr import srmr

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]

INSTALLED = [each for each in OPTIONAL_MEASURES if all(find_spec(package) for package in each.packages)]

# `make_clip(seconds=2.0)`, measured by each measure's own program.
# SDR: fast_bss_eval 0.1.4 and mir_eval 0.8.2. MCD: the definition of `mcd`, with cepstra by pysptk 1.0.1 (`sp2mc`).
# SRMR: filters of gammatone 1.0.3 and SciPy's Hilbert transform, joined as SRMRpy and torchmetrics do.
# DistillMOS: distillmos 0.9.1 on PyTorch 2.13. ViSQOL: visqol-python 3.8.0.
OUTSIDE = {"SDR": 14.8305214476, "MCD": 10.6231652784}
OF_ENHANCED_ALONE = {"DISTILLMOS": 3.01416, "VISQOL": 1.22731}
SRMR_OF_CLEAN, SRMR_OF_NOISY = 4.6063645, 1.9794524


def needs(name: str) -> None:
    if metric(name) not in INSTALLED:
        pytest.skip(f"a package that {name} needs is not installed")


def test_sdr_and_mcd_are_those_of_other_programs(make_clip: MakeClip) -> None:
    clean, enhanced, _ = make_clip(seconds=2.0)
    assert score_clip(clean, enhanced, names=list(OUTSIDE)) == pytest.approx(OUTSIDE, abs=1e-6)


def test_srmr_is_that_of_other_programs_within_a_few_millionths(make_clip: MakeClip) -> None:
    clean, _, noisy = make_clip(seconds=2.0)
    assert srmr(clean.samples) == pytest.approx(SRMR_OF_CLEAN, rel=2e-5)
    assert srmr(noisy.samples) == pytest.approx(SRMR_OF_NOISY, rel=2e-5)


@pytest.mark.parametrize("name", OF_ENHANCED_ALONE)
def test_networks_rate_as_in_their_own_packages(name: str, make_clip: MakeClip) -> None:
    needs(name)
    clean, enhanced, _ = make_clip(seconds=2.0)
    tolerance = 1e-4 if name == "DISTILLMOS" else 1e-3
    assert score_clip(clean, enhanced, names=[name])[name] == pytest.approx(OF_ENHANCED_ALONE[name], abs=tolerance)


def test_a_filtered_and_delayed_copy_has_no_distortion_by_bss_eval(make_clip: MakeClip) -> None:
    clean, _, _ = make_clip(seconds=1.0)
    filtered = np.convolve(clean.samples, [0, 0, 0, 0.5, -0.2, 0.1])[: len(clean)].astype(np.float32)
    assert score_clip(clean, Audio(filtered, 16_000), names=["SDR", "SI_SDR"])["SI_SDR"] < 5
    ratio = sdr(clean.samples, filtered)
    assert ratio is not None
    assert ratio > 40


def test_mel_cepstra_are_the_warped_spectrum_in_cosines() -> None:
    """Cepstrum m is the mean of the log magnitude, resampled to the warped scale, times a cosine."""
    angles = np.pi * np.arange(257) / 256
    log_power = 2 * np.cos(angles) - np.cos(3 * angles)
    warped = np.linspace(0, np.pi, 20_001)
    # The all-pass maps an angle to the warped scale; its inverse has the opposite warp.
    angle = warped - 2 * np.arctan(0.42 * np.sin(warped) / (1 + 0.42 * np.cos(warped)))
    log_magnitude = 0.5 * (2 * np.cos(angle) - np.cos(3 * angle))
    expected = [
        np.trapezoid(log_magnitude * np.cos(m * warped), warped) / np.pi * (1 if m == 0 else 2) for m in range(5)
    ]
    assert mel_cepstra(np.exp(log_power)[None])[0, :5] == pytest.approx(expected, abs=1e-6)


def test_reverberation_lowers_srmr_and_a_longer_tail_lowers_it_more(make_clip: MakeClip) -> None:
    clean, _, _ = make_clip(seconds=2.0)
    rng = np.random.default_rng(0)
    t = np.arange(16_000) / 16_000
    ratios = [srmr(clean.samples)]
    for rt60_s in (0.3, 0.9):
        tail = rng.standard_normal(16_000) * 10 ** (-3 * t / rt60_s)
        ratios.append(srmr(np.convolve(clean.samples, tail)[: len(clean)].astype(np.float32)))
    assert all(one is not None and other is not None and one > other for one, other in itertools.pairwise(ratios))


@pytest.mark.parametrize("name", MEASURES)
def test_hostile_outputs_score_inside_the_range(name: str, make_clip: MakeClip) -> None:
    needs(name)
    clean, _, _ = make_clip(seconds=1.0)
    one = np.zeros(16_000, np.float32)
    one[5] = 3e38
    spoilt = [one, one[::-1] * np.float32(1e-30), np.full(16_000, -3e38, np.float32) + one]
    # DistillMOS fills every clip up to 7.68 s, so each costs seconds: one is enough.
    for samples in spoilt[-1:] if name == "DISTILLMOS" else spoilt:
        output = Audio(np.ascontiguousarray(samples), 16_000)
        score = score_clip(clean, output, clean, names=[name])[name]
        assert metric(name).low <= score <= metric(name).high
    short = Audio(clean.samples[1000:1100], 16_000)
    assert metric(name).low <= score_clip(short, short, short, names=[name])[name] <= metric(name).high


def test_visqol_has_no_value_without_speech_and_hides_no_other_error(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("VISQOL")
    from soundsright.metrics import visqol

    clean, _, _ = make_clip(seconds=1.0)
    assert visqol.visqol(clean.samples[:100], clean.samples[:100]) is None
    assert visqol.visqol(clean.samples[:3_000], clean.samples[:3_000]) is None
    monkeypatch.setattr(visqol, "_api", dict)
    with pytest.raises(AttributeError):
        visqol.visqol(clean.samples, clean.samples)


def test_a_clip_without_a_value_scores_the_floor_and_says_why() -> None:
    short = Audio(np.sin(np.arange(100)).astype(np.float32), 16_000)
    measured = measured_clip(short, short, names=["MCD", "SRMR"])
    assert {name: (each.score, each.no_value) for name, each in measured.items()} == {
        "MCD": (50.0, NoValue.CLEAN_TOO_SHORT),
        "SRMR": (0.0, NoValue.CLEAN_TOO_SHORT),
    }


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_is_installed", lambda package: False)
    for each in OPTIONAL_MEASURES:
        if not each.packages:
            check_packages(each)
            continue
        with pytest.raises(UsageError, match=rf"{each.name} needs .*pip install"):
            check_packages(each)


def test_no_published_competition_pays_for_them_and_each_says_what_it_is_good_for() -> None:
    paid = {name for competition in PUBLISHED for name in competition.metric_weights}
    for each in OPTIONAL_MEASURES:
        assert each.name not in paid
        assert each.definition
        assert each.good_for
        assert each.fooled_by
        assert each.cost_ms
        assert not each.same_bits
        assert each.licence or not each.packages
        assert each.floor == (each.low if each.direction is Direction.HIGHER_IS_BETTER else each.high)
