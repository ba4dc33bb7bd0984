"""A small HTTP client for other services, with a deadline and a limit of bytes for each request.

Times are in seconds, sizes in bytes. It follows no redirects. It needs no package, which keeps a miner small. The
deadline does not include the system's lookup of the host name.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from soundsright.adapters.peers.auth import signed_headers
from soundsright.adapters.protocol import BoundedSocket, TooLarge
from soundsright.core.errors import PeerUnavailable
from soundsright.core.ports import Account, Reply

MAX_REPLY_BYTES = 16_000_000


def request(
    url: str,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
    max_bytes: int = MAX_REPLY_BYTES,
) -> Reply:
    """Send one request to `scheme://host:port`. One deadline covers all of it, from connecting to the last byte.

    Raises:
        PeerUnavailable: nothing answers, the answer is not complete in time, or it is larger than `max_bytes`.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        context = ssl.create_default_context() if parts.scheme == "https" else None
        connection = (
            http.client.HTTPConnection(host, port)
            if context is None
            else http.client.HTTPSConnection(host, port, context=context)
        )
        with _connected(connection.host, connection.port, context, deadline_s) as sock:
            connection.sock = BoundedSocket(sock, deadline_s, max_bytes)
            connection.request(
                method, path, body=body, headers={"Content-Type": "application/json", **(headers or {})}
            )
            reply = connection.getresponse()
            data = reply.read(max_bytes + 1)
            if len(data) > max_bytes:
                raise TooLarge
            return Reply(reply.status, data)
    except TooLarge as error:
        raise PeerUnavailable(f"{url}{path} sent more than {max_bytes} bytes") from error
    except (OSError, http.client.HTTPException, ValueError, ArithmeticError) as error:
        late = time.monotonic() >= deadline_s
        reason = f"no answer within {timeout_s:g} s" if late else f"{type(error).__name__}: {error}"
        raise PeerUnavailable(f"{url}{path} does not answer ({reason})") from error


def _connected(host: str, port: int, context: ssl.SSLContext | None, deadline_s: float) -> socket.socket:
    """A socket to the first of the host's addresses that answers. Each address gets a share of the time left."""
    last_error: Exception = OSError("the name has no address")
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        now_s = time.monotonic()
        if now_s >= deadline_s:
            break
        share_ends_s = now_s + (deadline_s - now_s) / (len(addresses) - tried)
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(share_ends_s - now_s)
            sock.connect(address)
            # Headers and body are two writes. Without this the second waits until the first is acknowledged.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is None:
                return sock
            sock.settimeout(max(0.0, share_ends_s - time.monotonic()))
            return context.wrap_socket(sock, server_hostname=host)
        except (OSError, ValueError) as error:
            sock.close()
            last_error = error
    raise last_error


def reply_json(reply: Reply, url: str) -> Any:
    """The reply's body, read as JSON. `url` is the address of its sender, for the error.

    Raises:
        PeerUnavailable: the body is not JSON.
    """
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise PeerUnavailable(f"{url} answered {reply.status} with something that is not JSON") from error


class SignedPeers:
    """The `Peers` port: sends requests that one account signs."""

    MAX_REPLY_BYTES = 100_000

    def __init__(self, account: Account) -> None:
        self._account = account

    def call(self, endpoint: str, receiver: str, path: str, body: bytes, *, timeout_s: float) -> Reply:
        """Send a signed POST to `host:port`. The signature names the receiver's hotkey.

        Raises:
            PeerUnavailable: no complete answer came in time, or it was larger than `MAX_REPLY_BYTES`.
        """
        headers = signed_headers(self._account, method="POST", path=path, body=body, receiver=receiver)
        return request(
            f"http://{endpoint}",
            "POST",
            path,
            body=body,
            headers=headers,
            timeout_s=timeout_s,
            max_bytes=self.MAX_REPLY_BYTES,
        )
