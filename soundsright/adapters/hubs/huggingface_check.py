"""Checks that a hub has a miner's model, and hashes its content. It needs no library, which keeps the miner small.

Sizes are in bytes. The hub lists the SHA-256 of large files, so only the small ones are downloaded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from soundsright.adapters.peers import reply_json, request
from soundsright.core.content import SEALED_FILE, content_hash
from soundsright.core.errors import HubUnavailable, PeerUnavailable, UsageError
from soundsright.core.ports import Reply
from soundsright.core.sources import ModelRef

MAX_LISTED_FILES = 1_000
"""The hub lists at most this many files in one reply."""
MAX_SMALL_FILE_BYTES = 32_000_000
_TIMEOUT_S = 20.0
_MAX_LIST_BYTES = 4_000_000


@dataclass(frozen=True)
class ModelOnHub:
    """A model's content hash, its files with the SHA-256 of each, and whether strangers can read it."""

    content_hash: str
    sha256_by_path: dict[str, str]
    is_public: bool


def model_on_hub(
    endpoint: str, model: ModelRef, *, token: str | None = None, may_be_private: bool = False
) -> ModelOnHub:
    """The model at its commit, as validators will fetch it. `may_be_private` accepts one that only `token` reads.

    Raises:
        UsageError: the model or its commit does not exist, has too many files, or is private or gated.
        HubUnavailable: the hub does not answer, or its files do not match the commit.
    """
    own_token = None
    reply = _file_list(endpoint, model, None)
    if reply.status in (401, 403, 404):
        if token and (own_reply := _file_list(endpoint, model, token)).status == 200:
            if not may_be_private:
                raise UsageError(
                    f"{model.repository} is private or gated on {endpoint}",
                    "Make it public, or set PUBLISH_AT_CLOSE: validators fetch it without your HF_TOKEN.",
                )
            reply, own_token = own_reply, token
        else:
            raise UsageError(
                f"{endpoint} has no public {model}",
                "Check …_HF_MODEL_NAMESPACE, …_HF_MODEL_NAME and …_HF_MODEL_REVISION.",
            )
    if reply.status != 200:
        raise HubUnavailable(f"{endpoint} answered with status {reply.status}", "Try again later.")
    try:
        rows = [row for row in reply_json(reply, endpoint) if row.get("type", "file") == "file"]
        hashes = {str(row["path"]): _sha256_of(endpoint, model, row, own_token) for row in rows}
    except (PeerUnavailable, AttributeError, KeyError, TypeError) as error:
        raise HubUnavailable(f"HF_ENDPOINT {endpoint} does not answer like a hub", "Check HF_ENDPOINT.") from error
    if len(rows) >= MAX_LISTED_FILES:
        raise UsageError(f"{model} has {MAX_LISTED_FILES} files or more", "Remove the files that it does not need.")
    if "Dockerfile" not in hashes and SEALED_FILE not in hashes:
        raise UsageError(f"{model} has no Dockerfile at its root", "Add one, as `soundsright init-model` does.")
    return ModelOnHub(content_hash(hashes), hashes, own_token is None)


def _sha256_of(endpoint: str, model: ModelRef, row: dict[str, Any], token: str | None) -> str:
    """The SHA-256 of a listed file. If its row does not have it, the file is downloaded and checked."""
    path, size = str(row["path"]), int(row["size"])
    if row.get("lfs"):
        return str(row["lfs"]["oid"]).removeprefix("sha256:")
    if size > MAX_SMALL_FILE_BYTES:
        raise HubUnavailable(f"{endpoint} lists no SHA-256 for {path}, which has {size} bytes", "Try again later.")
    reply = _get(
        endpoint, f"/{model.repository}/raw/{model.revision}/{quote(path)}", token, max_bytes=MAX_SMALL_FILE_BYTES
    )
    git = hashlib.sha1(b"blob %d\0" % len(reply.body) + reply.body, usedforsecurity=False).hexdigest()
    if reply.status != 200 or git != row["oid"]:
        raise HubUnavailable(f"{endpoint} does not give the {path} of {model}", "Try again later.")
    return hashlib.sha256(reply.body).hexdigest()


def _file_list(endpoint: str, model: ModelRef, token: str | None) -> Reply:
    path = f"/api/models/{model.repository}/tree/{model.revision}?recursive=true"
    return _get(endpoint, path, token, max_bytes=_MAX_LIST_BYTES)


def _get(endpoint: str, path: str, token: str | None, *, max_bytes: int) -> Reply:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return request(
            endpoint.rstrip("/"), "GET", path, headers=headers, timeout_s=_TIMEOUT_S, max_bytes=max_bytes
        )
    except PeerUnavailable as error:
        raise HubUnavailable(
            f"HF_ENDPOINT {endpoint} does not answer: {error.problem}", "Try again later."
        ) from None
