"""The comparison of a model with itself, near copies and other models, on signals with known answers."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import repeatability
from benchmarks.repeatability import INPUT, Material, highest_rate, most_gain_db, near_copies, other_models
from benchmarks.repeatability_copies import NEAR_COPIES, bits, gain, noise, shelf, with_input
from benchmarks.repeatability_runs import SAME_MODEL, Circumstance, answers_in
from soundsright.core.audio import Audio, Clip, ClipRecipe, on_pcm16_grid, pcm16
from soundsright.core.tiers_rules import tiers_rules

RATE = 16_000


def clip(number: int) -> Clip:
    rng = np.random.default_rng(number)
    speech = 0.1 * rng.standard_normal(RATE) * np.repeat(rng.uniform(0, 1, 10), RATE // 10)
    clean, degraded = (Audio(on_pcm16_grid(x), RATE) for x in (speech, speech + 0.02 * rng.standard_normal(RATE)))
    return Clip(f"c{number}", clean, degraded, ClipRecipe("s", "x", 0.0))


@pytest.fixture(scope="module")
def material() -> Material:
    """Two models: one removes half of the noise, the other all of it but adds its own."""
    clips = {f"DENOISING_16000HZ-{n}": clip(n) for n in range(3)}
    own = {}
    for name, c in clips.items():
        clean, degraded = c.clean.samples, c.degraded.samples
        own["half", name] = pcm16((clean + degraded) / 2)
        own["other", name] = pcm16(clean + 0.004 * np.random.default_rng(9).standard_normal(RATE))
    return Material(clips, own)


def test_near_copies_agree_as_their_error_says(material: Material) -> None:
    """The input has twice the error of `half`. With a tenth of it the error is 1.1 times as large."""
    agreements = material.agreements(near_copies(material, with_input(0.1)))
    own = [value for (model, _), value in agreements.items() if model == "half"]
    assert own == pytest.approx([10 * math.log10(1.1 / 0.01)] * 3, abs=0.05)


@pytest.mark.parametrize("change", [gain(0.3), noise(-30), bits(8), shelf(1)])
def test_larger_changes_agree_less(material: Material, change: object) -> None:
    larger = {gain: gain(1), noise: noise(-20), bits: bits(6), shelf: shelf(2)}
    made = next(make for make in larger if make.__name__ in str(change))
    small, large = (material.agreements(near_copies(material, each)) for each in (change, larger[made]))  # type: ignore[arg-type]
    assert all(large[key] < small[key] for key in small)


def test_every_near_copy_can_be_made_of_every_answer(material: Material) -> None:
    for change in NEAR_COPIES.values():
        copies = near_copies(material, change)
        assert copies.keys() == material.own.keys()
        assert all(len(copies[key]) == len(material.own[key]) for key in copies)


def test_a_filter_of_1_db_raises_high_tones_by_1_db_and_leaves_low_ones() -> None:
    seconds = np.arange(RATE) / RATE
    for hz, db in ((50, 0.0), (7_900, 1.0)):
        tone = np.sin(2 * np.pi * hz * seconds).astype(np.float32)
        raised = shelf(1)(tone, tone, tone, RATE)
        assert 20 * math.log10(raised[800:].std() / tone[800:].std()) == pytest.approx(db, abs=0.05)


def test_other_models_and_the_input_are_compared_in_pairs(material: Material) -> None:
    pairs = other_models(material)
    assert {pair for pair, _ in pairs} == {"half and other", f"half and {INPUT}", f"other and {INPUT}"}
    assert all(value < 15 for (pair, _), value in pairs.items() if pair == "half and other")
    assert pairs[f"half and {INPUT}", "DENOISING_16000HZ-0"] == pytest.approx(10 * math.log10(2), abs=0.1)
    rate, which = highest_rate(pairs, 2.9)
    assert (rate, which) == (1.0, f"half and {INPUT}, DENOISING_16000HZ")


def test_no_passing_answer_gains_more_than_the_bound(material: Material) -> None:
    least_db = 15.0
    for mixture in repeatability.best_mixtures(material, least_db, 0.98):
        assert 0 < mixture.part < 1
        assert 0 < mixture.gain_db <= most_gain_db(least_db)


def test_a_mixture_passes_as_far_as_it_says_and_no_further(material: Material) -> None:
    (mixture,) = repeatability.best_mixtures(material, 15.0, 1.0)
    for part, passes in ((mixture.part, True), (1.1 * mixture.part, False)):
        agreements = []
        for name, c in material.clips.items():
            mixed = (1 - part) * material.own["half", name] + part * material.own["other", name]
            error, own = (x.astype(float) - pcm16(c.clean.samples) for x in (mixed, material.own["half", name]))
            agreements.append(
                10 * math.log10(math.sqrt((error @ error) * (own @ own)) / np.sum((error - own) ** 2))
            )
        assert (min(agreements) >= 15.0) is passes


def test_models_run_in_processes_with_their_threads_kernels_and_precision() -> None:
    """A network answers alike on other threads, nearly alike with another graph, and roughly so in TF32."""
    clips = {f"DENOISING_16000HZ-{n}": clip(n) for n in range(2)}
    material = Material(clips, answers_in(Circumstance("reference"), ["gtcrn", "spectral-gate"], clips))
    assert material.models == ["gtcrn", "spectral-gate"]
    for circumstance, least_db in (
        (SAME_MODEL[1], 120.0),
        (Circumstance("plain", graph="plain"), 70.0),
        (Circumstance("tf32", weights="tf32"), 40.0),
    ):
        agreements = material.agreements(answers_in(circumstance, material.models, clips))
        assert min(agreements.values()) >= least_db
    rounded = answers_in(Circumstance("bfloat16", weights="bfloat16"), material.models, clips)
    assert {model for model, _ in rounded} == {"gtcrn"}
    assert max(material.agreements(rounded).values()) < 60


def test_the_command_prints_the_tables_and_the_margins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["repeatability.py", "--clips", "1", "--fast", "--models", "spectral-gate", "gtcrn"]
    monkeypatch.setattr(sys, "argv", words)
    code = repeatability.main()
    printed = capsys.readouterr().out
    assert "| again, after a new start | 2 | 120.0 | 120.0 | 120.0 |" in printed
    assert f"| {'Challenger'} | {tiers_rules().tier('Challenger').agreement_db:g} |" in printed
    assert code == (0 if "The thresholds hold." in printed else 1)


def test_a_broken_process_says_what_it_wrote(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('no such build')")
    with pytest.raises(RuntimeError, match="packages: no such build"):
        answers_in(Circumstance("packages", packages=tmp_path), ["gtcrn"], {"DENOISING_16000HZ-0": clip(0)})
