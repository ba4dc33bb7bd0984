"""`soundsright seal`, and a miner that enters a sealed or a private model."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.hubs import FolderHub, folder_hash, open_archive
from soundsright.adapters.peers import Hotkey
from soundsright.cli.commands.miner import _entry
from soundsright.cli.commands.seal import command
from soundsright.cli.main import run
from soundsright.config import MinerSettings
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ModelRef
from soundsright.testing.hub import HubRepository, served_hub

ALICE = Hotkey.of_seed("alice")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "app.py").write_text("print()\n")
    return folder


def sealed(model: Path, out: Path) -> int:
    return run(command, [str(model), str(out), "--state-folder", str(model.parent / "state")])


def settings(tmp_path: Path, **changes: Any) -> MinerSettings:
    return MinerSettings(state_folder=tmp_path / "state", **changes)


def test_a_sealed_model_is_entered_with_its_plain_content_and_its_key(tmp_path: Path, model: Path) -> None:
    assert sealed(model, tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.sealed"]
    keys = tmp_path / "state" / "archives.json"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    published = FolderHub(tmp_path / "hub", tmp_path / "cache").publish("alice", "gate", tmp_path / "out")
    entry, is_public = _entry(settings(tmp_path, soundsright_hub=tmp_path / "hub"), ALICE, PUBLISHED[0], published)
    assert is_public
    assert entry.content_hash == folder_hash(model)
    assert entry.archive_key not in repr(entry)
    target = tmp_path / "opened"
    target.mkdir()
    archive = tmp_path / "out" / "model.sealed"
    open_archive(archive, entry.archive_key, target, repository="alice/gate", limits=FetchLimits())
    assert (target / "app.py").read_text() == "print()\n"


def test_a_miner_without_the_key_of_its_archive_is_told_where_to_find_it(tmp_path: Path, model: Path) -> None:
    assert sealed(model, tmp_path / "out") == 0
    published = FolderHub(tmp_path / "hub", tmp_path / "cache").publish("alice", "gate", tmp_path / "out")
    (tmp_path / "state" / "archives.json").unlink()
    with pytest.raises(UsageError, match=r"archives\.json has no key"):
        _entry(settings(tmp_path, soundsright_hub=tmp_path / "hub"), ALICE, PUBLISHED[0], published)


@pytest.mark.parametrize("wrong", ["missing", "no Dockerfile", "full", "inside"])
def test_a_folder_that_cannot_be_sealed_leaves_nothing_behind(
    tmp_path: Path, model: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    if wrong == "missing":
        model = tmp_path / "nothing"
    elif wrong == "no Dockerfile":
        (model / "Dockerfile").unlink()
    elif wrong == "full":
        out.mkdir()
        (out / "mine").write_text("")
    else:
        out = model / "out"
    assert sealed(model, out) == 2
    assert len(capsys.readouterr().err.splitlines()) <= 2
    assert not list(out.glob("*sealed*"))
    assert not (tmp_path / "state").exists()


def test_a_private_repository_is_entered_only_if_it_is_published_at_the_close(tmp_path: Path, model: Path) -> None:
    with served_hub() as hub:
        files = {path.name: path.read_bytes() for path in model.iterdir()}
        hub.repositories["alice/gate"] = HubRepository({"a" * 40: files}, private=True)
        ref = ModelRef("alice", "gate", "a" * 40)
        changes = {"hf_endpoint": hub.url, "hf_token": hub.token}
        with pytest.raises(UsageError, match="PUBLISH_AT_CLOSE"):
            _entry(settings(tmp_path, **changes), ALICE, PUBLISHED[0], ref)
        with pytest.raises(UsageError, match="HF_TOKEN"):
            _entry(settings(tmp_path, hf_endpoint=hub.url, publish_at_close=True), ALICE, PUBLISHED[0], ref)
        entry, is_public = _entry(settings(tmp_path, publish_at_close=True, **changes), ALICE, PUBLISHED[0], ref)
    assert not is_public
    assert entry.content_hash == folder_hash(model)
    assert entry.salt in json.loads((tmp_path / "state" / "salts.json").read_text())["salts"].values()
