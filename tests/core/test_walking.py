"""The files of a folder: what is left out, which links are followed, and that every walk ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundsright.core import walking
from soundsright.core.errors import UsageError
from soundsright.core.walking import FolderFiles, folder_files

WAV = frozenset({".wav"})


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def nested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """1200 folders, each in the one before. They are made one by one, because their path is too long for a call."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        Path("deep").mkdir()
        os.chdir("deep")
    yield
    for _ in range(1200):
        os.chdir("..")
        Path("deep").rmdir()


def names(found: FolderFiles) -> list[str]:
    return [path.relative_to(found.folder).as_posix() for path in found.files]


def test_files_are_sorted_by_their_path_and_other_endings_do_not_count(tmp_path: Path) -> None:
    put(tmp_path / "b.wav", tmp_path / "a/z.WAV", tmp_path / "a.wav", tmp_path / "notes.txt")
    assert names(folder_files(tmp_path, WAV)) == ["a.wav", "a/z.WAV", "b.wav"]


def test_hidden_files_and_the_folders_of_systems_are_left_out_with_a_note(tmp_path: Path) -> None:
    hidden = ["._u.wav", ".Trash-1000/files/t.wav", ".ipynb_checkpoints/u.wav", "__MACOSX/u.wav", "s/._u.wav"]
    put(tmp_path / "u.wav", *(tmp_path / name for name in hidden), tmp_path / ".DS_Store")
    found = folder_files(tmp_path, WAV)
    assert names(found) == ["u.wav"]
    assert found.left_out == dict.fromkeys(
        ["._u.wav", ".Trash-1000", ".ipynb_checkpoints", "__MACOSX", "s/._u.wav"], "is hidden"
    )
    assert found.notes == (f"5 entries of {tmp_path} were left out, such as .Trash-1000: is hidden.",)


def test_a_hidden_folder_that_is_given_itself_is_listed(tmp_path: Path) -> None:
    put(tmp_path / ".cache/set/u.wav")
    assert names(folder_files(tmp_path / ".cache", WAV)) == ["set/u.wav"]


def test_links_to_files_and_to_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path / "store/s1/u.wav", tmp_path / "blob")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/s1").symlink_to(tmp_path / "store/s1")
    (tmp_path / "set/v.wav").symlink_to("../blob")
    found = folder_files(tmp_path / "set", WAV)
    assert names(found) == ["s1/u.wav", "v.wav"]
    assert found.linked
    assert not folder_files(tmp_path / "store", WAV).linked


def test_a_loop_of_links_is_left_out_and_the_walk_ends(tmp_path: Path) -> None:
    put(tmp_path / "a/u.wav")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to("self")
    found = folder_files(tmp_path, WAV)
    assert names(found) == ["a/u.wav"]
    assert found.left_out == {"a/up": walking.LOOP, "a/self": walking.NOWHERE}


def test_a_link_to_a_folder_above_the_given_one_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "data/u.wav", tmp_path / "other/v.wav")
    (tmp_path / "data/above").symlink_to(tmp_path)
    (tmp_path / "data/everything").symlink_to("/")
    found = folder_files(tmp_path / "data", WAV)
    assert names(found) == ["u.wav"]
    assert found.left_out == {"above": walking.LOOP, "everything": walking.LOOP}


def test_links_that_branch_end_in_a_sentence(tmp_path: Path) -> None:
    """Each folder has two links to the next one, so the last folder has a path for each choice on the way."""
    for number in range(16):
        (tmp_path / f"{number}").mkdir()
    for number in range(15):
        for side in ("left", "right"):
            (tmp_path / f"{number}" / side).symlink_to(tmp_path / f"{number + 1}")
    with pytest.raises(UsageError, match="more than 10000 links"):
        folder_files(tmp_path / "0", WAV)


def test_two_folders_that_link_to_each_other_end_too(tmp_path: Path) -> None:
    put(tmp_path / "a/u.wav", tmp_path / "b/v.wav")
    (tmp_path / "a/b").symlink_to(tmp_path / "b")
    (tmp_path / "b/a").symlink_to(tmp_path / "a")
    found = folder_files(tmp_path, WAV)
    assert names(found) == ["a/b/v.wav", "a/u.wav", "b/a/u.wav", "b/v.wav"]
    assert found.left_out == {"a/b/a": walking.LOOP, "b/a/b": walking.LOOP}


def test_a_link_to_nothing_counts_as_a_file(tmp_path: Path) -> None:
    put(tmp_path / "u.wav")
    (tmp_path / "v.wav").symlink_to("gone.wav")
    (tmp_path / "w.wav").symlink_to("w.wav")
    assert names(folder_files(tmp_path, WAV)) == ["u.wav", "v.wav", "w.wav"]


def test_a_link_to_a_missing_folder_is_told(tmp_path: Path) -> None:
    put(tmp_path / "u.wav")
    (tmp_path / "speaker").symlink_to("/nowhere/speaker")
    (tmp_path / "LibriSpeech-1.0").symlink_to("/nowhere/LibriSpeech-1.0")
    (tmp_path / "below").symlink_to("u.wav/below")
    (tmp_path / "licence.txt").symlink_to("/nowhere/licence.txt")
    expected = dict.fromkeys(["LibriSpeech-1.0", "below", "licence.txt", "speaker"], walking.NOWHERE)
    assert folder_files(tmp_path, WAV).left_out == expected


def test_a_link_that_may_lead_to_a_folder_but_cannot_be_followed_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "u.wav")
    # The system refuses to follow it, which does not tell whether there is something.
    (tmp_path / "speaker").symlink_to("x" * 300)
    with pytest.raises(UsageError, match=r"speaker cannot be followed \(File name too long\)"):
        folder_files(tmp_path, WAV)
    (tmp_path / "speaker").rename(tmp_path / ".speaker")
    found = folder_files(tmp_path, WAV)
    assert (names(found), found.left_out) == (["u.wav"], {".speaker": walking.HIDDEN})


def test_a_name_that_is_not_utf8_is_told_in_printable_form(tmp_path: Path) -> None:
    put(tmp_path / "u.wav", tmp_path / os.fsdecode(b"caf\xe9.wav"), tmp_path / os.fsdecode(b"d\xff/v.wav"))
    found = folder_files(tmp_path, WAV)
    assert names(found) == ["u.wav"]
    assert found.not_utf8 == (r"caf\xe9.wav", r"d\xff/v.wav")
    with pytest.raises(UsageError, match=r"d\\xff is not UTF-8"):
        folder_files(tmp_path / os.fsdecode(b"d\xff"), WAV)


@pytest.mark.usefixtures("nested")
def test_nested_folders_end_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nested more than 100 deep") as told:
        folder_files(tmp_path, WAV)
    assert len(str(told.value)) < 400


def test_too_many_files_end_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(*(tmp_path / f"{number}.wav" for number in range(3)))
    # Links make many names of few files: each of these folders has the next one twice.
    for number in range(8):
        folder = tmp_path / f"f{number}"
        folder.mkdir()
        for side in ("a", "b"):
            (folder / side).symlink_to(tmp_path / f"f{number + 1}")
    (tmp_path / "f8").mkdir()
    monkeypatch.setattr(walking, "MAX_ENTRIES", 300)
    with pytest.raises(UsageError, match="more than 300 files and folders"):
        folder_files(tmp_path / "f0", WAV)


def test_a_folder_that_may_not_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "u.wav", tmp_path / "locked/v.wav")
    listed = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    # Root may list every folder, so a mode would not do.
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UsageError, match=r"locked/? cannot be listed \(Permission denied\)"):
        folder_files(tmp_path, WAV)
