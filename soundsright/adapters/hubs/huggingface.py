"""Models on the Hugging Face Hub, or on any server with the same API, fetched at one commit.

Sizes are in bytes, times in seconds. The commit's list of files is checked before the first download. The bytes are
counted while they arrive. Each complete file is verified: an LFS file by its SHA-256, any other by Git's own hash.
An interrupted fetch resumes where it stopped.
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
    disk_errors_at,
    disk_fault,
    forget_models,
    is_disk_error,
    is_storable,
    model_in_cache,
)
from soundsright.core.content import checkpoint_hashes, content_hash, files_below, image_digests, sha256_of_file
from soundsright.core.errors import EntryRefused, HubUnavailable, UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ModelRef, hub_model
from soundsright.core.submission import FetchedModel, Submission

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

MAX_FETCH_S = 3_600.0
MAX_PATH_CHARS = 500
_PIECE_BYTES = 1 << 20

# Without Xet there is one way to download, and its bytes are counted below. The library also sends no telemetry.
for _name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK"):
    os.environ.setdefault(_name, "1")


class HuggingFaceHub:
    """The `ModelHub` port over `huggingface_hub`. Each content is stored once in `cache`.

    `token` is sent to `endpoint` only. Without it no token is sent, not even that of a user who is logged in.
    `max_fetch_s` bounds each fetch.

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
                f"HF_ENDPOINT {endpoint} needs the package huggingface_hub", "Run `pip install 'soundsright[hub]'`."
            ) from error
        self._endpoint = endpoint.rstrip("/")
        self._cache = cache.absolute()
        self._token: str | bool = token or False
        self._max_fetch_s = max_fetch_s
        # Its log lines contain URLs, and a URL can contain a signature.
        logging.getLogger("httpx2").setLevel(logging.WARNING)

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The model at its commit, in the cache, with every file verified.

        Raises:
            EntryRefused: `not_found`, `revision_not_found`, `gated`, `forbidden`, `disabled`, `bad_path`,
                `file_type`, `too_many_files` or `too_large`.
            HubUnavailable: the hub does not answer, or its bytes do not match the commit.
            InfrastructureFault: the cache cannot be read or written, or its disk is too full.
        """
        model = hub_model(submission.source)
        staging = self._cache / f"{STAGING_PREFIX}{model.namespace}--{model.name}--{model.revision}"
        with _errors_of_library(model, self._token):
            files = self._files_of_commit(model, limits)
            staging.mkdir(parents=True, exist_ok=True)
            fetched_bytes = sum(path.stat().st_size for path in files_below(staging))
            check_space(self._cache, model, sum(file.size for file in files) - fetched_bytes)
            budget = _Budget(limits.max_bytes, time.monotonic() + self._max_fetch_s)
            for file in files:
                self._fetch_file(model, file, staging, budget)
        return self._stored(submission, staging, {file.path for file in files})

    def _stored(self, submission: Submission, staging: Path, names: Collection[str]) -> FetchedModel:
        """Move a complete staging folder to its place in the cache, without files that are not in `names`."""
        shutil.rmtree(staging / ".cache", ignore_errors=True)
        paths = {path.relative_to(staging).as_posix(): path for path in files_below(staging)}
        for extra in paths.keys() - set(names):
            paths.pop(extra).unlink()
        hashes = {name: sha256_of_file(path) for name, path in paths.items()}
        sizes = {name: path.stat().st_size for name, path in paths.items()}
        digest = content_hash(hashes)
        target = self._cache / digest
        in_cache = self.cached(submission, digest) is not None
        with disk_errors_at(target):
            if in_cache:
                shutil.rmtree(staging)
            else:
                for path in paths.values():
                    path.chmod(0o444)
                staging.replace(target)
        with disk_errors_at(target):
            images = image_digests(target)
        return FetchedModel(submission, target, digest, (*checkpoint_hashes(hashes, sizes), *images))

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """The model from the cache, or None if the cache does not have all of it."""
        return model_in_cache(self._cache, submission, content_hash)

    def forget(self, keep: Collection[str]) -> int:
        """Remove all fetched models except those with these content hashes. Returns how many were removed."""
        return forget_models(self._cache, keep)

    def _files_of_commit(self, model: ModelRef, limits: FetchLimits) -> list[RepoFile]:
        """The list of files of the model's commit, checked against the limits."""
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
                    f"{model.repository} has more than {limits.max_files} files",
                    {"limit": str(limits.max_files)},
                )
            if total > limits.max_bytes:
                raise EntryRefused(
                    "too_large",
                    f"{model.repository} has more than {limits.max_bytes} bytes",
                    {"limit": str(limits.max_bytes)},
                )
        if not files:
            raise EntryRefused("not_found", f"{model} has no files")
        return files

    def _fetch_file(self, model: ModelRef, file: RepoFile, staging: Path, budget: _Budget) -> None:
        from huggingface_hub import hf_hub_download

        budget.begin_file(file.size)
        path = staging / file.path
        if not (path.is_file() and _matches_commit(path, file)):
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
        if path.is_symlink() or not _matches_commit(path, file):
            path.unlink(missing_ok=True)
            shutil.rmtree(staging / ".cache", ignore_errors=True)
            raise HubUnavailable(
                f"The hub sent wrong bytes for {file.path} of {model}: their hash is not that of the commit",
                "Try again.",
            )


class _Budget:
    """Limits the bytes and the time of one fetch. `deadline_s` is a time of `time.monotonic`."""

    def __init__(self, max_bytes: int, deadline_s: float) -> None:
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._received_bytes = 0
        self._end_of_file_bytes = 0

    def begin_file(self, size_bytes: int) -> None:
        """Allow the next file that many bytes."""
        self._end_of_file_bytes = self._received_bytes + size_bytes

    def count(self, received_bytes: int) -> None:
        """Count bytes that have arrived.

        Raises:
            HubUnavailable: they are too many, or too late.
        """
        self._received_bytes += received_bytes
        if self._received_bytes > min(self._end_of_file_bytes, self._max_bytes):
            raise HubUnavailable("The hub sends more bytes than its list of files says", "Try again.")
        if time.monotonic() > self._deadline_s:
            raise HubUnavailable("The hub is too slow", "Try again: the fetch resumes where it stopped.")

    def counter(self) -> Any:
        """A class of progress bars that show nothing and count. `huggingface_hub` reports each piece to one."""
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
        raise EntryRefused("bad_path", f"The repository has a file with the bad path {path[:100]!r}")


def _matches_commit(path: Path, file: RepoFile) -> bool:
    """Whether the downloaded file has the size and the hash that the commit lists."""
    if path.stat().st_size != file.size:
        return False
    if file.lfs is not None:
        return sha256_of_file(path) == file.lfs.sha256
    # The name of a file's content in Git (a "blob").
    digest = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest() == file.blob_id


@contextmanager
def _errors_of_library(model: ModelRef, token: str | bool) -> Iterator[None]:
    """Turn the library's errors into this package's: EntryRefused blames the miner, HubUnavailable the hub."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise EntryRefused("gated", f"{model.repository} is gated: its owner must accept each user") from error
    except errors.DisabledRepoError as error:
        raise EntryRefused("disabled", f"The hub has disabled {model.repository}") from error
    except errors.RevisionNotFoundError as error:
        raise EntryRefused("revision_not_found", f"{model.repository} has no commit {model.revision}") from error
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise EntryRefused("not_found", f"{model.repository} does not exist, or is private") from error
    except errors.HfHubHTTPError as error:
        raise _error_of_status(model, error, token) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, errors.FileMetadataError) as error:
        if isinstance(error.__cause__, errors.HfHubHTTPError):
            raise _error_of_status(model, error.__cause__, token) from None
        if isinstance(error, OSError) and is_disk_error(error):
            raise disk_fault(Path(str(error.filename or "The model cache")), error) from error
        raise HubUnavailable(
            f"{model.repository} cannot be fetched ({type(error).__name__}: {str(error)[:200]})", "Try again later."
        ) from None


def _error_of_status(model: ModelRef, error: Exception, token: str | bool) -> EntryRefused | HubUnavailable:
    """The error for the hub's HTTP status. A status about the repository blames the entry, any other the hub."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401 and token:
        return HubUnavailable("The hub refuses HF_TOKEN (status 401)", "Replace or clear HF_TOKEN.")
    evidence = {"status": str(status)}
    if status in (401, 404):
        return EntryRefused("not_found", f"{model.repository} does not exist, or is private", evidence)
    if status == 403:
        return EntryRefused("forbidden", f"{model.repository} is not readable by everybody", evidence)
    if status in (410, 451):
        return EntryRefused("disabled", f"The hub withholds {model.repository}", evidence)
    return HubUnavailable(f"The hub answered with status {status} for {model.repository}", "Try again later.")
