"""Checks that a hub has a miner's model. It needs one request and no library, which keeps the miner small."""

from __future__ import annotations

from soundsright.adapters.peers import reply_json, request
from soundsright.core.errors import HubUnavailable, PeerUnavailable, UsageError
from soundsright.core.ports import Reply
from soundsright.core.sources import ModelRef

_TIMEOUT_S = 20.0


def check_on_hub(endpoint: str, model: ModelRef, *, token: str | None = None) -> None:
    """Check that everybody can fetch the model at its commit. `token` only helps to explain a refusal.

    Raises:
        UsageError: the model or its commit does not exist, is private or gated, or has no Dockerfile.
        HubUnavailable: the hub does not answer.
    """
    reply = _file_list(endpoint, model, None)
    if reply.status in (401, 403, 404):
        if token and _file_list(endpoint, model, token).status == 200:
            raise UsageError(
                f"{model.repository} is private or gated on {endpoint}",
                "Make it public. Validators fetch it without your HF_TOKEN.",
            )
        raise UsageError(
            f"{endpoint} has no public {model}",
            "Check …_HF_MODEL_NAMESPACE, …_HF_MODEL_NAME and …_HF_MODEL_REVISION.",
        )
    if reply.status != 200:
        raise HubUnavailable(f"{endpoint} answered with status {reply.status}", "Try again later.")
    try:
        files = {str(entry["path"]) for entry in reply_json(reply, endpoint)}
    except (PeerUnavailable, KeyError, TypeError) as error:
        raise HubUnavailable(f"HF_ENDPOINT {endpoint} does not answer like a hub", "Check HF_ENDPOINT.") from error
    if "Dockerfile" not in files:
        raise UsageError(
            f"{model} has no Dockerfile at its root",
            "Add one, as `soundsright init-model` does.",
        )


def _file_list(endpoint: str, model: ModelRef, token: str | None) -> Reply:
    path = f"/api/models/{model.repository}/tree/{model.revision}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return request(
            endpoint.rstrip("/"), "GET", path, headers=headers, timeout_s=_TIMEOUT_S, max_bytes=4_000_000
        )
    except PeerUnavailable as error:
        raise HubUnavailable(
            f"HF_ENDPOINT {endpoint} does not answer: {error.problem}", "Try again later."
        ) from None
