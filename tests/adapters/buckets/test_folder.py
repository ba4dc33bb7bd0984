"""A bucket in a folder: what the disk has is read as it is, and nothing else passes for an object."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.core.errors import (
    BucketForbidden,
    BucketMissing,
    BucketTooLarge,
    BucketUnavailable,
    BucketUnsuitable,
    FaultClass,
    fault_class,
)

OPERATIONS: tuple[Callable[[FolderBucket], object], ...] = (
    lambda bucket: bucket.list("", 10),
    lambda bucket: bucket.get("a", 10),
    lambda bucket: bucket.head("a"),
    lambda bucket: bucket.put("a", b""),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return new_bucket_folder(tmp_path / "bucket")


def test_an_object_is_a_file_of_its_key(root: Path) -> None:
    FolderBucket(root).put("task-1/metadata.json", b"{}")
    assert (root / "task-1" / "metadata.json").read_bytes() == b"{}"
    (root / "task-1" / "more.json").write_bytes(b"[]")
    assert FolderBucket(root).get("task-1/more.json", 10) == b"[]"


def test_a_folder_that_is_empty_or_missing_is_no_empty_bucket(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "none", tmp_path / "file"):
        for operation in OPERATIONS:
            with pytest.raises(BucketUnavailable, match="not the folder of a bucket") as caught:
                operation(FolderBucket(place))
            assert fault_class(caught.value) is FaultClass.LOCAL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_new_folder_keeps_the_objects_of_an_old_one(root: Path) -> None:
    FolderBucket(root).put("a", b"x")
    assert FolderBucket(new_bucket_folder(root)).get("a", 1) == b"x"


@pytest.mark.parametrize("name", ["link", "folder/link"])
def test_links_are_refused(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    bucket = FolderBucket(root)
    bucket.put("folder/plain", b"x")
    (root / name).symlink_to(tmp_path / "outside" / "secret")
    for refused in (
        lambda: bucket.get(name, 100),
        lambda: bucket.head(name),
        lambda: bucket.put(name, b"x"),
        lambda: bucket.put(name, b"x", create=True),
        lambda: bucket.list("", 10),
    ):
        with pytest.raises(BucketUnavailable):
            refused()
    (root / name).unlink()
    (root / name).symlink_to(tmp_path / "outside")
    for refused in (
        lambda: bucket.get(f"{name}/secret", 100),
        lambda: bucket.head(f"{name}/secret"),
        lambda: bucket.put(f"{name}/new", b"x"),
        lambda: bucket.list("", 10),
        lambda: bucket.list(f"{name}/", 10),
    ):
        with pytest.raises(BucketUnavailable):
            refused()
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]
    assert (tmp_path / "outside" / "secret").read_text() == "secret"


@pytest.mark.parametrize("name", ["a b", "ä", "new\nline", "@other", "x" * 250])
def test_a_file_whose_name_is_no_key_makes_the_list_fail(root: Path, name: str) -> None:
    bucket = FolderBucket(root)
    bucket.put("good/a", b"x")
    (root / name).write_text("x")
    with pytest.raises(BucketUnavailable, match="is not an object"):
        bucket.list("", 10)
    assert [item.key for item in bucket.list("good/", 10)] == ["good/a"]


def test_what_is_no_plain_file_is_refused_and_never_waited_for(root: Path) -> None:
    os.mkfifo(root / "pipe")
    bucket = FolderBucket(root)
    with pytest.raises(BucketUnavailable, match="not a plain file"):
        bucket.get("pipe", 10)
    with pytest.raises(BucketUnavailable):
        bucket.put("pipe", b"x")
    with pytest.raises(BucketUnavailable, match="is not an object"):
        bucket.list("", 10)


def test_a_key_below_an_object_or_above_another_is_refused(root: Path) -> None:
    bucket = FolderBucket(root)
    bucket.put("a/b", b"x")
    for key in ("a/b/c", "a"):
        for create in (False, True):
            with pytest.raises(BucketUnavailable):
                bucket.put(key, b"y", create=create)
    assert bucket.get("a/b", 1) == b"x"
    with pytest.raises(BucketMissing):
        bucket.get("a/b/c", 1)


def test_a_put_that_fails_leaves_the_old_object_and_no_other_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = FolderBucket(root)
    bucket.put("a", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for create in (False, True):
        with pytest.raises(BucketUnavailable, match="No space left") as caught:
            bucket.put("a", b"new", create=create)
        assert fault_class(caught.value) is FaultClass.LOCAL
    monkeypatch.undo()
    assert bucket.get("a", 10) == b"old"
    assert list((root / "@staging").iterdir()) == []
    assert [item.key for item in bucket.list("", 10)] == ["a"]


def test_the_file_and_its_name_are_on_the_disk_when_a_put_returns(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, link = os.fsync, os.link

    def traced_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        events.append(f"sync {path.relative_to(root).parts[0] if path != root else 'root'}")
        fsync(descriptor)

    def traced_link(*names: str, **options: object) -> None:
        events.append("name")
        link(*names, **options)  # type: ignore[arg-type]

    FolderBucket(root).put("first", b"")
    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "link", traced_link)
    FolderBucket(root).put("new/a", b"x", create=True)
    assert events == ["sync root", "sync @staging", "name", "sync new"]


def test_the_files_of_puts_that_never_ended_are_removed_after_an_hour(root: Path) -> None:
    bucket = FolderBucket(root)
    bucket.put("a", b"x")
    for name, age_s in (("old", 4_000), ("young", 10)):
        (root / "@staging" / name).write_bytes(b"half")
        os.utime(root / "@staging" / name, (time.time() - age_s,) * 2)
    bucket.put("b", b"y")
    assert [path.name for path in (root / "@staging").iterdir()] == ["young"]
    assert [item.key for item in bucket.list("", 10)] == ["a", "b"]


def test_a_disk_without_hard_links_is_unsuitable_for_creating(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(BucketUnsuitable, match="no hard links"):
        FolderBucket(root).put("a", b"x", create=True)
    assert FolderBucket(root).list("", 10) == ()


def test_a_file_that_is_too_large_is_not_read(root: Path) -> None:
    with (root / "huge").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(BucketTooLarge, match="1099511627776 bytes, more than 10"):
        FolderBucket(root).get("huge", 10)


def test_a_file_that_may_not_be_read_is_forbidden(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FolderBucket(root).put("a", b"x")
    (root / "a").chmod(0)
    system_open = os.open

    def refused(path: str | Path, flags: int, *rest: int, **options: int) -> int:
        if path == "a":  # The system refuses it to anyone but root.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return system_open(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(BucketForbidden, match="Permission denied"):
        FolderBucket(root).get("a", 10)


def test_a_disk_that_refuses_is_forbidden(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "a")

    FolderBucket(root).put("a", b"x")
    monkeypatch.setattr(os, "mkdir", refused)
    with pytest.raises(BucketForbidden, match="Permission denied") as caught:
        FolderBucket(root).put("new/b", b"x")
    assert fault_class(caught.value) is FaultClass.LOCAL
    assert fault_class(BucketForbidden("x")) is FaultClass.PERMANENT


def test_only_an_objects_file_is_removed(tmp_path: Path) -> None:
    bucket = FolderBucket(new_bucket_folder(tmp_path / "b"))
    bucket.put("a/b", b"x")
    bucket.delete("a")
    bucket.delete("a/b/c")
    (tmp_path / "outside").write_bytes(b"x")
    (tmp_path / "b" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(BucketUnavailable, match="not a plain file"):
        bucket.delete("link")
    assert (tmp_path / "outside").exists()
    (tmp_path / "b" / "link").unlink()
    assert [item.key for item in bucket.list("", 5)] == ["a/b"]
    bucket.delete("a/b")
    assert bucket.list("", 5) == ()
