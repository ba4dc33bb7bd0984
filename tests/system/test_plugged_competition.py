"""A whole competition whose task and corpus come from another package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import soundsright
from soundsright.core.shipped import datasets_folder

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = f"""
import numpy as np
from soundsright.core.tasks import CustomTask, TaskSignals

def clip(rng, speech, sample_rate_hz):
    share = float(rng.uniform(0.05, 0.2))
    level = float(np.quantile(np.abs(speech), 1 - share))
    return TaskSignals(speech, np.clip(speech, -level, level), {{"clipped_share": share}})

DECLIPPING = CustomTask("DECLIPPING", clip)

def corpus():
    return {str(datasets_folder())!r}
"""
ENTRY_POINTS = """
[soundsright.tasks]
declipping = plugged:DECLIPPING
[soundsright.corpora]
ours = plugged:corpus
"""
RULES = """
[[competition]]
task = "DECLIPPING"
sample_rate_hz = 16_000
max_score = 80.0
remainder = 20.0
metrics = { SI_SDR = 0.5, ESTOI = 0.5 }
"""


@pytest.mark.slow
def test_a_competition_of_another_packages_task_and_corpus_runs(tmp_path: Path) -> None:
    (tmp_path / "plugged.py").write_text(PACKAGE)
    metadata = tmp_path / "plugged-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "rules.toml").write_text(RULES)
    entry = {"miner": "alice", "model": str(ROOT / "models" / "template"), "competition": "DECLIPPING_16000HZ"}
    lines = "".join(f'{key} = "{value}"\n' for key, value in entry.items())
    (tmp_path / "entries.toml").write_text(f"[[entry]]\n{lines}")
    options = ["--ruleset", "rules.toml", "--entries", "entries.toml", "--corpus", "ours", "--sandbox", "process"]
    done = subprocess.run(
        [sys.executable, "-m", "soundsright", "compete", "--clips", "2", "--out", "run", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (competition,) = soundsright.open_run(tmp_path / "run").competitions
    assert competition.doc.id == "DECLIPPING_16000HZ"
    assert all(0.05 <= float(recipe.extra["clipped_share"]) <= 0.2 for recipe in competition.recipes.values())
    assert competition.values(competition.entries[0], "SI_SDR") == competition.values(
        competition.unprocessed, "SI_SDR"
    )
    clips = list(soundsright.read_set(competition.set_folder))
    assert [clip.id for clip in clips] == list(competition.clip_ids)
