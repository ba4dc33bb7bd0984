"""`open_run`: the results of a competition as records."""

from __future__ import annotations

from pathlib import Path

import pytest

import soundsright
from tests.services.records.runs import write_run


def test_a_run_has_its_competitions_entries_and_values(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    run = soundsright.open_run(str(tmp_path / "run"))
    (competition,) = run.competitions
    assert competition.doc.id == "DENOISING_16000HZ"
    best = competition.entries[0]
    assert len(competition.values(best, "PESQ_WB")) == len(competition.clip_ids) == 6
    assert competition.signal("clean", competition.clip_ids[0]) is not None


def test_the_folder_above_one_run_is_accepted(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    assert soundsright.open_run(tmp_path).folder == tmp_path / "run"


def test_a_folder_without_a_finished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(soundsright.UsageError, match="is not a folder"):
        soundsright.open_run(tmp_path / "none")
    with pytest.raises(soundsright.UsageError, match="has no run"):
        soundsright.open_run(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(soundsright.UsageError, match="Give the folder of a finished run"):
        soundsright.open_run(tmp_path / "run")
    write_run(tmp_path / "a")
    with pytest.raises(soundsright.UsageError, match="has 2 runs"):
        soundsright.open_run(tmp_path)
