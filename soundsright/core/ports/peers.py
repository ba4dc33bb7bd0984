"""Other services that speak signed HTTP. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Reply:
    """A peer's reply: its HTTP status and its body, cut at the size that the caller allows."""

    status: int
    body: bytes


class Peers(Protocol):
    """Other services that speak signed HTTP."""

    def call(self, endpoint: str, receiver: str, path: str, body: bytes, *, timeout_s: float) -> Reply:
        """Send a signed POST to `host:port`. The signature names the receiver's hotkey.

        Raises:
            PeerUnavailable: no reply came in time.
        """
        ...
