"""`compare`: the numbers of the command, from records and from reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import soundsright
from soundsright.cli.commands.compare import command as compare_command

pytestmark = pytest.mark.usefixtures("shared_workers")
METRICS = ("STOI", "SI_SDR")
Systems = tuple[soundsright.FolderScore, soundsright.FolderScore]


@pytest.fixture
def systems(folders: Path) -> Systems:
    a, b = (soundsright.score_folder(folders / "clean", folders / name, metrics=METRICS) for name in "ab")
    a.write(folders / "a.json")
    b.write(folders / "b.json")
    return a, b


def test_it_gives_the_numbers_of_the_command(folders: Path, systems: Systems) -> None:
    result = soundsright.compare(*systems)
    printed = CliRunner().invoke(compare_command, [str(folders / "a.json"), str(folders / "b.json"), "--json", "-"])
    numbers = json.loads(printed.stdout)["metrics"]
    assert list(numbers) == list(result.metrics)
    for name, row in numbers.items():
        each = result[name]
        assert row["difference"] == each.difference.mean
        assert (row["low"], row["high"]) == (each.difference.low, each.difference.high)
        assert (row["p_value"], row["p_value_holm"]) == (each.p_value, each.p_value_holm)
        assert row["effect_size"] == each.effect_size
    assert result.clip_ids == ("0", "1", "2", "3")
    assert result["SI_SDR"].difference.mean > 0


def test_reports_records_and_scores_by_clip_agree(folders: Path, systems: Systems) -> None:
    a, b = systems
    by_clip = {
        f"{n}": soundsright.score(folders / "clean" / f"{n}.wav", folders / "a" / f"{n}.wav", metrics=METRICS)
        for n in range(4)
    }
    expected = soundsright.compare(a, b, seed=3)
    assert soundsright.compare(folders / "a.json", b, seed=3) == expected
    assert soundsright.compare(by_clip, b, seed=3).metrics == expected.metrics


def test_few_clips_leave_the_question_open_and_say_so(systems: Systems) -> None:
    result = soundsright.compare(*systems, metrics=["SI_SDR"])
    assert result.groups is None
    assert result.witnesses == 4
    assert result.least_p_value_holm == 0.125
    assert result["SI_SDR"].better is None
    assert result["SI_SDR"].difference.is_above(0.0)


def test_sides_that_cannot_be_compared_are_named(folders: Path, systems: Systems) -> None:
    a, b = systems
    (folders / "a" / "3.wav").unlink()
    (folders / "clean" / "3.wav").unlink()
    fewer = soundsright.score_folder(folders / "clean", folders / "a", metrics=METRICS)
    with pytest.raises(soundsright.UsageError, match="A and B do not have the same clips: 1 differ, such as 3"):
        soundsright.compare(a, fewer)
    aligned = soundsright.score_folder(folders / "clean", folders / "a", metrics=METRICS, align=True)
    with pytest.raises(soundsright.UsageError, match="scored with --align"):
        soundsright.compare(aligned, fewer)
    with pytest.raises(soundsright.UsageError, match="PESQ_WB"):
        soundsright.compare(a, b, metrics=["PESQ_WB"])
    with pytest.raises(soundsright.UsageError, match="99 resamples is out of range"):
        soundsright.compare(a, b, resamples=99)
    with pytest.raises(soundsright.UsageError, match="B has no clips"):
        soundsright.compare(a, {})
