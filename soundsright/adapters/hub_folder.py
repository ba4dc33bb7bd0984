"""A model hub in a folder: `namespace/name/revision/files`, where the revision is the content's own hash.

A revision is the first 40 hex digits of the content's SHA-256, so it cannot move and a changed byte is seen.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from soundsright.core.content import checkpoint_hashes, content_hash, files_below, sha256_of_file
from soundsright.core.errors import EntryRefused, HubUnavailable, UsageError
from soundsright.core.ports import FetchLimits
from soundsright.core.submission import FetchedModel, ModelRef, Submission

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
            UsageError: the folder is missing or empty.
        """
        if not folder.is_dir() or not any(folder.iterdir()):
            raise UsageError(f"No model in {folder}", "Give a folder with a Dockerfile, as in models/template.")
        parent = self._root / namespace / name
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".publish-", dir=parent))
        try:
            shutil.copytree(folder, staging / "tree", symlinks=False, ignore=_IGNORED)
            revision = content_hash(_hashes(staging / "tree"))[:40]
            ref = ModelRef(namespace, name, revision)
            if not (parent / revision).exists():
                (staging / "tree").rename(parent / revision)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return ref

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The repository at that revision, checked against it, copied into the cache.

        Raises:
            EntryRefused: `not_found`, `too_many_files`, `too_large`, `revision_mismatch`.
            HubUnavailable: the copy failed.
        """
        model = submission.model
        source = self._root / model.namespace / model.name / model.revision
        if not source.is_dir():
            raise EntryRefused("not_found", f"The hub has no {model}", {"model": str(model)})
        if any(path.is_symlink() for path in source.rglob("*")):
            raise EntryRefused("link", f"{model.repository} holds a symbolic link; publish the files themselves")
        files = files_below(source)
        sizes = {p.relative_to(source).as_posix(): p.stat().st_size for p in files}
        _check_limits(model, sizes, limits)
        hashes = _hashes(source)
        digest = content_hash(hashes)
        if not digest.startswith(model.revision):
            raise EntryRefused(
                "revision_mismatch",
                f"The files of {model.repository} do not hash to their revision",
                {"revision": model.revision, "content": digest[:40]},
            )
        target = self._cache / digest
        if not target.exists():
            self._copy(source, target, list(hashes))
        if content_hash(_hashes(target)) != digest:
            raise HubUnavailable(f"{target} is not what was fetched", "Remove the cache folder and run again.")
        return FetchedModel(submission, target, digest, checkpoint_hashes(hashes, sizes))

    def _copy(self, source: Path, target: Path, names: Sequence[str]) -> None:
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=self._cache))
            try:
                for name in names:
                    path = staging / "tree" / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / name, path, follow_symlinks=False)
                    path.chmod(0o444)
                staging.chmod(0o755)
                (staging / "tree").replace(target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        except OSError as error:
            raise HubUnavailable(f"{target} cannot be written ({error})", "Free some disk space.") from error


def folder_hash(folder: Path) -> str:
    """The content hash that a folder would be published with: links count as what they point to.

    Raises:
        UsageError: a link leads nowhere, or a file cannot be read.
    """
    hashes: dict[str, str] = {}
    try:
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            if path.is_dir() or _IGNORED("", list(parts)):
                continue
            hashes["/".join(parts)] = sha256_of_file(path)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read ({error.strerror})", "Mend or remove it.") from error
    return content_hash(hashes)


def _hashes(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): sha256_of_file(p) for p in files_below(folder)}


def _check_limits(model: ModelRef, sizes: dict[str, int], limits: FetchLimits) -> None:
    if len(sizes) > limits.max_files:
        raise EntryRefused(
            "too_many_files",
            f"{model.repository} holds {len(sizes)} files; at most {limits.max_files} are allowed",
            {"files": str(len(sizes))},
        )
    total = sum(sizes.values())
    if total > limits.max_bytes:
        raise EntryRefused(
            "too_large",
            f"{model.repository} holds {total} bytes; at most {limits.max_bytes} are allowed",
            {"bytes": str(total)},
        )
