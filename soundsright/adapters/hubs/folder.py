"""A model hub in a folder: `namespace/name/revision/files`, where the revision is the content's own hash.

A revision is the first 40 hex digits of the content's SHA-256, so it cannot move and a changed byte is seen.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

from soundsright.adapters.hubs.model_cache import (
    MAX_NAME_BYTES,
    STAGING_PREFIX,
    check_space,
    disk_fault,
    forget_models,
    is_storable,
    model_in_cache,
)
from soundsright.core.content import content_hash, files_below, sha256_of_file
from soundsright.core.errors import EntryRefused, HubUnavailable, UnpublishableFolder
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ModelRef, hub_model
from soundsright.core.submission import FetchedModel, Submission

_BAD_NAME = f"a name that is not UTF-8, or longer than {MAX_NAME_BYTES} bytes"
_COPIED = "Mend or remove it; cp -rL copies the files that links lead to."
# What an editor or interpreter leaves behind is no part of a model.
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".git", ".DS_Store", ".pytest_cache")


class FolderHub:
    """The `ModelHub` port over a folder. Fetched models lie below `cache`, read-only, one copy per content."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._root = root
        self._cache = cache.absolute()  # A sandbox runs elsewhere.

    def publish(self, namespace: str, name: str, folder: Path) -> ModelRef:
        """Copy a model's folder into the hub; links inside it are replaced by what they point to.

        Raises:
            UnpublishableFolder: it is missing or empty, or holds what cannot be published.
            InfrastructureFault: the hub's folder cannot be written.
        """
        ref = ModelRef(namespace, name, "0" * 40)  # Checks the names before they become a path.
        files = dict(_published_files(folder)) if folder.is_dir() else {}
        if not files:
            raise UnpublishableFolder(
                EntryRefused("no_dockerfile", f"No model in {folder}"),
                "Give a folder with a Dockerfile, as in models/template.",
            )
        parent = self._root / namespace / name
        with _told_writing(parent):
            parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".publish-", dir=parent))
            try:
                for path, source in files.items():
                    target = staging / "tree" / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with _opened(source) as reading, target.open("wb") as writing:
                        shutil.copyfileobj(reading, writing)
                revision = content_hash(_hashes(staging / "tree"))[:40]
                _take_place(staging / "tree", parent / revision)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return replace(ref, revision=revision)

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The repository at that revision, checked against it, copied into the cache.

        Raises:
            EntryRefused: `not_found`, `link`, `bad_path`, `file_type`, `too_many_files`, `too_large` or
                `revision_mismatch`.
            HubUnavailable: it changed while it was copied.
            InfrastructureFault: the cache cannot be read or written, or has no room for it.
        """
        model = hub_model(submission.source)
        source = self._root / model.namespace / model.name / model.revision
        if not source.is_dir():
            raise EntryRefused("not_found", f"The hub has no {model}", {"model": str(model)})
        _check_names(model, source, limits)
        sizes = {p.relative_to(source).as_posix(): p.stat().st_size for p in files_below(source)}
        _check_sizes(model, sizes, limits)
        hashes = _hashes(source)
        digest = content_hash(hashes)
        if not digest.startswith(model.revision):
            raise EntryRefused(
                "revision_mismatch",
                f"The files of {model.repository} do not hash to their revision",
                {"revision": model.revision, "content": digest[:40]},
            )
        fetched = self.cached(submission, digest)
        if fetched is None:
            with _told_writing(self._cache):
                self._cache.mkdir(parents=True, exist_ok=True)
                check_space(self._cache, model, sum(sizes.values()))
            self._copy(source, self._cache / digest, list(hashes))
            fetched = self.cached(submission, digest)
        if fetched is None:
            raise HubUnavailable(f"{model} changed while it was copied", "Try again.")
        return fetched

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """What was fetched before; None where it is not in the cache whole."""
        return model_in_cache(self._cache, submission, content_hash)

    def forget(self, keep: Collection[str]) -> int:
        """Remove all fetched models but those content hashes; says how many."""
        return forget_models(self._cache, keep)

    def _copy(self, source: Path, target: Path, names: Sequence[str]) -> None:
        with _told_writing(target):
            staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self._cache))
            try:
                for name in names:
                    path = staging / "tree" / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / name, path, follow_symlinks=False)
                    path.chmod(0o444)
                staging.chmod(0o755)
                _take_place(staging / "tree", target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)


def folder_hash(folder: Path) -> str:
    """The content hash that a folder would be published with: links count as what they point to.

    Raises:
        UnpublishableFolder: it holds what cannot be published, or a file cannot be read.
    """
    hashes = {}
    for path, source in _published_files(folder):
        with _opened(source) as stream:
            hashes[path] = hashlib.file_digest(stream, "sha256").hexdigest()
    return content_hash(hashes)


def _published_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """What a folder is published as: each file's path below it, with the file that is read.

    Raises:
        UnpublishableFolder: a link leads nowhere or back, a name is no good, or something is neither file nor
            folder, or cannot be read.
    """
    open_folders: list[tuple[Path, str, tuple[tuple[int, int], ...]]] = [(folder, "", ())]
    while open_folders:
        here, prefix, above = open_folders.pop()
        try:
            names = sorted(path.name for path in here.iterdir())
            own = here.stat()
        except OSError as error:
            raise _unreadable(here, error) from error
        inside = (*above, (own.st_dev, own.st_ino))
        for name in set(names) - set(_IGNORED(str(here), names)):
            path, told = here / name, f"{prefix}{name}"
            if not is_storable(name):
                raise UnpublishableFolder(EntryRefused("bad_path", f"{_named(path)} has {_BAD_NAME}"))
            try:
                facts = path.stat()
            except OSError as error:
                if path.is_symlink():
                    nowhere = EntryRefused("link", f"{_named(path)} is a link that leads nowhere")
                    raise UnpublishableFolder(nowhere, _COPIED) from error
                raise _unreadable(path, error) from error
            if stat.S_ISDIR(facts.st_mode):
                if (facts.st_dev, facts.st_ino) in inside:
                    raise UnpublishableFolder(
                        EntryRefused("link", f"{_named(path)} is a link to a folder that it lies in")
                    )
                open_folders.append((path, f"{told}/", inside))
            elif stat.S_ISREG(facts.st_mode):
                yield told, path
            else:
                raise UnpublishableFolder(
                    EntryRefused("file_type", f"{_named(path)} is neither a file nor a folder")
                )


def _named(path: Path) -> str:
    return str(path).encode(errors="surrogateescape").decode(errors="replace")


def _unreadable(path: Path, error: OSError) -> UnpublishableFolder:
    return UnpublishableFolder(EntryRefused("forbidden", f"{_named(path)} cannot be read ({error.strerror})"))


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def _told_writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_fault(path, error) from error


def _take_place(staged: Path, target: Path) -> None:
    """A finished tree under its own name. Who comes second finds the same content there, and leaves it."""
    try:
        staged.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _hashes(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): sha256_of_file(p) for p in files_below(folder)}


def _check_names(model: ModelRef, source: Path, limits: FetchLimits) -> None:
    """What a listing of names tells, before a byte is read."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        shown = name.encode(errors="surrogateescape").decode(errors="replace")[:200]
        if not is_storable(name):
            raise EntryRefused("bad_path", f"{model.repository} holds {_BAD_NAME}", {"file": shown})
        if path.is_symlink():
            raise EntryRefused(
                "link", f"{model.repository} holds a symbolic link; publish the files themselves", {"file": shown}
            )
        if path.is_file():
            limits.check_file(model.repository, name)


def _check_sizes(model: ModelRef, sizes: dict[str, int], limits: FetchLimits) -> None:
    if len(sizes) > limits.max_files:
        raise EntryRefused(
            "too_many_files",
            f"{model.repository} holds {len(sizes)} files; at most {limits.max_files} are allowed",
            {"files": str(len(sizes)), "limit": str(limits.max_files)},
        )
    total = sum(sizes.values())
    if total > limits.max_bytes:
        raise EntryRefused(
            "too_large",
            f"{model.repository} holds {total} bytes; at most {limits.max_bytes} are allowed",
            {"bytes": str(total), "limit": str(limits.max_bytes)},
        )
