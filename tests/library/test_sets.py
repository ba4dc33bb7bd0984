"""`generate`: one set, on disk and in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import soundsright
from soundsright.cli.commands.generate import command as generate_command
from soundsright.data.manifest import clip_line


@pytest.mark.parametrize("task", ["denoising", "dereverberation"])
def test_the_clips_in_memory_are_those_on_disk(tmp_path: Path, task: str) -> None:
    report = soundsright.generate(tmp_path / "set", count=2, seed=5, task=task)
    degraded = {"denoising": "noisy", "dereverberation": "reverberant"}[task]
    clips = list(soundsright.generate(count=2, seed=5, task=task))
    assert report.items == len(clips) == 2
    for stored, clip in zip(soundsright.read_set(tmp_path / "set"), clips, strict=True):
        assert (stored.digest, stored.recipe) == (clip.digest, clip.recipe)
    for clip in clips:
        for folder, audio in (("clean", clip.clean), (degraded, clip.degraded)):
            samples, rate = soundfile.read(tmp_path / "set" / folder / f"{clip.id}.wav", dtype="float32")
            assert rate == audio.sample_rate_hz == 16_000
            assert np.array_equal(samples, audio.samples)


def test_the_set_is_that_of_the_command(tmp_path: Path) -> None:
    report = soundsright.generate(tmp_path / "library", count=2, noise="pink", split="train")
    options = ["--n=2", "--noise=pink", "--split=train", f"--out={tmp_path / 'command'}"]
    assert CliRunner().invoke(generate_command, options).exit_code == 0
    files = sorted(path.relative_to(tmp_path / "command") for path in (tmp_path / "command").rglob("*.*"))
    assert files
    for file in files:
        assert (tmp_path / "library" / file).read_bytes() == (tmp_path / "command" / file).read_bytes(), file
    assert report.digest


def test_the_recipe_is_kept(tmp_path: Path) -> None:
    recipe = soundsright.SetRecipe(snr_db=(5.0, 5.0), duration_s=(0.5, 0.5))
    (clip,) = soundsright.generate(count=1, recipe=recipe, noise="white")
    assert clip.recipe.snr_db == 5.0
    assert clip.clean.samples.shape == (8_000,)


def test_misuse_is_refused_before_the_first_clip(tmp_path: Path) -> None:
    for options, words in (
        ({"count": 0}, "cannot have 0 items"),
        ({"count": 1, "seed": -1}, "Seed -1"),
        ({"count": 1, "sample_rate_hz": 8_000}, "8000 Hz"),
        ({"count": 1, "task": "separation"}, "There is no task 'separation'"),
        ({"count": 1, "split": "all"}, "There is no split 'all'"),
        ({"count": 1, "speech": tmp_path / "none"}, "none"),
        ({"count": 1, "noise": "purple"}, "purple"),
        ({"count": 1, "task": "both"}, "Give out="),
    ):
        with pytest.raises(soundsright.UsageError, match=words):
            soundsright.generate(**options)


def test_a_set_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(soundsright.UsageError, match="has no manifest"):
        next(soundsright.read_set(tmp_path))
    soundsright.generate(tmp_path / "shards", count=1, noise="white", format="webdataset")
    with pytest.raises(soundsright.UsageError, match="is stored in shards"):
        next(soundsright.read_set(tmp_path / "shards"))
    manifest = tmp_path / "shards" / "manifest.jsonl"
    manifest.write_text('{"id": "0"}\n')
    with pytest.raises(soundsright.UsageError, match="line 1, does not describe a clip"):
        next(soundsright.read_set(tmp_path / "shards"))


def test_the_set_of_a_round_is_read_too(tmp_path: Path) -> None:
    (clip,) = soundsright.generate(count=1, noise="white")
    for side, audio in (("clean", clip.clean), ("degraded", clip.degraded)):
        (tmp_path / side).mkdir()
        soundfile.write(tmp_path / side / f"{clip.id}.wav", audio.samples, audio.sample_rate_hz, subtype="PCM_16")
    (tmp_path / "manifest.jsonl").write_text(json.dumps(clip_line(clip)) + "\n")
    assert [read.digest for read in soundsright.read_set(tmp_path)] == [clip.digest]
