"""Other services that speak signed HTTP. Times are in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Reply:
    """A peer's reply: its HTTP status and its body, cut at the size that the caller allows.

    `signature` is what the peer sent as the signature of its answer, not yet verified; empty if there was none.
    `etag` names the version of the body, not signed; empty if there was none. `headers` has the others whose names
    begin with `x-`, `location` or `www-authenticate`, in lower case, not signed either.
    """

    status: int
    body: bytes
    signature: str = ""
    etag: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)


class Peers(Protocol):
    """Other services that speak signed HTTP.

    A request names the receiver's hotkey. `max_bytes` limits the body of the reply; None means a limit that fits
    small documents. With `signed_answer`, only a reply that the receiver's hotkey signed is returned.
    """

    def call(
        self,
        endpoint: str,
        receiver: str,
        path: str,
        body: bytes,
        *,
        timeout_s: float,
        max_bytes: int | None = None,
        signed_answer: bool = False,
    ) -> Reply:
        """Send a signed POST to `host:port`.

        Raises:
            PeerUnavailable: no reply came in time, it is too large, or it is not signed as wanted.
        """
        ...

    def get(
        self,
        endpoint: str,
        receiver: str,
        path: str,
        *,
        timeout_s: float,
        max_bytes: int | None = None,
        signed_answer: bool = False,
    ) -> Reply:
        """Send a signed GET to `host:port`. `path` includes the query.

        Raises:
            PeerUnavailable: as `call`.
        """
        ...
