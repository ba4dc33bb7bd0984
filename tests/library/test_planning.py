"""`plan_study`: variance components from a run and from two reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import soundsright
from soundsright.core.errors import UsageError
from tests.services.records.runs import write_run

CLIPS = 60


def report(path: Path, scores: NDArray[np.float64]) -> Path:
    clips = [{"id": f"{clip:06d}", "scores": {"ESTOI": float(score)}} for clip, score in enumerate(scores)]
    path.write_text(json.dumps({"clips": clips}))
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = [
        {"id": f"{clip:06d}", "speech": f"s{clip * 7 % 20}", "noise": f"n{clip % 12}", "speaker": f"v{clip % 2}"}
        for clip in range(CLIPS)
    ]
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_two_reports_show_their_own_components(tmp_path: Path, manifest: Path) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(scale=0.04, size=12)[np.arange(CLIPS) % 12]
    a = report(tmp_path / "a.json", 0.6 + noise + rng.normal(scale=0.02, size=CLIPS))
    b = report(tmp_path / "b.json", np.full(CLIPS, 0.6))
    plan = soundsright.plan_study("ESTOI", 0.02, reports=[a, b], manifest=manifest)
    parts = plan.components.typical
    assert plan.components.pairs == 1
    assert parts.share("noise") > 0.5
    assert "speaker" not in parts.factors  # two speakers say nothing of new ones
    assert plan.typical == plan.cautious
    assert plan.typical is not None
    assert plan.typical.speakers is None
    few = soundsright.plan_study("ESTOI", 0.02, reports=[a, b], manifest=manifest, noises=12)
    assert few.typical is None
    assert few.ceiling < 0.9


def test_a_run_that_is_too_small_or_lacks_the_metric_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    with pytest.raises(UsageError, match="Variance components cannot be measured in the run run"):
        soundsright.plan_study("PESQ_WB", 0.05, run=tmp_path / "run")
    with pytest.raises(UsageError, match="did not measure LSD"):
        soundsright.plan_study("LSD", 0.05, run=tmp_path / "run")
    with pytest.raises(UsageError, match="has no competition DEREVERBERATION_16000HZ"):
        soundsright.plan_study("PESQ_WB", 0.05, run=tmp_path / "run", competition="DEREVERBERATION_16000HZ")


def test_a_run_shows_the_components_of_its_entries_that_answered_every_clip(tmp_path: Path) -> None:
    write_run(tmp_path / "run", clips=40, audio=False)
    plan = soundsright.plan_study("ESTOI", 0.05, run=tmp_path / "run")
    assert plan.competition == "DENOISING_16000HZ"
    assert plan.components.clips == 40
    assert plan.components.pairs == 3  # two entries and the unprocessed input
    assert plan.typical is not None


def test_reports_without_the_metric_or_of_equal_systems_are_named(tmp_path: Path, manifest: Path) -> None:
    a = report(tmp_path / "a.json", np.full(CLIPS, 0.6))
    with pytest.raises(UsageError, match="no two systems have different scores"):
        soundsright.plan_study("ESTOI", 0.02, reports=[a, a], manifest=manifest)
    with pytest.raises(UsageError, match="lacks PESQ_WB"):
        soundsright.plan_study("PESQ_WB", 0.02, reports=[a, a], manifest=manifest)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1, is not JSON"),
        ("[1]", "line 1, is not an object"),
        ('{"id": "000000"}', "lacks 59 clips; the first is 000001"),
        ("".join(f'{{"id": "{clip:06d}"}}\n' for clip in range(CLIPS)), "does not say which noise"),
    ],
)
def test_a_manifest_that_does_not_fit_is_named(tmp_path: Path, text: str, words: str) -> None:
    scores = np.arange(CLIPS) / 100
    a, b = report(tmp_path / "a.json", scores), report(tmp_path / "b.json", scores**2)
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(UsageError, match=words):
        soundsright.plan_study("ESTOI", 0.02, reports=[a, b], manifest=tmp_path / "manifest.jsonl")
