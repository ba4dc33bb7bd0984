"""The model hub in a folder: what it publishes, what it refuses, and how its cache recovers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from soundsright.adapters.hubs.folder import FolderHub, folder_hash
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import EntryRefused, InfrastructureFault, UnpublishableFolder, UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission

MODELS = Path(__file__).resolve().parents[3] / "models"


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


def test_a_link_is_published_as_the_file_that_it_points_to(hub: FolderHub, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text("x = 1\n")
    (folder / "app" / "server.py").symlink_to(tmp_path / "shared.py")
    path = hub.fetch(submission(hub.publish("alice", "model", folder)), limits=FetchLimits()).path
    assert not (path / "app" / "server.py").is_symlink()
    assert (path / "app" / "server.py").read_text() == "x = 1\n"


def test_a_model_whose_files_were_changed_is_refused(hub: FolderHub, folder: Path, tmp_path: Path) -> None:
    ref = hub.publish("alice", "model", folder)
    (tmp_path / "hub" / "alice" / "model" / ref.revision / "Dockerfile").write_text("FROM other\n")
    with pytest.raises(EntryRefused) as refused:
        hub.fetch(submission(ref), limits=FetchLimits())
    assert refused.value.code == "revision_mismatch"


@pytest.mark.parametrize(
    ("limits", "code"), [(FetchLimits(max_bytes=100), "too_large"), (FetchLimits(max_files=1), "too_many_files")]
)
def test_limits_are_checked_before_anything_is_copied(
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


def test_leftovers_of_an_interpreter_are_not_published(hub: FolderHub, folder: Path) -> None:
    before = hub.publish("alice", "model", folder)
    (folder / "app" / "__pycache__").mkdir()
    (folder / "app" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert hub.publish("alice", "model", folder) == before


def test_an_empty_folder_cannot_be_published(hub: FolderHub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty has no model"):
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


def test_a_fetched_model_comes_from_the_cache_without_the_hub(hub: FolderHub, folder: Path) -> None:
    ref = hub.publish("alice", "model", folder)
    fetched = hub.fetch(submission(ref), limits=FetchLimits())
    shutil.rmtree(hub._root)
    assert hub.cached(submission(ref), fetched.content_hash) == fetched
    for other in ("0" * 64, "../" + fetched.content_hash):
        assert hub.cached(submission(ref), other) is None


def test_a_damaged_model_in_the_cache_is_fetched_again(hub: FolderHub, folder: Path) -> None:
    ref = hub.publish("alice", "model", folder)
    fetched = hub.fetch(submission(ref), limits=FetchLimits())
    path = fetched.path / "Dockerfile"
    whole = path.read_bytes()
    for damage in (whole[:3], b"FROM other"):
        path.chmod(0o644)
        path.write_bytes(damage)
        assert hub.cached(submission(ref), fetched.content_hash) is None
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(damage)
        assert hub.fetch(submission(ref), limits=FetchLimits()) == fetched
        assert path.read_bytes() == whole


def test_forget_removes_only_models_that_are_not_kept(hub: FolderHub, folder: Path, tmp_path: Path) -> None:
    first = hub.fetch(submission(hub.publish("alice", "model", folder)), limits=FetchLimits())
    (folder / "more").write_text("more")
    second = hub.fetch(submission(hub.publish("alice", "model", folder)), limits=FetchLimits())
    (hub._cache / ".fetch-cut-off").mkdir()
    (hub._cache / "mine").mkdir()
    (hub._cache / ("f" * 64)).symlink_to(tmp_path)
    assert hub.forget({second.content_hash}) == 1
    assert {path.name for path in hub._cache.iterdir()} == {second.content_hash, "mine", "f" * 64}
    assert hub.cached(first.submission, first.content_hash) is None


def test_the_hash_of_a_folder_begins_with_its_revision(hub: FolderHub, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text("x = 1")
    (folder / "app" / "server.py").symlink_to(tmp_path / "shared.py")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert hub.publish("alice", "model", folder).revision == folder_hash(folder)[:40]


def a_dangling_link(folder: Path) -> None:
    (folder / "weights.onnx").symlink_to("nowhere.onnx")


def a_link_that_closes_a_circle(folder: Path) -> None:
    (folder / "app" / "again").symlink_to(folder)


def a_name_too_long_for_some_disks(folder: Path) -> None:
    (folder / ("φ" * 121)).write_text("x")


def a_name_in_latin_1(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("x")


def a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def an_endless_device(folder: Path) -> None:
    (folder / "zeros.bin").symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (a_dangling_link, "weights.onnx is a link that points to nothing"),
        (a_link_that_closes_a_circle, "again is a link to a folder that contains it"),
        (a_name_in_latin_1, "has a name that is not UTF-8"),
        (a_name_too_long_for_some_disks, "or longer than 240 bytes"),
        (a_pipe, "pipe is neither a file nor a folder"),
        (an_endless_device, "zeros.bin is neither a file nor a folder"),
    ],
)
def test_a_file_that_cannot_be_published_is_named_and_nothing_is_written(
    hub: FolderHub, folder: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder)
    for publish in (lambda: hub.publish("alice", "model", folder), lambda: folder_hash(folder)):
        with pytest.raises(UsageError, match=message):
            publish()
    assert not (tmp_path / "hub").exists()


def test_a_namespace_cannot_point_outside_the_hub(hub: FolderHub, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EntryRefused):
        hub.publish("../elsewhere", "model", folder)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("limits", "evidence"),
    [
        (FetchLimits(allowed_files=(".py",)), {"file": "app/weights.onnx", "allowed": ".py"}),
        (FetchLimits(refused_files=(".ONNX",)), {"file": "app/weights.onnx", "refused": ".ONNX"}),
        (FetchLimits(refused_files=("dockerfile",)), {"file": "Dockerfile", "refused": "dockerfile"}),
    ],
)
def test_a_file_of_a_refused_type_is_named_before_anything_is_read(
    hub: FolderHub, folder: Path, tmp_path: Path, limits: FetchLimits, evidence: dict[str, str]
) -> None:
    ref = hub.publish("alice", "model", folder)
    with pytest.raises(EntryRefused) as refused:
        hub.fetch(submission(ref), limits=limits)
    assert (refused.value.code, refused.value.evidence) == ("file_type", evidence)
    assert not (tmp_path / "cache").exists()


def test_no_file_of_the_shipped_models_is_refused_by_default() -> None:
    for path in MODELS.rglob("*"):
        FetchLimits().check_file("a/model", path.relative_to(MODELS).as_posix())


@pytest.mark.parametrize("bad_name", [a_name_in_latin_1, a_name_too_long_for_some_disks])
def test_a_name_put_into_the_hub_that_is_not_utf_8_or_too_long_is_refused(
    hub: FolderHub, folder: Path, tmp_path: Path, bad_name: Callable[[Path], None]
) -> None:
    ref = hub.publish("alice", "model", folder)
    bad_name(tmp_path / "hub" / "alice" / "model" / ref.revision)
    with pytest.raises(EntryRefused) as refused:
        hub.fetch(submission(ref), limits=FetchLimits())
    assert refused.value.code == "bad_path"


def test_a_full_disk_is_an_error_before_a_byte_is_copied(
    hub: FolderHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = hub.publish("alice", "model", folder)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=3))
    with pytest.raises(InfrastructureFault, match=r"has 0\.0 GB left, and alice/model.* needs .*KEPT_ROUNDS"):
        hub.fetch(submission(ref), limits=FetchLimits())
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_git_lfs_pointer_is_not_published(hub: FolderHub, folder: Path) -> None:
    (folder / "app" / "weights.onnx").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345678\n"
    )
    for publish in (lambda: hub.publish("alice", "model", folder), lambda: folder_hash(folder)):
        with pytest.raises(
            UnpublishableFolder, match=r"weights.onnx is a Git LFS pointer.* `git lfs pull`"
        ) as caught:
            publish()
        assert caught.value.refusal.code == "lfs_pointer"
    assert not list((hub._root).rglob("weights.onnx"))
