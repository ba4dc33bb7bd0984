"""Models on the Hugging Face Hub, or on any server that speaks its API: fetched at one commit, bounded, verified.

Sizes in bytes, times in seconds. What the tree says is checked before anything is fetched, what arrives is counted
while it arrives, and hashed when it is there: SHA-256 for files kept by LFS, Git's own hash for the others. A fetch
that was cut off goes on where it was.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from soundsright.adapters.hubs.model_cache import (
    STAGING_PREFIX,
    check_space,
    disk_fault,
    forget_models,
    is_of_the_disk,
    is_storable,
    model_in_cache,
)
from soundsright.core.content import checkpoint_hashes, content_hash, files_below, sha256_of_file
from soundsright.core.errors import EntryRefused, HubUnavailable, UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ModelRef, hub_model
from soundsright.core.submission import FetchedModel, Submission

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

MAX_FETCH_S = 3_600.0
MAX_PATH_CHARS = 500
_PIECE_BYTES = 1 << 20

# One way of fetching, whose bytes are counted below; and nothing is told to anybody.
for _name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK"):
    os.environ.setdefault(_name, "1")


class HuggingFaceHub:
    """The `ModelHub` port over `huggingface_hub`. Fetched models lie below `cache`, one copy per content.

    `token` is sent to `endpoint` only. Without it nothing is: not even what the user may be logged in with.

    Raises:
        UsageError: `huggingface_hub` is not installed.
    """

    def __init__(
        self, endpoint: str, cache: Path, *, token: str | None = None, max_fetch_s: float = MAX_FETCH_S
    ) -> None:
        try:
            import huggingface_hub  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"HF_ENDPOINT {endpoint} needs huggingface_hub", "pip install soundsright[hub]"
            ) from error
        self._endpoint = endpoint.rstrip("/")
        self._cache = cache.absolute()
        self._token: str | bool = token or False
        self._max_fetch_s = max_fetch_s
        # Its lines hold addresses, which may hold a signature.
        logging.getLogger("httpx2").setLevel(logging.WARNING)

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The repository at that commit, verified file by file, in the cache.

        Raises:
            EntryRefused: `not_found`, `revision_not_found`, `gated`, `forbidden`, `disabled`, `bad_path`,
                `file_type`, `too_many_files` or `too_large`.
            HubUnavailable: the hub does not answer, or sends other bytes than it promised.
            InfrastructureFault: the cache cannot be read or written, or has no room for it.
        """
        model = hub_model(submission.source)
        staging = self._cache / f"{STAGING_PREFIX}{_safe(model)}"
        with _told_errors(model, self._token):
            files = self._tree(model, limits)
            staging.mkdir(parents=True, exist_ok=True)
            there = sum(path.stat().st_size for path in files_below(staging))
            check_space(self._cache, model, sum(file.size for file in files) - there)
            budget = _Budget(limits.max_bytes, time.monotonic() + self._max_fetch_s)
            for file in files:
                self._fetch_file(model, file, staging, budget)
        shutil.rmtree(staging / ".cache", ignore_errors=True)
        promised = {file.path for file in files}
        found = {path.relative_to(staging).as_posix(): path for path in files_below(staging)}
        for extra in found.keys() - promised:
            found.pop(extra).unlink()
        hashes = {name: sha256_of_file(path) for name, path in found.items()}
        sizes = {name: path.stat().st_size for name, path in found.items()}
        digest = content_hash(hashes)
        target = self._cache / digest
        fetched = self.cached(submission, digest)
        try:
            if fetched is not None:
                shutil.rmtree(staging)
            else:
                for path in found.values():
                    path.chmod(0o444)
                staging.replace(target)
        except OSError as error:
            raise disk_fault(target, error) from error
        return FetchedModel(submission, target, digest, checkpoint_hashes(hashes, sizes))

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """What was fetched before; None where it is not in the cache whole."""
        return model_in_cache(self._cache, submission, content_hash)

    def forget(self, keep: Collection[str]) -> int:
        """Remove all fetched models but those content hashes; says how many."""
        return forget_models(self._cache, keep)

    def _tree(self, model: ModelRef, limits: FetchLimits) -> list[RepoFile]:
        """The files that the commit holds, within the limits."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        api = HfApi(endpoint=self._endpoint, token=self._token)
        files: list[RepoFile] = []
        total = 0
        for entry in api.list_repo_tree(model.repository, recursive=True, revision=model.revision):
            if not isinstance(entry, RepoFile):
                continue
            _check_path(entry.path)
            limits.check_file(model.repository, entry.path)
            files.append(entry)
            total += max(0, entry.size)
            if len(files) > limits.max_files:
                raise EntryRefused(
                    "too_many_files",
                    f"{model.repository} holds more than {limits.max_files} files",
                    {"limit": str(limits.max_files)},
                )
            if total > limits.max_bytes:
                raise EntryRefused(
                    "too_large",
                    f"{model.repository} holds more than {limits.max_bytes} bytes",
                    {"limit": str(limits.max_bytes)},
                )
        if not files:
            raise EntryRefused("not_found", f"{model} holds no file")
        return files

    def _fetch_file(self, model: ModelRef, file: RepoFile, staging: Path, budget: _Budget) -> None:
        from huggingface_hub import hf_hub_download

        budget.begin(file.size)
        path = staging / file.path
        if not (path.is_file() and _is_what_was_promised(path, file)):
            path.unlink(missing_ok=True)
            hf_hub_download(
                model.repository,
                file.path,
                revision=model.revision,
                endpoint=self._endpoint,
                token=self._token,
                local_dir=staging,
                tqdm_class=budget.counter(),
            )
        if path.is_symlink() or not _is_what_was_promised(path, file):
            path.unlink(missing_ok=True)
            shutil.rmtree(staging / ".cache", ignore_errors=True)
            raise HubUnavailable(
                f"{file.path} of {model} is not what the hub promised", "The hub sent other bytes: try again."
            )


class _Budget:
    """How much one fetch may still receive, and until when."""

    def __init__(self, max_bytes: int, deadline_s: float) -> None:
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._received = 0
        self._file_end = 0

    def begin(self, size: int) -> None:
        """A file of that size comes next; whatever exceeds it is too much."""
        self._file_end = self._received + size

    def count(self, received: int) -> None:
        self._received += received
        if self._received > min(self._file_end, self._max_bytes):
            raise HubUnavailable("The hub sends more bytes than it promised", "Try again.")
        if time.monotonic() > self._deadline_s:
            raise HubUnavailable("The hub is too slow", "Try again: the fetch goes on where it was.")

    def counter(self) -> Any:
        """A progress bar that shows nothing and counts, which is how `huggingface_hub` tells of each piece."""
        from tqdm.std import tqdm

        budget = self

        class Counter(tqdm):  # type: ignore[type-arg,misc,unused-ignore]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                kwargs.pop("name", None)
                super().__init__(*args, **(kwargs | {"disable": True}))

            def update(self, n: float | None = 1) -> None:
                budget.count(int(n or 0))

        return Counter


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if (
        not path
        or len(path) > MAX_PATH_CHARS
        or not is_storable(path)
        or path.startswith("/")
        or "\\" in path
        or "\0" in path
        or any(part in ("..", ".") for part in parts)
        or parts[0] == ".cache"
    ):
        raise EntryRefused("bad_path", f"The repository holds a file named {path[:100]!r}")


def _is_what_was_promised(path: Path, file: RepoFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    if file.lfs is not None:
        return sha256_of_file(path) == file.lfs.sha256
    # How Git names a file's content.
    digest = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest() == file.blob_id


def _safe(model: ModelRef) -> str:
    return f"{model.namespace}--{model.name}--{model.revision}"


@contextmanager
def _told_errors(model: ModelRef, token: str | bool) -> Iterator[None]:
    """The library's errors as ours: what the miner is to blame for, and what the hub is."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise EntryRefused("gated", f"{model.repository} asks for consent before it can be fetched") from error
    except errors.DisabledRepoError as error:
        raise EntryRefused("disabled", f"{model.repository} is disabled by the hub") from error
    except errors.RevisionNotFoundError as error:
        raise EntryRefused("revision_not_found", f"{model.repository} has no commit {model.revision}") from error
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise EntryRefused("not_found", f"{model.repository} does not exist, or is private") from error
    except errors.HfHubHTTPError as error:
        raise _meant(model, error, token) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, errors.FileMetadataError) as error:
        if isinstance(error.__cause__, errors.HfHubHTTPError):
            raise _meant(model, error.__cause__, token) from None
        if isinstance(error, OSError) and is_of_the_disk(error):
            raise disk_fault(Path(str(error.filename or "The model cache")), error) from error
        raise HubUnavailable(
            f"{model.repository} cannot be fetched ({type(error).__name__}: {str(error)[:200]})", "Try again later."
        ) from None


def _meant(model: ModelRef, error: Exception, token: str | bool) -> EntryRefused | HubUnavailable:
    """Whose fault a status is: what a hub says of one repository is the entry's, all else the hub's own."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401 and token:
        return HubUnavailable("The hub refuses HF_TOKEN (401)", "Replace or clear HF_TOKEN.")
    evidence = {"status": str(status)}
    if status in (401, 404):
        return EntryRefused("not_found", f"{model.repository} does not exist, or is private", evidence)
    if status == 403:
        return EntryRefused("forbidden", f"{model.repository} may not be read by everybody", evidence)
    if status in (410, 451):
        return EntryRefused("disabled", f"{model.repository} is withheld by the hub", evidence)
    return HubUnavailable(f"The hub answered {status} for {model.repository}", "Try again later.")
