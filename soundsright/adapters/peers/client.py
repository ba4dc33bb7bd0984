"""A small HTTP client for other services, with a deadline and a limit of bytes for each request.

Times are in seconds, sizes in bytes. It follows no redirects. It needs no package, which keeps a miner small. The
name of a host is looked up once, and the connection goes to an address of that answer.
"""

from __future__ import annotations

import http.client
import json
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from soundsright.adapters.peers.auth import signed_headers
from soundsright.adapters.peers.keys import valid_signature
from soundsright.adapters.protocol import BoundedSocket, TooLarge
from soundsright.core.endpoint import PUBLIC, PeerNetworks
from soundsright.core.errors import PeerUnavailable
from soundsright.core.ports import Account, Reply
from soundsright.core.signed_http import ANSWER_HEADER, answer_text

MAX_REPLY_BYTES = 16_000_000

_KEPT = ("x-", "location", "www-authenticate")
_ETAG = re.compile(r'(?:W/)?"[!#-~]{1,128}"')
_ANSWER_SIGNATURE = re.compile(r"0x([0-9a-f]{128})")


class _Response(http.client.HTTPResponse):
    """A response that keeps the signature in its trailer: the body of an answer in parts is signed at its end."""

    trailing_signature = ""

    def _read_and_discard_trailer(self) -> None:
        self.trailing_signature = http.client.parse_headers(self.fp).get(ANSWER_HEADER, "")


_Address = tuple[Any, Any, int, str, Any]
"""One answer of `socket.getaddrinfo`."""


def request(
    url: str,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
    max_bytes: int = MAX_REPLY_BYTES,
    networks: PeerNetworks | None = None,
) -> Reply:
    """Send one request to `scheme://host:port`. One deadline covers all of it, from the look-up to the last byte.

    With `networks`, it connects only to addresses that they allow. Redirects are replies like others.

    Raises:
        PeerUnavailable: nothing answers, the answer is not complete in time, or it is larger than `max_bytes`. It
            quotes nothing that the other side sent.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        context = ssl.create_default_context() if parts.scheme == "https" else None
        connection = _connection(host, port, context)
        addresses = _allowed(_addresses(connection.host, connection.port, deadline_s), networks)
        with _connected(addresses, connection.host, context, deadline_s) as sock:
            connection.sock = BoundedSocket(sock, deadline_s, max_bytes)
            connection.response_class = _Response
            connection.request(
                method, path, body=body, headers={"Content-Type": "application/json", **(headers or {})}
            )
            return _reply_of(connection.getresponse(), max_bytes)
    except TooLarge as error:
        raise PeerUnavailable(f"{url}{path} sent more than {max_bytes} bytes", code="too_large") from error
    except _Forbidden as error:
        raise PeerUnavailable(
            f"{url} leads to {error}",
            "If a peer may be there, add its network to SOUNDSRIGHT_PEER_NETWORKS.",
            code="forbidden_address",
        ) from error
    except (OSError, http.client.HTTPException, ValueError, ArithmeticError) as error:
        late = time.monotonic() >= deadline_s
        code, reason = ("timeout", f"no answer within {timeout_s:g} s") if late else _reason(error)
        raise PeerUnavailable(f"{url}{path} does not answer ({reason})", code=code) from error


def _reply_of(response: http.client.HTTPResponse, max_bytes: int) -> Reply:
    data = response.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLarge
    etag = _etag(response.getheader("ETag", ""))
    signature = response.getheader(ANSWER_HEADER, "") or str(getattr(response, "trailing_signature", ""))
    return Reply(response.status, data, signature, etag, _kept_headers(response))


def allowed_connection(host: str, port: int, networks: PeerNetworks, *, timeout_s: float) -> socket.socket:
    """A socket that is connected to a host, at an address that `networks` allow.

    Raises:
        PeerUnavailable: nothing answers, or the host is where no peer may be.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        return _connected(_allowed(_addresses(host, port, deadline_s), networks), host, None, deadline_s)
    except _Forbidden as error:
        raise PeerUnavailable(f"{host}:{port} leads to {error}", code="forbidden_address") from error
    except (OSError, ValueError) as error:
        code, reason = _reason(error)
        raise PeerUnavailable(f"{host}:{port} does not answer ({reason})", code=code) from error


def _connection(
    host: str, port: int | None, context: ssl.SSLContext | None
) -> http.client.HTTPConnection | http.client.HTTPSConnection:
    if context is None:
        return http.client.HTTPConnection(host, port)
    return http.client.HTTPSConnection(host, port, context=context)


def _kept_headers(reply: http.client.HTTPResponse) -> dict[str, str]:
    """The headers that callers use, by name in lower case. Values of one name are joined, as RFC 9110 does."""
    values: dict[str, list[str]] = {}
    for name, value in reply.getheaders():
        if name.lower().startswith(_KEPT):
            values.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(each) for name, each in values.items()}


def _etag(text: str) -> str:
    """The value of an ETag header, or an empty text if it has another form."""
    return text if _ETAG.fullmatch(text) else ""


def _reason(error: Exception) -> tuple[str, str]:
    """The code and the words for an error. An error of `http.client` quotes the other side, so it is left out."""
    if isinstance(error, socket.gaierror):
        return "unknown_host", "its name has no address"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "it refuses connections"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError):
        return "disconnected", "it ended the connection"
    if isinstance(error, ssl.SSLError):
        return "tls", getattr(error, "verify_message", "") or getattr(error, "reason", "") or "no TLS handshake"
    if isinstance(error, TimeoutError):
        return "timeout", "no answer in time"
    if isinstance(error, OSError):
        return "unreachable", error.strerror or type(error).__name__
    if isinstance(error, http.client.InvalidURL | UnicodeError):
        return "bad_endpoint", "the address is not valid"
    if isinstance(error, http.client.HTTPException | ArithmeticError):
        return "not_http", "its answer is not HTTP"
    return "bad_endpoint", "the address or the answer is not valid"


class _Forbidden(Exception):
    """None of the addresses is allowed. Its text says what kind of address the first one is."""


def _addresses(host: str, port: int, deadline_s: float) -> list[_Address]:
    """The addresses of a name. The system's look-up has no deadline, so a thread waits for it."""
    answers: queue.SimpleQueue[list[_Address] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, ValueError) as error:
            answers.put(error)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
    except queue.Empty:
        raise TimeoutError("no address in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _allowed(addresses: list[_Address], networks: PeerNetworks | None) -> list[_Address]:
    """The addresses to which these networks let us connect.

    Raises:
        _Forbidden: there is none.
    """
    if networks is None:
        return addresses
    refusals = [networks.refusal(str(address[4][0])) for address in addresses]
    allowed = [address for address, refusal in zip(addresses, refusals, strict=True) if refusal is None]
    if addresses and not allowed:
        raise _Forbidden(refusals[0])
    return allowed


def _connected(
    addresses: list[_Address], host: str, context: ssl.SSLContext | None, deadline_s: float
) -> socket.socket:
    """A socket to the first of the addresses that answers. Each address gets a share of the time left."""
    last_error: Exception = socket.gaierror("the name has no address")
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
        raise PeerUnavailable(
            f"{url} answered {reply.status} with something that is not JSON", code="not_json"
        ) from error


class SignedPeers:
    """The `Peers` port: sends requests that one account signs, to addresses that `networks` allow.

    Strangers choose the endpoints of peers. Without `networks`, only public addresses are allowed.
    """

    MAX_REPLY_BYTES = 100_000

    def __init__(self, account: Account, networks: PeerNetworks = PUBLIC) -> None:
        self._account = account
        self._networks = networks

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
        """Send a signed POST to `host:port`. The signature names the receiver's hotkey.

        Raises:
            PeerUnavailable: no complete answer came in time, it was larger than `max_bytes` (`MAX_REPLY_BYTES` by
                default), or, with `signed_answer`, the receiver did not sign it.
        """
        sent = _Sent("POST", endpoint, receiver, path, body)
        return self._answer(sent, timeout_s, max_bytes, signed_answer=signed_answer)

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
        """Send a signed GET to `host:port`. The signature covers the path with its query.

        Raises:
            PeerUnavailable: as `call`.
        """
        sent = _Sent("GET", endpoint, receiver, path, b"")
        return self._answer(sent, timeout_s, max_bytes, signed_answer=signed_answer)

    def _answer(self, sent: _Sent, timeout_s: float, max_bytes: int | None, *, signed_answer: bool) -> Reply:
        nonce_ns = time.time_ns()
        headers = signed_headers(
            self._account,
            method=sent.method,
            path=sent.path,
            body=sent.body,
            receiver=sent.receiver,
            nonce_ns=nonce_ns,
        )
        reply = request(
            f"http://{sent.endpoint}",
            sent.method,
            sent.path,
            body=sent.body,
            headers=headers,
            timeout_s=timeout_s,
            max_bytes=self.MAX_REPLY_BYTES if max_bytes is None else max_bytes,
            networks=self._networks,
        )
        text = answer_text(nonce_ns, self._account.address, reply.status, reply.body)
        if signed_answer and not is_signed(reply, text, sent.receiver):
            raise PeerUnavailable(
                f"{sent.endpoint}{sent.path} answered {reply.status}, but {sent.receiver} did not sign that answer",
                "Try again. If it stays so, the service refuses the request, or somebody else answers there.",
                code="unsigned_answer",
            )
        return reply


@dataclass(frozen=True)
class _Sent:
    """A request to a peer."""

    method: str
    endpoint: str
    receiver: str
    path: str
    body: bytes


def is_signed(reply: Reply, text: bytes, signer: str) -> bool:
    """Whether the signer signed the reply. False for whatever cannot be read."""
    return valid_answer_signature(reply.signature, text, signer)


def valid_answer_signature(signature: str, text: bytes, signer: str) -> bool:
    """Whether an `X-Answer-Signature` is the signer's, over the text of `answer_text`. False for any other text."""
    found = _ANSWER_SIGNATURE.fullmatch(signature)
    return found is not None and valid_signature(signer, text, bytes.fromhex(found[1]))
