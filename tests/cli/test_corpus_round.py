"""The number of the round of a private corpus in runs on one machine, and the command that publishes a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundsright.cli.commands.disclose import command
from soundsright.cli.main import run
from soundsright.cli.shared.corpus_round import note_round, numbered
from soundsright.core.errors import UsageError
from soundsright.core.material import Material
from soundsright.services.local import next_round, rounds_file
from soundsright.services.rounds import PRIVATE_FOLDER
from tests.services.private_corpus import private_material


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    private_material(home)
    return home


@pytest.fixture
def material(home: Path) -> Material:
    rounds_file(home / "corpus").unlink(missing_ok=True)
    return Material(home / "corpus", home / "corpus.key")


def test_each_run_uses_the_next_round_and_an_unfinished_one_keeps_its_own(
    material: Material, tmp_path: Path
) -> None:
    first = numbered(material, tmp_path / "a", force=False)
    note_round(first, tmp_path / "a")
    assert first.round_number == 0
    assert numbered(material, tmp_path / "b", force=False).round_number == 1
    (tmp_path / "a").mkdir()
    begun = {"request": {"corpus_round": 0}, "round": {}, "reveals": {}}
    (tmp_path / "a" / "run.json").write_text(json.dumps(begun))
    assert numbered(material, tmp_path / "a", force=False).round_number == 0
    # A run that replaces another one must not hear the same recordings again.
    assert numbered(material, tmp_path / "a", force=True).round_number == 1
    assert numbered(Material(material.corpus, material.key_file, 4), tmp_path, force=False).round_number == 4


def test_public_recordings_have_no_rounds(tmp_path: Path) -> None:
    assert numbered(Material(), tmp_path, force=False) == Material()
    with pytest.raises(UsageError, match="the recordings are public"):
        numbered(Material(round_number=1), tmp_path, force=False)


def test_a_damaged_list_of_rounds_is_named(material: Material) -> None:
    assert material.corpus is not None
    rounds_file(material.corpus).write_text("{}\n")
    with pytest.raises(UsageError, match=r"corpus\.rounds\.jsonl does not list"):
        next_round(material.corpus, first_round=0)


def test_a_round_that_has_not_come_yet_publishes_nothing(
    material: Material, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert material.corpus is not None
    (tmp_path / "run" / PRIVATE_FOLDER).mkdir(parents=True)
    note_round(Material(material.corpus, material.key_file, 0), tmp_path / "run")
    words = [str(tmp_path / "run"), "--corpus", str(material.corpus), "--corpus-key", str(material.key_file)]
    assert run(command, [*words, "--corpus-round", "9"]) == 2
    assert "is 1: recordings that it uses would be published" in capsys.readouterr().err
    assert run(command, words[:1]) == 2
    assert "No private corpus is given" in capsys.readouterr().err
