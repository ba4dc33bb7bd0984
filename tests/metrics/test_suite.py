"""For every possible output of a model, each metric gives a finite score in its range."""

from __future__ import annotations

import math
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import soundsright
from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.metrics.registry import METRICS, floors
from soundsright.metrics.suite import score_clip, warm_up

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]
INTRUSIVE = [name for name, each in METRICS.items() if each.needs_reference and not each.extra]


def audio_of(samples: np.ndarray, rate: int = 16_000) -> Audio:
    return Audio(np.ascontiguousarray(samples, dtype=np.float32), rate)


def assert_bounded(scores: dict[str, float]) -> None:
    for name, value in scores.items():
        assert math.isfinite(value), name
        assert METRICS[name].low <= value <= METRICS[name].high, name


def test_only_the_named_metrics_are_scored_in_the_order_of_their_names(make_clip: MakeClip) -> None:
    assert list(score_clip(*make_clip(), ["SI_SDR", "STOI"])) == ["SI_SDR", "STOI"]


def test_one_metric_alone_scores_as_among_all(make_clip: MakeClip) -> None:
    clip = make_clip()
    together = score_clip(*clip, INTRUSIVE)
    assert together == {name: score_clip(*clip, [name])[name] for name in INTRUSIVE}


@pytest.mark.parametrize("spoiled", ["nan", "inf", "silent", "constant"])
def test_blank_or_broken_output_scores_every_floor(make_clip: MakeClip, spoiled: str) -> None:
    clean, enhanced, noisy = make_clip()
    samples = enhanced.samples.copy()
    if spoiled in ("nan", "inf"):
        samples[777] = float(spoiled)
    else:
        samples[:] = 0.0 if spoiled == "silent" else 0.25
    assert score_clip(clean, audio_of(samples), noisy, INTRUSIVE) == floors(INTRUSIVE)


def test_a_silent_reference_scores_every_floor(make_clip: MakeClip) -> None:
    clean, enhanced, noisy = make_clip()
    assert score_clip(audio_of(0 * clean.samples), enhanced, noisy, INTRUSIVE) == floors(INTRUSIVE)


def test_a_clip_too_short_for_a_metric_scores_its_floor() -> None:
    rng = np.random.default_rng(0)
    clean, enhanced, noisy = (audio_of(rng.standard_normal(2_000)) for _ in range(3))
    scores = score_clip(clean, enhanced, noisy, ["PESQ_WB", "STOI", "ESTOI", "SI_SDR"])
    assert scores["SI_SDR"] > METRICS["SI_SDR"].floor
    assert {name: scores[name] for name in ("PESQ_WB", "STOI", "ESTOI")} == floors(["PESQ_WB", "STOI", "ESTOI"])


def test_an_honest_score_is_better_than_the_floor(make_clip: MakeClip) -> None:
    scores = score_clip(*make_clip(), INTRUSIVE)
    for name, floor in floors(INTRUSIVE).items():
        assert METRICS[name].at_least_as_good(scores[name], floor)
        assert scores[name] != floor


def test_signals_of_different_length_are_a_programming_error(make_clip: MakeClip) -> None:
    clean, enhanced, noisy = make_clip()
    with pytest.raises(ValueError, match="31999 samples"):
        score_clip(clean, audio_of(enhanced.samples[:-1]), noisy, ["STOI"])


def test_a_metric_that_needs_the_noisy_signal_says_so(make_clip: MakeClip) -> None:
    clean, enhanced, _ = make_clip()
    with pytest.raises(UsageError, match="SI_SIR needs the noisy"):
        score_clip(clean, enhanced, None, ["SI_SIR"])


def test_a_rate_that_a_metric_does_not_allow_is_named(make_clip: MakeClip) -> None:
    clip = make_clip(rate=8_000)
    with pytest.raises(UsageError, match="PESQ_WB is not defined at 8000 Hz"):
        score_clip(*clip, ["PESQ_WB"])


ANY_FLOAT32 = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)


@given(
    enhanced=hnp.arrays(np.float32, 8_000, elements=ANY_FLOAT32, fill=st.just(np.float32(0)) | ANY_FLOAT32),
)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_samples_at_all_score_inside_the_range(enhanced: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    clean = audio_of(np.sin(np.cumsum(rng.uniform(0, 0.5, 8_000))) * np.hanning(8_000))
    noisy = audio_of(clean.samples + 0.1 * rng.standard_normal(8_000))
    assert_bounded(score_clip(clean, audio_of(enhanced), noisy, INTRUSIVE))


@given(
    clean_exponent=st.integers(-45, 37),
    enhanced_exponent=st.integers(-45, 37),
    seed=st.integers(0, 1_000),
    n=st.integers(1, 9_000),
    rate=st.sampled_from([16_000, 48_000]),
)
@example(clean_exponent=37, enhanced_exponent=-24, seed=720, n=7_545, rate=48_000)  # over full range at 16 kHz
@settings(deadline=None, max_examples=100)
def test_any_level_of_either_signal_scores_inside_the_range(
    clean_exponent: int, enhanced_exponent: int, seed: int, n: int, rate: int
) -> None:
    rng = np.random.default_rng(seed)
    clean = audio_of(rng.standard_normal(n) * 10.0**clean_exponent, rate)
    enhanced = audio_of(rng.standard_normal(n) * 10.0**enhanced_exponent, rate)
    assert_bounded(score_clip(clean, enhanced, clean, INTRUSIVE))


def test_warming_up_twice_is_harmless() -> None:
    warm_up()
    warm_up()


def test_a_read_only_package_still_keeps_its_compiled_code(tmp_path: Path) -> None:
    """The package is installed by root and run by another user, so the cache goes to the user's folder."""
    package = tmp_path / "site" / "soundsright"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(soundsright.__file__).parent, package, ignore=ignore)
    for folder in [package, *(p for p in package.rglob("*") if p.is_dir())]:
        (folder / "__pycache__").write_bytes(b"")  # no folder can be made here, not even by root
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    script = (
        "import soundsright.metrics.si_sdr as m, numpy as np; "
        "m.energy_ratios(np.ones(4), np.ones(4), None); "
        "print(m.__file__); print(sum(m._inner_products.stats.cache_hits.values()))"
    )
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path / "site"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(2)
    ]
    for folder in [package, *(p for p in package.rglob("*") if p.is_dir())]:
        folder.chmod(stat.S_IRWXU)
    assert str(package) in runs[0].stdout
    assert [run.stdout.split()[-1] for run in runs] == ["0", "1"]


@pytest.mark.parametrize("rest", [0.0, 0.003])
def test_a_syllable_in_silence_or_a_burst_in_quiet_noise_has_no_pesq(make_clip: MakeClip, rest: float) -> None:
    """By the formula of P.862 alone, such an output can score far above an honest one."""
    clean, enhanced, noisy = make_clip(seconds=3.0)
    kept = (np.arange(48_000) > 20_000) & (np.arange(48_000) < 24_000)
    scores = score_clip(clean, audio_of(np.where(kept, 1.0, rest) * enhanced.samples), noisy, INTRUSIVE)
    for name in ("PESQ_WB", "PESQ_NB", "CSIG", "CBAK", "COVL"):
        assert scores[name] == METRICS[name].floor


def test_a_rumble_under_the_speech_band_costs_no_pesq(make_clip: MakeClip) -> None:
    clean, enhanced, noisy = make_clip()
    rumble = 3 * np.sin(np.arange(32_000) * 2 * np.pi * 20 / 16_000)
    assert score_clip(clean, audio_of(enhanced.samples + rumble), noisy, ["PESQ_WB"])["PESQ_WB"] > 1.02
