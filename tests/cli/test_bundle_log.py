"""`soundsright bundle verify` checks the proof of a log in a bundle or beside it, and says whose log it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.cli.main import cli, run
from soundsright.services.log import proof_of, write_proof
from tests.services.log.log_bench import ADMISSION, LOG, STRANGER, VICTOR, filled, own_log
from tests.services.records.bundles import RecordedRun, recorded_run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    return recorded_run(tmp_path_factory.mktemp("round"), VICTOR)


@pytest.fixture
def folder(recorded: RecordedRun, tmp_path: Path) -> Path:
    """A run whose round is entry 5 of a log."""
    copy = Path(shutil.copytree(recorded.folder, tmp_path / "run"))
    logged(copy, (copy / "bundle" / "round.json").read_bytes())
    return copy


def logged(folder: Path, raw: bytes, *, keeper: Hotkey = LOG) -> None:
    """Append the document to a log, and keep the proof in the folder."""
    log = filled(5) if keeper is LOG else own_log(account=keeper)
    entry = ADMISSION.entry(raw)
    index = log.append(entry).index
    write_proof(folder, proof_of("http://log.example:9100", entry, index, log.inclusion(index).hashes, log.head()))


def verify(path: Path, *words: str) -> int:
    return run(cli, ["bundle", "verify", str(path), *words])


def bundled(folder: Path) -> Path:
    assert run(cli, ["bundle", "make", str(folder), "--out", str(folder / "bundle.zip")]) == 0
    return folder / "bundle.zip"


@pytest.mark.parametrize("where", ["inside", "beside", "record"])
def test_the_entry_of_the_log_is_proved_and_its_log_named(
    folder: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "bundle"
    if where == "inside":
        path = Path(shutil.move(bundled(folder), folder.parent / "alone.zip"))
    elif where == "beside":
        proof = folder / "log.json"
        proof.rename(folder / "kept")
        path = bundled(folder)
        (folder / "kept").rename(proof)
    capsys.readouterr()
    assert verify(path, "--log", LOG.address) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("Log ")]
    assert line.startswith(f"Log        entry 5 of 6 entries in the log {LOG.address}, signed ")
    assert verify(path) == 0
    assert "Anyone can keep a log. Name the one that you trust with --log." in capsys.readouterr().out


def test_a_bundle_without_a_proof_says_so_and_is_refused_if_a_log_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "log.json").unlink()
    assert verify(folder / "bundle") == 0
    assert "Log        not checked: There is no log.json in the bundle or beside it" in capsys.readouterr().out
    assert verify(folder / "bundle", "--log", LOG.address) == 3
    assert "Nothing proves that the round is in the log" in capsys.readouterr().err
    assert verify(folder / "bundle", "--log", "5x") == 2


def test_the_proof_of_another_log_is_refused_if_one_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logged(folder, (folder / "bundle" / "round.json").read_bytes(), keeper=STRANGER)
    assert verify(folder / "bundle") == 0
    assert verify(folder / "bundle", "--log", LOG.address) == 3
    assert f"is of the log {STRANGER.address}, and not of {LOG.address}" in capsys.readouterr().err


@pytest.mark.parametrize("field", ["index", "leaf", "signature", "head"])
def test_a_false_proof_of_this_document_is_refused(
    folder: Path, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = json.loads((folder / "log.json").read_text())
    head = json.loads(facts["head"])
    head["signature"] = "0x" + "00" * 64
    other = {"index": 4, "leaf": "00" * 32, "signature": "0x" + "00" * 64, "head": json.dumps(head)}
    (folder / "log.json").write_text(json.dumps({**facts, field: other[field]}))
    assert verify(folder / "bundle") == 3
    error = capsys.readouterr().err
    assert "log.json" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "something else"}'])
def test_another_file_of_that_name_beside_a_bundle_is_no_fault(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "log.json").write_text(text)
    assert verify(folder / "bundle") == 0
    assert "Log        not checked: log.json is not the proof of a log" in capsys.readouterr().out
    assert verify(folder / "bundle", "--log", LOG.address) == 3


def test_the_proof_of_another_round_proves_nothing_about_this_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.services.log.log_bench import round_document

    logged(folder, round_document("round-9"))
    assert verify(folder / "bundle") == 0
    assert "Log        not checked: log.json proves another document" in capsys.readouterr().out
    assert verify(folder / "bundle", "--log", LOG.address) == 3
