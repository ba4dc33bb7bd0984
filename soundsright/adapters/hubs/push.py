"""What is pushed to the Hugging Face Hub, or a server that speaks its API: data sets, and metadata of model cards.

Sizes in bytes. A token goes to the endpoint only, and no message holds it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Read first: it sets how the library transfers files.
import soundsright.adapters.hubs.huggingface  # noqa: F401
from soundsright.core.errors import HubUnavailable, UsageError

MAX_CARD_BYTES = 1 << 20
_CARD = "README.md"


class HubPush:
    """Writes to `endpoint` with `token`.

    Raises:
        UsageError: there is no token, or `huggingface_hub` is not installed.
    """

    def __init__(self, endpoint: str, token: str | None) -> None:
        if not token:
            raise UsageError("Nothing can be pushed without HF_TOKEN", "Set HF_TOKEN to a token that may write.")
        self.endpoint = endpoint.rstrip("/")
        library = _library()
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        self._api = library.HfApi(endpoint=self.endpoint, token=token)

    def dataset(self, name: str, folder: Path, *, message: str, private: bool = False) -> str:
        """Make `name` hold the folder's files and no others, in one commit; the commit's address.

        Raises:
            UsageError: the name is none, or the token may not write there.
            HubUnavailable: the hub does not answer, or refuses.
        """
        with _told(name):
            self._api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
            done = self._api.upload_folder(
                repo_id=name, repo_type="dataset", folder_path=folder, delete_patterns="*", commit_message=message
            )
        return str(done.commit_url)

    def card(
        self, name: str, index: Sequence[Mapping[str, Any]], *, message: str, pull_request: bool = False
    ) -> str:
        """Put the evaluation metadata into a model's card, the rest of which stays; the commit's address.

        Raises as `dataset`.
        """
        with _told(name):
            text = merged_card(self._card_of(name), index)
            done = self._api.upload_file(
                path_or_fileobj=text.encode(),
                path_in_repo=_CARD,
                repo_id=name,
                commit_message=message,
                create_pr=pull_request,
            )
        return str(done.pr_url if pull_request and done.pr_url else done.commit_url)

    def _card_of(self, name: str) -> str:
        """The model's card as it is, empty where it has none."""
        tree = self._api.list_repo_tree(name)
        size = next((getattr(file, "size", 0) for file in tree if file.path == _CARD), None)
        if size is None:
            return ""
        if size > MAX_CARD_BYTES:
            raise UsageError(f"The card of {name} has {size} bytes", "Shorten it first.")
        with tempfile.TemporaryDirectory() as folder:
            path = self._api.hf_hub_download(name, _CARD, local_dir=folder)
            return Path(path).read_text(encoding="utf-8")


def merged_card(text: str, index: Sequence[Mapping[str, Any]]) -> str:
    """A card with these results in its metadata, in place of its own of the same set, task and metric.

    Raises:
        UsageError: `huggingface_hub` is not installed.
    """
    _library()
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard_data import model_index_to_eval_results

    card = ModelCard(text or "---\n{}\n---\n", ignore_metadata_errors=True)
    data: Any = card.data
    name, results = model_index_to_eval_results([dict(one) for one in index])
    new = {(r.dataset_name, r.dataset_config, r.metric_type) for r in results}
    old = data.eval_results or []
    data.eval_results = [
        *(r for r in old if (r.dataset_name, r.dataset_config, r.metric_type) not in new),
        *results,
    ]
    data.model_name = data.model_name or name
    return str(card)


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UsageError("A push needs huggingface_hub", "pip install 'soundsright[hub]'") from error
    return huggingface_hub


@contextmanager
def _told(name: str) -> Iterator[None]:
    """The library's errors as ours. What it says may hold an address, so no more than the status is shown."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise UsageError(f"{name!r} is no name of a repository", "Name it namespace/name.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403, 404):
            raise UsageError(
                f"The hub refuses to write to {name} ({status})",
                "See that it exists and that HF_TOKEN may write there.",
            ) from None
        raise HubUnavailable(f"The hub answered {status} for {name}", "Try again later.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, RuntimeError, ValueError) as error:
        # A RuntimeError is one file that was not taken.
        raise HubUnavailable(f"{name} cannot be pushed ({type(error).__name__})", "Try again later.") from None
