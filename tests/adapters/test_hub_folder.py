"""The model hub in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.adapters.hub_folder import FolderHub, folder_hash
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import EntryRefused, HubUnavailable, UsageError
from soundsright.core.ports import FetchLimits
from soundsright.core.submission import ModelRef, Submission


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "app").mkdir(parents=True)
    (source / "Dockerfile").write_text("FROM scratch\n")
    (source / "app" / "weights.onnx").write_bytes(b"w" * 5_000)
    return source


@pytest.fixture
def hub(tmp_path: Path) -> FolderHub:
    return FolderHub(tmp_path / "hub", tmp_path / "cache")


def submission(model: ModelRef) -> Submission:
    return Submission(1, "alice", PUBLISHED[0], model, 5)


def test_a_published_model_is_fetched_with_its_hashes(hub: FolderHub, folder: Path) -> None:
    ref = hub.publish("alice", "model", folder)
    model = hub.fetch(submission(ref), limits=FetchLimits())
    assert model.content_hash.startswith(ref.revision)
    assert len(model.checkpoint_hashes) == 1
    assert (model.path / "app" / "weights.onnx").read_bytes() == b"w" * 5_000


def test_the_same_content_has_the_same_revision_under_any_name(hub: FolderHub, folder: Path) -> None:
    assert hub.publish("alice", "a", folder).revision == hub.publish("bob", "b", folder).revision


def test_a_changed_byte_or_name_is_another_revision(hub: FolderHub, folder: Path) -> None:
    first = hub.publish("alice", "model", folder)
    (folder / "app" / "weights.onnx").write_bytes(b"w" * 4_999 + b"x")
    second = hub.publish("alice", "model", folder)
    (folder / "app" / "weights.onnx").rename(folder / "app" / "renamed.onnx")
    assert len({first, second, hub.publish("alice", "model", folder)}) == 3


def test_a_link_is_published_as_the_file_it_points_to(hub: FolderHub, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text("x = 1\n")
    (folder / "app" / "server.py").symlink_to(tmp_path / "shared.py")
    path = hub.fetch(submission(hub.publish("alice", "model", folder)), limits=FetchLimits()).path
    assert not (path / "app" / "server.py").is_symlink()
    assert (path / "app" / "server.py").read_text() == "x = 1\n"


def test_files_changed_behind_the_hub_are_refused(hub: FolderHub, folder: Path, tmp_path: Path) -> None:
    ref = hub.publish("alice", "model", folder)
    (tmp_path / "hub" / "alice" / "model" / ref.revision / "Dockerfile").write_text("FROM other\n")
    with pytest.raises(EntryRefused) as refused:
        hub.fetch(submission(ref), limits=FetchLimits())
    assert refused.value.code == "revision_mismatch"


@pytest.mark.parametrize(
    ("limits", "code"), [(FetchLimits(max_bytes=100), "too_large"), (FetchLimits(max_files=1), "too_many_files")]
)
def test_limits_hold_before_anything_is_copied(
    hub: FolderHub, folder: Path, tmp_path: Path, limits: FetchLimits, code: str
) -> None:
    ref = hub.publish("alice", "model", folder)
    with pytest.raises(EntryRefused) as refused:
        hub.fetch(submission(ref), limits=limits)
    assert refused.value.code == code
    assert not (tmp_path / "cache").exists()


def test_a_model_that_was_never_published_is_refused(hub: FolderHub) -> None:
    with pytest.raises(EntryRefused) as refused:
        hub.fetch(submission(ModelRef("alice", "none", "0" * 40)), limits=FetchLimits())
    assert refused.value.code == "not_found"


def test_what_an_interpreter_leaves_behind_is_no_part_of_a_model(hub: FolderHub, folder: Path) -> None:
    before = hub.publish("alice", "model", folder)
    (folder / "app" / "__pycache__").mkdir()
    (folder / "app" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert hub.publish("alice", "model", folder) == before


def test_an_empty_folder_cannot_be_published(hub: FolderHub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty"):
        hub.publish("alice", "model", tmp_path / "empty")


@pytest.mark.parametrize("to", ["/etc/passwd", "/etc", "/no/such/file"])
def test_a_link_put_into_the_hub_is_refused_and_not_followed(
    hub: FolderHub, folder: Path, tmp_path: Path, to: str
) -> None:
    ref = hub.publish("alice", "model", folder)
    (tmp_path / "hub" / "alice" / "model" / ref.revision / "leak").symlink_to(to)
    with pytest.raises(EntryRefused) as refused:
        hub.fetch(submission(ref), limits=FetchLimits())
    assert refused.value.code == "link"
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_was_changed_is_noticed(hub: FolderHub, folder: Path) -> None:
    ref = hub.publish("alice", "model", folder)
    path = hub.fetch(submission(ref), limits=FetchLimits()).path / "Dockerfile"
    path.chmod(0o644)
    path.write_text("FROM other")
    with pytest.raises(HubUnavailable, match="not what was fetched"):
        hub.fetch(submission(ref), limits=FetchLimits())


def test_a_folders_hash_is_that_of_its_publication(hub: FolderHub, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text("x = 1")
    (folder / "app" / "server.py").symlink_to(tmp_path / "shared.py")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert hub.publish("alice", "model", folder).revision == folder_hash(folder)[:40]
