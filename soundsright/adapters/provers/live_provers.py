"""The port `LiveProvers`: live audio over a WebSocket that a signed request opens. Times are in seconds.

The prover is a stranger: its messages are small, each has a deadline, and their number is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from soundsright.adapters.peers import allowed_connection, request, signed_headers, valid_answer_signature
from soundsright.core.endpoint import PUBLIC, PeerNetworks
from soundsright.core.errors import PeerUnavailable
from soundsright.core.ports import Account, Prover, StreamOpening
from soundsright.core.signed_http import stream_text
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.core.tiers import (
    MAX_LOOKAHEAD_MS,
    MAX_MODEL_ANSWER_BYTES,
    STREAM_FRAME_MS,
    ServedModel,
    served_model,
)

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

STREAM_PATH, MODEL_PATH = "/v1/stream", "/v1/model"
_MAX_MESSAGE_BYTES = 8_192
_MAX_TEXT_CHARS = 2_000
_MAX_TEXTS_IN_TURN = 4
_MAX_QUEUED = 64
"""Messages that wait here to be read: a second of frames, and some statistics."""
_CLOSE_S = 1.0
_CONNECTING = 16
"""Connections that are made at the same time."""


class HttpLiveProvers:
    """Streams through provers in the name of one account, at addresses that `networks` allow."""

    def __init__(self, account: Account, networks: PeerNetworks = PUBLIC) -> None:
        self._account = account
        self._networks = networks
        self._threads = ThreadPoolExecutor(_CONNECTING, "stream-connect")

    def offer(self, prover: Prover, *, timeout_s: float) -> ServedModel:
        """The answer to `GET /v1/model`.

        Raises:
            PeerUnavailable: no answer came in time, or it is not that of this hotkey.
        """
        url = f"http://{prover.endpoint}"
        reply = request(
            url, "GET", MODEL_PATH, timeout_s=timeout_s, max_bytes=MAX_MODEL_ANSWER_BYTES, networks=self._networks
        )
        try:
            offer = served_model(reply.body) if reply.status == 200 else None
        except (ValueError, NotStrictJson):
            offer = None
        if offer is None or offer.hotkey != prover.hotkey:
            raise PeerUnavailable(f"{url}{MODEL_PATH} does not describe this prover's model", code="not_json")
        return offer

    @contextlib.asynccontextmanager
    async def stream(
        self, prover: Prover, sample_rate_hz: int, *, timeout_s: float
    ) -> AsyncIterator[WebSocketStream]:
        """Open a stream by a signed request. `timeout_s` limits the opening and the wait for each answer.

        Raises:
            PeerUnavailable: the prover refuses, or does not answer in time.
        """
        nonce = time.time_ns()
        connection = await self._connected(prover, nonce, timeout_s)
        try:
            stream = WebSocketStream(connection, prover, sample_rate_hz, timeout_s)
            await stream.begin(nonce, self._account.address)
            yield stream
        finally:
            await _closed(connection)

    async def _connected(self, prover: Prover, nonce: int, timeout_s: float) -> ClientConnection:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        parts = urlsplit(f"//{prover.endpoint}")
        try:
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            raise PeerUnavailable(f"{prover.endpoint} is not a valid address", code="bad_endpoint") from None
        connecting = partial(allowed_connection, host, port, self._networks, timeout_s=timeout_s)
        sock = await asyncio.get_running_loop().run_in_executor(self._threads, connecting)
        headers = signed_headers(
            self._account, method="GET", path=STREAM_PATH, body=b"", receiver=prover.hotkey, nonce_ns=nonce
        )
        try:
            # With a socket of ours, a redirect is an error and is never followed.
            return await connect(
                f"ws://{prover.endpoint}{STREAM_PATH}",
                sock=sock,
                additional_headers=headers,
                compression=None,
                proxy=None,
                open_timeout=timeout_s,
                close_timeout=_CLOSE_S,
                ping_interval=None,
                max_size=_MAX_MESSAGE_BYTES,
                max_queue=_MAX_QUEUED,
            )
        except InvalidStatus as error:
            code = "no_stream" if error.response.status_code == 404 else "refused"
            raise PeerUnavailable(
                f"{prover.endpoint} refuses a stream with status {error.response.status_code}", code=code
            ) from error
        except (OSError, WebSocketException, ValueError) as error:
            sock.close()
            raise PeerUnavailable(f"{prover.endpoint} opens no stream", code="not_http") from error


class WebSocketStream:
    """The port `ProverStream` over an open WebSocket."""

    opening: StreamOpening

    def __init__(self, connection: ClientConnection, prover: Prover, sample_rate_hz: int, timeout_s: float) -> None:
        self._connection = connection
        self._prover = prover
        self._sample_rate_hz = sample_rate_hz
        self._frame_bytes = 2 * sample_rate_hz * STREAM_FRAME_MS // 1_000
        self._timeout_s = timeout_s
        self._sha_in, self._sha_out = hashlib.sha256(), hashlib.sha256()
        self._sent = 0
        self._signature = ""

    @property
    def signature(self) -> str:
        """The prover's signature of the summary; empty if none that is valid came."""
        return self._signature

    async def begin(self, nonce: int, sender: str) -> None:
        """Send the start, and wait until the prover is ready."""
        start = {"type": "start", "sample_rate_hz": self._sample_rate_hz, "frame_ms": STREAM_FRAME_MS}
        await self._put(json.dumps(start))
        ready = self._json(await self._message())
        lookahead_ms = ready.get("lookahead_ms")
        is_number = type(lookahead_ms) in (int, float) and math.isfinite(lookahead_ms)  # type: ignore[arg-type]
        is_ready = ready.get("type") == "ready" and ready.get("frame_samples") == self._frame_bytes // 2
        if not is_number or not 0 <= lookahead_ms <= MAX_LOOKAHEAD_MS or not is_ready:  # type: ignore[operator]
            raise self._unexpected()
        self.opening = StreamOpening(float(lookahead_ms), nonce, sender)  # type: ignore[arg-type]

    async def send(self, frame: bytes) -> None:
        """Send a frame.

        Raises:
            PeerUnavailable: the prover takes none.
        """
        self._sha_in.update(frame)
        self._sent += 1
        await self._put(frame)

    async def receive(self) -> bytes:
        """The answer to the first frame that has none yet.

        Raises:
            PeerUnavailable: none came in time, or something else did.
        """
        for _ in range(_MAX_TEXTS_IN_TURN):
            message = await self._message()
            if isinstance(message, bytes):
                return self._frame(message)
            if self._json(message).get("type") != "stats":
                break
        raise self._unexpected()

    async def finish(self) -> Sequence[bytes]:
        """End the stream: the last frames, which the look-ahead held back.

        Raises:
            PeerUnavailable: as `receive`.
        """
        await self._put(json.dumps({"type": "end"}))
        most = math.ceil(self.opening.lookahead_ms / STREAM_FRAME_MS)
        last: list[bytes] = []
        for _ in range(most + _MAX_TEXTS_IN_TURN):
            message = await self._message()
            if isinstance(message, bytes):
                last.append(self._frame(message))
                continue
            values = self._json(message)
            if values.get("type") == "done" and len(last) <= most:
                self._signature = self._checked(values.get("signature"))
                return last
        raise self._unexpected()

    def _checked(self, signature: object) -> str:
        """The signature if it is the prover's over what was really sent and received."""
        if not isinstance(signature, str) or not signature.isascii():
            return ""
        digests = self._sha_in.hexdigest(), self._sha_out.hexdigest()
        text = stream_text(self.opening.nonce, self.opening.sender, self._sent, *digests)
        return signature if valid_answer_signature(signature, text, self._prover.hotkey) else ""

    def _frame(self, message: bytes) -> bytes:
        if len(message) != self._frame_bytes:
            raise self._unexpected()
        self._sha_out.update(message)
        return message

    def _json(self, message: str | bytes) -> Mapping[str, Any]:
        if isinstance(message, bytes) or len(message) > _MAX_TEXT_CHARS:
            raise self._unexpected()
        try:
            values = strict_json(message.encode(), max_depth=2)
        except (NotStrictJson, UnicodeError):
            raise self._unexpected() from None
        return values if isinstance(values, dict) else {}

    async def _put(self, message: str | bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connection.send(message)
        except (ConnectionClosed, TimeoutError, OSError) as error:
            raise self._gone() from error

    async def _message(self) -> str | bytes:
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._connection.recv()
        except (ConnectionClosed, TimeoutError, OSError, UnicodeError) as error:
            raise self._gone() from error

    def _gone(self) -> PeerUnavailable:
        return PeerUnavailable(f"{self._prover.endpoint} ended the stream or does not answer", code="disconnected")

    def _unexpected(self) -> PeerUnavailable:
        return PeerUnavailable(f"{self._prover.endpoint} does not keep to the protocol of streams", code="not_http")


async def _closed(connection: ClientConnection) -> None:
    """Close the WebSocket, or cut it if the prover does not answer."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(2 * _CLOSE_S):
            await connection.close()
    connection.transport.abort()
