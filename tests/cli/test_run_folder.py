"""The folder of a run: what `--force` removes from it, and what it never removes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundsright.cli.shared.run_folder import claim_folder
from soundsright.core.errors import UsageError

IDENTITY = {"seed": 1}


def finished_run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"request": IDENTITY, "round": {}, "reveals": {}}))
    for name in ("results.json", "bundle.zip", "notes.txt"):
        (folder / name).write_text("{}")
    return folder


def test_a_replaced_run_takes_its_bundle_with_it_but_no_other_file(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run")
    claim_folder(folder, IDENTITY, 0.0, force=True)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_finished_run_stays_without_force(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run")
    with pytest.raises(UsageError, match=r"has a finished run.*--force"):
        claim_folder(folder, IDENTITY, 0.0, force=False)
    assert len(list(folder.iterdir())) == 4


def test_a_bundle_alone_is_not_a_run_and_stays(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_text("somebody else's")
    with pytest.raises(UsageError, match="files that are not a run's"):
        claim_folder(tmp_path, IDENTITY, 0.0, force=True)
    assert (tmp_path / "bundle.zip").is_file()
