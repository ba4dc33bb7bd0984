"""`soundsright init-competition` writes files that run without any change."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from soundsright.cli.main import cli, run
from soundsright.core.competition import PUBLISHED
from soundsright.library import organiser_of
from soundsright.services.local.trial import read_entries


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert run(cli, ["init-competition", str(tmp_path / "mine")]) == 0
    return tmp_path / "mine"


def test_its_files_are_read_without_any_change(folder: Path) -> None:
    organiser = organiser_of(str(folder / "competition.toml"), begun=False)
    assert organiser.competitions == PUBLISHED
    (entry,) = read_entries(folder / "entries.toml", organiser.competitions, {c.id for c in organiser.competitions})
    assert entry.incumbent
    for name in ("Dockerfile", "LICENSE"):
        assert (entry.folder / name).is_file()


def test_the_commented_lines_become_entries_without_their_marks(folder: Path) -> None:
    path = folder / "entries.toml"
    path.write_text(re.sub(r"^# (?=\[\[|\w+ = )", "", path.read_text(), flags=re.MULTILINE))
    (folder / "models" / "baseline").rename(folder / "models" / "ada")
    (folder / "models" / "baseline").symlink_to("ada")
    assert [e.miner for e in read_entries(path, PUBLISHED, {PUBLISHED[0].id})] == ["baseline", "ada"]


def test_the_commands_that_it_prints_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["init-competition", str(tmp_path / "my class")]) == 0
    shown, competes = (shlex.split(line) for line in capsys.readouterr().out.splitlines()[1:])
    assert shown == ["soundsright", "rules", "show", str(tmp_path / "my class" / "competition.toml")]
    assert competes[-1] == str(tmp_path / "my class" / "run")
    assert run(cli, ["init-model", str(tmp_path / "my model")]) == 0
    assert shlex.split(capsys.readouterr().out.rpartition("then: ")[2])[-1] == str(tmp_path / "my model")


def test_a_folder_that_is_not_empty_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "competition.toml").write_text("mine")
    assert run(cli, ["init-competition", str(folder)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert (folder / "competition.toml").read_text() == "mine"
