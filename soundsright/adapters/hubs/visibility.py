"""Makes a miner's private repository public. It needs one request and no library, which keeps the miner small."""

from __future__ import annotations

from soundsright.adapters.peers import request
from soundsright.core.errors import HubUnavailable, PeerUnavailable, UsageError
from soundsright.core.sources import ModelRef

_TIMEOUT_S = 20.0
_MAX_REPLY_BYTES = 100_000


def make_public(endpoint: str, model: ModelRef, *, token: str | None) -> None:
    """Let everybody read the model's repository on the hub. The token must be allowed to change its settings.

    Raises:
        UsageError: there is no token, or the hub refuses it.
        HubUnavailable: the hub does not answer, or fails.
    """
    if not token:
        raise UsageError("PUBLISH_AT_CLOSE needs HF_TOKEN", "Set it to a token that may write to the repository.")
    try:
        reply = request(
            endpoint.rstrip("/"),
            "PUT",
            f"/api/models/{model.repository}/settings",
            body=b'{"visibility": "public"}',
            headers={"Authorization": f"Bearer {token}"},
            timeout_s=_TIMEOUT_S,
            max_bytes=_MAX_REPLY_BYTES,
        )
    except PeerUnavailable as error:
        raise HubUnavailable(f"{endpoint} does not answer: {error.problem}", "The miner tries again.") from None
    if reply.status in (401, 403, 404):
        raise UsageError(
            f"{endpoint} does not let HF_TOKEN make {model.repository} public (status {reply.status})",
            "Make it public by hand now, or set HF_TOKEN to a token that may write to it.",
        )
    if not 200 <= reply.status < 300:
        raise HubUnavailable(f"{endpoint} answered with status {reply.status}", "The miner tries again.")
