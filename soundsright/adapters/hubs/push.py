"""Writes models, data sets and metadata of model cards to the Hugging Face Hub, or a server with the same API.

Sizes are in bytes. The token is sent to the endpoint only, and no message contains it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Imported first, because it sets how the library transfers files.
import soundsright.adapters.hubs.huggingface  # noqa: F401
from soundsright.core.errors import HubUnavailable, UsageError

MAX_CARD_BYTES = 1 << 20
_CARD = "README.md"


class HubPush:
    """Writes to the hub at the URL `endpoint` with the token of a user who may write there.

    Raises:
        UsageError: there is no token, or `huggingface_hub` is not installed.
    """

    def __init__(self, endpoint: str, token: str | None) -> None:
        if not token:
            raise UsageError("HF_TOKEN is not set", "Set it to a token that may write to the hub.")
        self.endpoint = endpoint.rstrip("/")
        library = _library()
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        self._api = library.HfApi(endpoint=self.endpoint, token=token)

    def model(self, name: str, folder: Path, *, message: str, private: bool = False) -> str:
        """Replace the files of the model `name` by those of the folder, and return the revision, 40 hex digits.

        Raises:
            UsageError: the name is not valid, or the token may not write there.
            HubUnavailable: the hub does not answer, or fails.
        """
        with _errors_of_library(name):
            self._api.create_repo(name, private=private, exist_ok=True)
            commit = self._api.upload_folder(
                repo_id=name, folder_path=folder, delete_patterns="*", commit_message=message
            )
        return str(commit.oid)

    def dataset(self, name: str, folder: Path, *, message: str, private: bool = False) -> str:
        """Replace the files of the data set `name` by those of the folder, and return the URL of the commit.

        Raises:
            UsageError: the name is not valid, or the token may not write there.
            HubUnavailable: the hub does not answer, or fails.
        """
        with _errors_of_library(name):
            self._api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
            commit = self._api.upload_folder(
                repo_id=name, repo_type="dataset", folder_path=folder, delete_patterns="*", commit_message=message
            )
        return str(commit.commit_url)

    def card(
        self, name: str, index: Sequence[Mapping[str, Any]], *, message: str, pull_request: bool = False
    ) -> str:
        """Put the evaluation metadata into the card of the model `name`. The rest of the card stays.

        Returns the URL of the commit, or of the pull request.

        Raises:
            UsageError: the name is not valid, the token may not write there, or the card is too large.
            HubUnavailable: the hub does not answer, or fails.
        """
        with _errors_of_library(name):
            text = merged_card(self._card_of(name), index)
            commit = self._api.upload_file(
                path_or_fileobj=text.encode(),
                path_in_repo=_CARD,
                repo_id=name,
                commit_message=message,
                create_pr=pull_request,
            )
        return str(commit.pr_url if pull_request and commit.pr_url else commit.commit_url)

    def _card_of(self, name: str) -> str:
        """The model's current card, or an empty text if it has none."""
        files = self._api.list_repo_tree(name)
        size_bytes = next((getattr(file, "size", 0) for file in files if file.path == _CARD), None)
        if size_bytes is None:
            return ""
        if size_bytes > MAX_CARD_BYTES:
            raise UsageError(
                f"The card of {name} has {size_bytes} bytes", f"Shorten its {_CARD} to {MAX_CARD_BYTES} bytes."
            )
        with tempfile.TemporaryDirectory() as folder:
            path = self._api.hf_hub_download(name, _CARD, local_dir=folder)
            return Path(path).read_text(encoding="utf-8")


def merged_card(text: str, index: Sequence[Mapping[str, Any]]) -> str:
    """The model card `text` with these results in its metadata.

    They replace the card's own results for the same data set, configuration and metric.

    Raises:
        UsageError: `huggingface_hub` is not installed.
    """
    _library()
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard_data import model_index_to_eval_results

    card = ModelCard(text or "---\n{}\n---\n", ignore_metadata_errors=True)
    data: Any = card.data
    name, results = model_index_to_eval_results([dict(model) for model in index])
    replaced = {(r.dataset_name, r.dataset_config, r.metric_type) for r in results}
    data.eval_results = [
        *(r for r in data.eval_results or [] if (r.dataset_name, r.dataset_config, r.metric_type) not in replaced),
        *results,
    ]
    data.model_name = data.model_name or name
    return str(card)


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UsageError(
            "Writing to a hub needs the package huggingface_hub", "Run `pip install 'soundsright[hub]'`."
        ) from error
    return huggingface_hub


@contextmanager
def _errors_of_library(name: str) -> Iterator[None]:
    """Turn the library's errors into this package's. They show only the status: a text can contain a signed URL."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise UsageError(f"{name!r} is not the name of a repository", "Write it as NAMESPACE/NAME.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403, 404):
            raise UsageError(
                f"The hub refuses to write to {name} (status {status})",
                "Check that it exists and that HF_TOKEN may write there.",
            ) from None
        raise HubUnavailable(f"The hub answered with status {status} for {name}", "Try again later.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, RuntimeError, ValueError) as error:
        # The library raises a RuntimeError for a file that the hub did not accept.
        raise HubUnavailable(f"{name} cannot be pushed ({type(error).__name__})", "Try again later.") from None
