"""A model hub in a folder. A model's files are in `NAMESPACE/NAME/REVISION/`.

The revision is the first 40 hex digits of the content's SHA-256, so every change of a file is noticed. Sizes are in
bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

from soundsright.adapters.hubs.model_cache import (
    MAX_NAME_BYTES,
    STAGING_PREFIX,
    check_space,
    disk_errors_at,
    forget_models,
    is_storable,
    model_in_cache,
    move_into_place,
)
from soundsright.core.content import content_hash, files_below, sha256_of_file
from soundsright.core.errors import EntryRefused, HubUnavailable, UnpublishableFolder
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.lfs import LFS_REMEDY, is_lfs_pointer
from soundsright.core.sources import ModelRef, hub_model
from soundsright.core.submission import FetchedModel, Submission

_BAD_NAME = f"a name that is not UTF-8, or longer than {MAX_NAME_BYTES} bytes"
_LINK_REMEDY = "Correct or remove the link. `cp -rL` copies the files that links point to."
# Leftovers of editors and interpreters are not part of a model.
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".git", ".DS_Store", ".pytest_cache")


class FolderHub:
    """The ports `ModelHub` and `Publisher` over the folder `root`.

    `fetch` copies each content once to `cache`, read-only, with limits and sizes in bytes.
    """

    def __init__(self, root: Path, cache: Path) -> None:
        self._root = root
        self._cache = cache.absolute()  # A sandbox has another working directory.

    def publish(self, namespace: str, name: str, folder: Path) -> ModelRef:
        """Copy a model's folder to the hub. Links in it are replaced by the files that they point to.

        Raises:
            EntryRefused: the namespace or the name is not valid.
            UnpublishableFolder: the folder is missing or empty, or contains something that cannot be published.
            InfrastructureFault: the hub's folder cannot be written.
        """
        ref = ModelRef(namespace, name, "0" * 40)  # Checks the names before they become a path.
        files = dict(published_files(folder)) if folder.is_dir() else {}
        if not files:
            raise UnpublishableFolder(
                EntryRefused("no_dockerfile", f"{folder} has no model in it"),
                "Give a folder with a Dockerfile. `soundsright init-model` writes an example.",
            )
        parent = self._root / namespace / name
        with disk_errors_at(parent):
            parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".publish-", dir=parent))
            try:
                for path, source in files.items():
                    target = staging / "tree" / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with _open(source) as reading, target.open("wb") as writing:
                        shutil.copyfileobj(reading, writing)
                revision = content_hash(_sha256_by_path(staging / "tree"))[:40]
                move_into_place(staging / "tree", parent / revision)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return replace(ref, revision=revision)

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The model at its revision, copied to the cache. Its content must hash to the revision.

        Raises:
            EntryRefused: `not_found`, `link`, `bad_path`, `file_type`, `too_many_files`, `too_large` or
                `revision_mismatch`.
            HubUnavailable: the files changed while they were copied.
            InfrastructureFault: the cache cannot be read or written, or its disk is too full.
        """
        model = hub_model(submission.source)
        source = self._root / model.namespace / model.name / model.revision
        if not source.is_dir():
            raise EntryRefused("not_found", f"The hub has no {model}", {"model": str(model)})
        _check_names(model, source, limits)
        sizes = {p.relative_to(source).as_posix(): p.stat().st_size for p in files_below(source)}
        _check_sizes(model, sizes, limits)
        hashes = _sha256_by_path(source)
        digest = content_hash(hashes)
        if not digest.startswith(model.revision):
            raise EntryRefused(
                "revision_mismatch",
                f"The files of {model.repository} do not hash to their revision",
                {"revision": model.revision, "content": digest[:40]},
            )
        fetched = self.cached(submission, digest)
        if fetched is None:
            with disk_errors_at(self._cache):
                self._cache.mkdir(parents=True, exist_ok=True)
                check_space(self._cache, model, sum(sizes.values()))
            self._copy(source, self._cache / digest, list(hashes))
            fetched = self.cached(submission, digest)
        if fetched is None:
            raise HubUnavailable(f"{model} changed while it was copied", "Try again.")
        return fetched

    def content_of(self, model: ModelRef) -> str:
        """The content hash of a published model.

        Raises:
            EntryRefused: `not_found`.
            InfrastructureFault: its files cannot be read.
        """
        source = self._root / model.namespace / model.name / model.revision
        if not source.is_dir():
            raise EntryRefused("not_found", f"The hub has no {model}", {"model": str(model)})
        with disk_errors_at(source):
            return content_hash(_sha256_by_path(source))

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """The model from the cache, or None if the cache does not have all of it."""
        return model_in_cache(self._cache, submission, content_hash)

    def forget(self, keep: Collection[str]) -> int:
        """Remove all fetched models except those with these content hashes. Returns how many were removed."""
        return forget_models(self._cache, keep)

    def _copy(self, source: Path, target: Path, names: Sequence[str]) -> None:
        with disk_errors_at(target):
            staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self._cache))
            try:
                for name in names:
                    path = staging / "tree" / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / name, path, follow_symlinks=False)
                    path.chmod(0o444)
                staging.chmod(0o755)
                move_into_place(staging / "tree", target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)


def folder_hash(folder: Path) -> str:
    """The content hash that a model's folder would have on the hub. Links count as the files they point to.

    Raises:
        UnpublishableFolder: the folder contains something that cannot be published, or cannot be read.
    """
    hashes = {}
    for path, source in published_files(folder):
        with _open(source) as stream:
            hashes[path] = hashlib.file_digest(stream, "sha256").hexdigest()
    return content_hash(hashes)


@dataclass(frozen=True)
class _FolderToList:
    """A folder that `published_files` still has to list.

    `prefix` is its path in the published model, with a final slash. `above` has the device and inode of each folder
    above it, to notice a link that leads back to one of them.
    """

    path: Path
    prefix: str = ""
    above: tuple[tuple[int, int], ...] = ()


def published_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder as they would be published: the path of each in the model, and the file to read.

    Raises:
        UnpublishableFolder: a link points to nothing or to a folder above it, a name is not storable, a file is a
            Git LFS pointer, or a path is neither file nor folder, or cannot be read.
    """
    to_list = [_FolderToList(folder)]
    while to_list:
        current = to_list.pop()
        try:
            names = sorted(path.name for path in current.path.iterdir())
            status = current.path.stat()
        except OSError as error:
            raise _unreadable(current.path, error) from error
        above = (*current.above, (status.st_dev, status.st_ino))
        for name in set(names) - set(_IGNORED(str(current.path), names)):
            path = current.path / name
            status = _checked_status(path)
            if not stat.S_ISDIR(status.st_mode):
                _check_is_no_pointer(path)
                yield f"{current.prefix}{name}", path
            elif (status.st_dev, status.st_ino) in above:
                raise UnpublishableFolder(
                    EntryRefused("link", f"{_shown(path)} is a link to a folder that contains it"), _LINK_REMEDY
                )
            else:
                to_list.append(_FolderToList(path, f"{current.prefix}{name}/", above))


def _checked_status(path: Path) -> os.stat_result:
    """The status of a file or folder that can be published. For a link, it is the status of its target.

    Raises:
        UnpublishableFolder: it cannot be published.
    """
    if not is_storable(path.name):
        raise UnpublishableFolder(EntryRefused("bad_path", f"{_shown(path)} has {_BAD_NAME}"))
    try:
        status = path.stat()
    except OSError as error:
        if path.is_symlink():
            refusal = EntryRefused("link", f"{_shown(path)} is a link that points to nothing")
            raise UnpublishableFolder(refusal, _LINK_REMEDY) from error
        raise _unreadable(path, error) from error
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise UnpublishableFolder(EntryRefused("file_type", f"{_shown(path)} is neither a file nor a folder"))
    return status


def _check_is_no_pointer(path: Path) -> None:
    try:
        is_pointer = is_lfs_pointer(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if is_pointer:
        raise UnpublishableFolder(
            EntryRefused("lfs_pointer", f"{_shown(path)} is a Git LFS pointer, not the file itself"), LFS_REMEDY
        )


def _shown(path: Path) -> str:
    """The path as text for a message. A byte that is not UTF-8 becomes a replacement character."""
    return str(path).encode(errors="surrogateescape").decode(errors="replace")


def _unreadable(path: Path, error: OSError) -> UnpublishableFolder:
    return UnpublishableFolder(
        EntryRefused("forbidden", f"{_shown(path)} cannot be read ({error.strerror})"),
        "Make it readable, or remove it.",
    )


def _open(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _sha256_by_path(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file below a folder, by its path relative to the folder."""
    return {p.relative_to(folder).as_posix(): sha256_of_file(p) for p in files_below(folder)}


def _check_names(model: ModelRef, source: Path, limits: FetchLimits) -> None:
    """Refuse a model by the names of its files alone, before any byte is read."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        evidence = {"file": _shown(Path(name))[:200]}
        if not is_storable(name):
            raise EntryRefused("bad_path", f"{model.repository} contains a file with {_BAD_NAME}", evidence)
        if path.is_symlink():
            raise EntryRefused(
                "link", f"{model.repository} contains a symbolic link; publish the file itself", evidence
            )
        if path.is_file():
            limits.check_file(model.repository, name)


def _check_sizes(model: ModelRef, sizes: dict[str, int], limits: FetchLimits) -> None:
    if len(sizes) > limits.max_files:
        raise EntryRefused(
            "too_many_files",
            f"{model.repository} has {len(sizes)} files; at most {limits.max_files} are allowed",
            {"files": str(len(sizes)), "limit": str(limits.max_files)},
        )
    total = sum(sizes.values())
    if total > limits.max_bytes:
        raise EntryRefused(
            "too_large",
            f"{model.repository} has {total} bytes; at most {limits.max_bytes} are allowed",
            {"bytes": str(total), "limit": str(limits.max_bytes)},
        )
