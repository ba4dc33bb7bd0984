"""A metric has no value for a reference exactly if it has none for the perfect answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.metrics import METRICS, NoValue, PluggedMetric, measured_clip, why_undefined
from soundsright.metrics.facts import higher
from soundsright.metrics.registry import PLUGINS
from tests.plugins import install_package

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]
PLAIN = [name for name, each in METRICS.items() if not each.packages]
PLAIN_OF_CLEAN = [name for name in PLAIN if METRICS[name].needs_reference and not METRICS[name].needs_noisy]


def cut(audio: Audio, start_s: float, stop_s: float) -> Audio:
    rate = audio.sample_rate_hz
    return Audio(audio.samples[round(start_s * rate) : round(stop_s * rate)].copy(), rate)


def test_speech_of_usual_length_has_a_value_under_every_metric(make_clip: MakeClip) -> None:
    clean, _, noisy = make_clip()
    assert why_undefined(clean, PLAIN, noisy) == {}
    assert why_undefined(clean, PLAIN) == {}


@pytest.mark.parametrize(
    ("seconds", "undefined"),
    [
        (0.35, {"STOI", "ESTOI"}),
        (0.2, {"STOI", "ESTOI", "PESQ_WB", "PESQ_NB", "CSIG", "CBAK", "COVL"}),
        (0.02, {"STOI", "ESTOI", "PESQ_WB", "PESQ_NB", "CSIG", "CBAK", "COVL", "SSNR", "LSD", "MCD"}),
    ],
)
def test_a_short_reference_is_undefined_for_the_metrics_that_need_frames(
    make_clip: MakeClip, seconds: float, undefined: set[str]
) -> None:
    clean = cut(make_clip()[0], 0.5, 0.5 + seconds)
    names = ["PESQ_WB", "PESQ_NB", "STOI", "ESTOI", "CSIG", "CBAK", "COVL", "SI_SDR", "SNR", "SSNR", "LSD", "MCD"]
    assert set(why_undefined(clean, names)) == undefined


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.031, 0.05, 0.1, 0.24, 0.26, 0.38, 0.42, 0.5, 1.0])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_condition_is_that_of_the_metric(make_clip: MakeClip, seconds: float, rate: int) -> None:
    """An undefined reference gives no answer a value. A defined one gives the perfect answer a value."""
    clean, enhanced, noisy = (cut(each, 0.5, 0.5 + seconds) for each in make_clip(rate=rate))
    undefined = why_undefined(clean, PLAIN, noisy)
    for answer in (enhanced, noisy):
        measured = measured_clip(clean, answer, noisy, PLAIN)
        assert undefined.keys() <= {name for name, each in measured.items() if each.no_value is not None}
    assert all(why.is_of_reference for name, why in undefined.items() if name in PLAIN_OF_CLEAN)
    perfect = measured_clip(clean, clean, noisy, PLAIN)
    assert undefined.keys() == {name for name, each in perfect.items() if each.no_value is not None}


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_a_blank_reference_is_undefined_for_every_metric(value: float) -> None:
    clean = Audio(np.full(32_000, value, np.float32), 16_000)
    assert why_undefined(clean, list(METRICS)) == dict.fromkeys(METRICS, NoValue.CLEAN_BLANK)


def test_a_pause_with_faint_noise_is_judged_by_what_the_metric_finds(make_clip: MakeClip) -> None:
    room = Audio(np.float32(1e-9) * np.random.default_rng(0).standard_normal(32_000).astype(np.float32), 16_000)
    _, enhanced, _ = make_clip()
    undefined = why_undefined(room, ["PESQ_WB", "SI_SDR"])
    measured = measured_clip(room, enhanced, None, ["PESQ_WB", "SI_SDR"])
    assert undefined == {name: each.no_value for name, each in measured.items() if each.no_value is not None}


def test_a_noisy_signal_that_equals_the_reference_gives_the_ratios_to_noise_no_value(make_clip: MakeClip) -> None:
    clean, _, noisy = make_clip()
    names = ["SI_SDR", "SI_SIR", "SI_SAR", "SI_SIR_SPAN", "SI_SAR_SPAN"]
    assert why_undefined(clean, names, clean) == dict.fromkeys(names[1:], NoValue.NO_NOISE)
    assert why_undefined(clean, names, noisy) == {}
    assert why_undefined(clean, names) == {}


def many_utterances() -> Audio:
    """A minute with sixty utterances, of which PESQ has room for fifty."""
    rng = np.random.default_rng(0)
    clean = np.zeros(16_000 * 60, np.float32)
    for second in range(60):
        clean[second * 16_000 : second * 16_000 + 6_400] = rng.standard_normal(6_400) * 0.1
    return Audio(clean, 16_000)


def test_a_long_reference_with_more_than_50_utterances_has_no_pesq() -> None:
    undefined = why_undefined(many_utterances(), ["PESQ_WB", "CSIG", "STOI", "SI_SDR"])
    assert undefined == dict.fromkeys(["PESQ_WB", "CSIG"], NoValue.PESQ_CLEAN_TOO_LONG)


def test_a_reference_without_pesq_is_told_from_an_answer_without_one() -> None:
    clean = many_utterances()
    noise = np.random.default_rng(1).standard_normal(len(clean)).astype(np.float32)
    for answer in (clean, Audio(clean.samples + 0.01 * noise, 16_000)):
        (measured,) = measured_clip(clean, answer, names=["PESQ_WB"]).values()
        assert measured.no_value is NoValue.PESQ_CLEAN_TOO_LONG
        assert measured.no_value.is_of_reference
    assert "in the clean recording" in NoValue.PESQ_CLEAN_TOO_LONG.sentence


def test_an_answer_that_pesq_cannot_rate_is_no_fault_of_the_reference(make_clip: MakeClip) -> None:
    clean, _, _ = make_clip()
    faint = Audio(clean.samples * np.float32(1e-30), 16_000)
    with_value = {
        name for name, each in measured_clip(clean, clean, names=PLAIN_OF_CLEAN).items() if not each.no_value
    }
    measured = measured_clip(clean, faint, names=PLAIN_OF_CLEAN)
    undefined = {name: each.no_value for name, each in measured.items() if each.no_value is not None}
    assert undefined.keys() & with_value
    assert not any(why.is_of_reference for name, why in undefined.items() if name in with_value)


def test_a_metric_at_another_rate_is_named(make_clip: MakeClip) -> None:
    with pytest.raises(UsageError, match="PESQ_WB is not defined at 8000 Hz"):
        why_undefined(make_clip(rate=8_000)[0], ["PESQ_WB"])


def error_sign(clean: Audio, enhanced: Audio, noisy: Audio | None) -> float:
    return 1.0 if (clean.samples - enhanced.samples).any() else float("nan")


ERROR_SIGN = PluggedMetric(
    higher("ERROR_SIGN", "Whether there is an error", "index", 0.0, 1.0, "a test"), error_sign
)


def test_a_plugged_metric_that_lacks_a_value_for_perfect_copies_alone_is_defined(
    make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_package(
        tmp_path,
        monkeypatch,
        group=PLUGINS.group,
        name="plugin_error",
        code="from tests.metrics.test_undefined import ERROR_SIGN",
        error="plugin_error:ERROR_SIGN",
    )
    clean, _, noisy = make_clip()
    assert why_undefined(clean, ["ERROR_SIGN"], noisy) == {}
    assert why_undefined(clean, ["ERROR_SIGN"], clean) == {"ERROR_SIGN": NoValue.NOT_A_NUMBER}


def test_a_clip_that_is_too_short_for_pesq_says_so(make_clip: MakeClip) -> None:
    names = ["PESQ_WB", "CSIG", "CSIG_CMGAN"]
    assert why_undefined(cut(make_clip()[0], 0.5, 0.7), names) == dict.fromkeys(names, NoValue.PESQ_TOO_SHORT)
