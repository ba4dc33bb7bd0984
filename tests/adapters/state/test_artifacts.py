"""Files named by their content are complete or absent, and stay as long as they are needed."""

import hashlib
import os
from pathlib import Path

import pytest

from soundsright.adapters.state.artifacts import Artifacts
from soundsright.core.errors import StateUnavailable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def artifacts(folder: Path) -> Artifacts:
    return Artifacts(folder)


def test_content_comes_back_under_its_digest(artifacts: Artifacts, tmp_path: Path) -> None:
    digest = artifacts.put_bytes(b"manifest")
    assert digest == hashlib.sha256(b"manifest").hexdigest()
    assert artifacts.read(digest) == b"manifest"
    (tmp_path / "file").write_bytes(b"manifest")
    assert artifacts.put(tmp_path / "file") == digest


def test_content_that_is_not_stored_is_none(artifacts: Artifacts) -> None:
    assert artifacts.read("0" * 64) is None
    assert artifacts.path("../../etc/passwd") is None


def test_changed_content_is_not_returned(artifacts: Artifacts) -> None:
    digest = artifacts.put_bytes(b"manifest")
    path = artifacts.path(digest)
    assert path is not None
    path.write_bytes(b"forged")
    assert artifacts.read(digest) is None


def test_a_full_disk_leaves_nothing_half_written(
    artifacts: Artifacts, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateUnavailable, match="No space left"):
        artifacts.put_bytes(b"manifest")
    assert list(folder.iterdir()) == []


def test_old_content_is_collected_unless_it_is_kept(artifacts: Artifacts, folder: Path) -> None:
    old, kept, young = (artifacts.put_bytes(name) for name in (b"old", b"kept", b"young"))
    left = folder / "left-by-a-killed-process.part"
    foreign = folder / old[:2] / "notes.txt"
    for path in (left, foreign):
        path.write_bytes(b"")
    for aged in (artifacts.path(old), artifacts.path(kept), left, foreign):
        assert aged is not None
        os.utime(aged, (1_000, 1_000))
    assert artifacts.collect({kept}, older_than_s=2_000) == (old,)
    assert artifacts.read(old) is None
    assert artifacts.read(kept) == b"kept"
    assert artifacts.read(young) == b"young"
    assert not left.exists()
    assert foreign.exists()
