"""A task that another package adds: clips, sets and competitions of it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import soundsright
from soundsright.cli.commands.generate import command as generate_command
from soundsright.core.competition import Competition
from soundsright.core.errors import UsageError
from soundsright.core.tasks import TASKS, CustomTask, Task, TaskSignals, task_by_name
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus
from soundsright.rules.organiser import organiser_of_toml
from tests.plugins import install_package

CODE = """
import numpy as np
from soundsright.core.tasks import CustomTask, TaskSignals

def clip(rng, speech, sample_rate_hz):
    share = float(rng.uniform(0.05, 0.2))
    level = float(np.quantile(np.abs(speech), 1 - share))
    return TaskSignals(speech, np.clip(speech, -level, level), {"clipped_share": share})

def cut(rng, speech, sample_rate_hz):
    return TaskSignals(speech, speech[:-1])

DECLIPPING = CustomTask("DECLIPPING", clip)
SHORTENING = CustomTask("SHORTENING", cut)
TWIN = CustomTask("DENOISING", clip)
"""


@pytest.fixture
def declipping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CustomTask:
    install_package(tmp_path, monkeypatch, "task_clip", TASKS.group, CODE, declipping="task_clip:DECLIPPING")
    task = task_by_name("DECLIPPING")
    assert isinstance(task, CustomTask)
    return task


def test_a_competition_of_it_draws_the_same_clips_every_time(declipping: CustomTask) -> None:
    competition = Competition(declipping, 16_000, {"SI_SDR": 1.0}, 80.0, 20.0)
    assert (competition.id, competition.title) == ("DECLIPPING_16000HZ", "Declipping, 16 kHz")
    clip, again = (draw_clip(competition, 3, 1, corpus=Corpus.open()) for _ in range(2))
    assert clip.digest == again.digest
    assert np.abs(clip.degraded.samples).max() < np.abs(clip.clean.samples).max()
    assert 0.05 <= float(clip.recipe.extra["clipped_share"]) <= 0.2


def test_a_worker_gets_it_from_its_package(declipping: CustomTask) -> None:
    competition = Competition(declipping, 16_000, {"SI_SDR": 1.0}, 80.0, 20.0)
    assert pickle.loads(pickle.dumps(competition)).task is declipping


@pytest.mark.usefixtures("declipping")
def test_rules_can_name_it() -> None:
    rules = organiser_of_toml(
        '[[competition]]\ntask = "DECLIPPING"\nsample_rate_hz = 16000\nmax_score = 80.0\n'
        "remainder = 20.0\n[competition.metrics]\nSI_SDR = 1.0\n",
        source="mine.toml",
        now_s=0.0,
    )
    assert rules.competitions[0].id == "DECLIPPING_16000HZ"


@pytest.mark.usefixtures("declipping")
def test_sets_of_it_are_written_and_made_in_memory_alike(tmp_path: Path) -> None:
    options = ["--task=declipping", "--n=2", "--seed=4", f"--out={tmp_path / 'set'}"]
    result = CliRunner().invoke(generate_command, options)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "set" / "manifest.jsonl").read_text().splitlines()]
    assert lines[0]["files"] == {"clean": "clean/000000.wav", "degraded": "degraded/000000.wav"}
    clips = list(soundsright.generate(count=2, seed=4, task="declipping"))
    assert [line["digest"] for line in lines] == [clip.digest for clip in clips]


def test_signals_of_another_length_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_package(tmp_path, monkeypatch, "task_cut", TASKS.group, CODE, shortening="task_cut:SHORTENING")
    with pytest.raises(
        UsageError, match="The task SHORTENING returned a degraded signal that is not finite or not of"
    ):
        list(soundsright.generate(count=1, task="shortening"))


def test_names_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'declipping' is not 2 to 48 capital letters"):
        CustomTask("declipping", lambda rng, speech, rate: TaskSignals(speech, speech))
    with pytest.raises(UsageError, match=r"Unknown task 'DECLIPPING'\. Choose one of DENOISING, DEREVERBERATION"):
        task_by_name("DECLIPPING")
    install_package(tmp_path, monkeypatch, "task_twin", TASKS.group, CODE, twin="task_twin:TWIN")
    assert task_by_name("DENOISING") is Task.DENOISING
    with pytest.raises(UsageError, match="Two tasks are called 'DENOISING'"):
        task_by_name("DECLIPPING")
