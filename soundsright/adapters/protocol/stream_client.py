"""The harness's side of a stream through a model, which docs/reference/protocol.md specifies.

A stream has frames of 16-bit little-endian PCM of one channel, all of one size. Times are in seconds of
`time.monotonic`, sizes in bytes. The model is not trusted: every answer has a deadline and a size, and what it
sends beyond that is never read.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from soundsright.adapters.protocol.http_exchange import Connect
from soundsright.core.errors import ModelFault, ModelTimeout, ProtocolViolation
from soundsright.core.tiers import (
    MAX_LOOKAHEAD_MS,
    MODEL_STREAM_PROTOCOL,
    STREAM_FRAME_MS,
    lookahead_frames,
)

STEP = "stream"
_PATH = "/stream/"
_MAX_HEAD_BYTES = 8_192
_READ_BYTES = 16_384
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |$)")


def offered_lookahead_ms(status: Mapping[str, Any]) -> float | None:
    """The look-ahead of a model that streams, from its answer to `GET /status/`; None if it does not stream.

    Raises:
        ProtocolViolation: the answer says that it streams, but not with which look-ahead.

    >>> offered_lookahead_ms({"streaming": True, "lookahead_ms": 40}), offered_lookahead_ms({"streaming": False})
    (40.0, None)
    """
    if status.get("streaming") is not True:
        return None
    lookahead_ms: Any = status.get("lookahead_ms")
    is_number = isinstance(lookahead_ms, int | float) and not isinstance(lookahead_ms, bool)
    if not (is_number and 0 <= lookahead_ms <= MAX_LOOKAHEAD_MS):  # A NaN is not in these bounds either.
        raise ProtocolViolation(f"GET /status/ says streaming, but lookahead_ms is {str(lookahead_ms)[:50]!a}")
    return float(lookahead_ms)


class HttpModelStream:
    """A stream through one model: one frame out for each frame in, then the frames of its look-ahead.

    `fault_of` gives the model's fault behind a broken connection. `timeout_s` is the longest time of one frame.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        frame_bytes: int,
        lookahead_frames: int,
        timeout_s: float,
        fault_of: Callable[[str, Exception], ModelFault],
        received: bytes = b"",
    ) -> None:
        self.frame_bytes = frame_bytes
        self.lookahead_frames = lookahead_frames
        self._sock = sock
        self._timeout_s = timeout_s
        self._fault_of = fault_of
        self._received = bytearray(received)

    def exchange(self, frame: bytes) -> bytes:
        """The frame that the model answers to this one.

        Raises:
            ModelFault: it answered nothing in time, or broke the connection.
            ValueError: the frame has another size.
        """
        if len(frame) != self.frame_bytes:
            raise ValueError(f"a frame has {self.frame_bytes} bytes, not {len(frame)}")
        deadline = time.monotonic() + self._timeout_s
        try:
            self._sock.settimeout(self._timeout_s)
            self._sock.sendall(frame)
            return self._frame(deadline)
        except TimeoutError as error:
            raise ModelTimeout(STEP, self._timeout_s) from error
        except OSError as error:
            raise self._fault_of(STEP, error) from error

    def finish(self) -> tuple[bytes, ...]:
        """The last frames, as many as the look-ahead. No frame can follow.

        Raises:
            ModelFault: the model did not send them in time, or sent more.
        """
        deadline = time.monotonic() + self._timeout_s
        try:
            self._sock.shutdown(socket.SHUT_WR)
            frames = tuple(self._frame(deadline) for _ in range(self.lookahead_frames))
            if self._received or self._receive(deadline):
                raise ProtocolViolation(
                    f"{STEP}: the model sent more than {self.lookahead_frames} frames at the end"
                )
            return frames
        except TimeoutError as error:
            raise ModelTimeout(STEP, self._timeout_s) from error
        except OSError as error:
            raise self._fault_of(STEP, error) from error

    def close(self) -> None:
        self._sock.close()

    def _frame(self, deadline: float) -> bytes:
        while len(self._received) < self.frame_bytes:
            part = self._receive(deadline)
            if not part:
                raise ConnectionResetError("it ended within a frame")
            self._received += part
        frame = bytes(self._received[: self.frame_bytes])
        del self._received[: self.frame_bytes]
        return frame

    def _receive(self, deadline: float) -> bytes:
        return _received(self._sock, deadline)


def opened_stream(
    connect: Connect,
    sample_rate_hz: int,
    lookahead_ms: float,
    *,
    timeout_s: float,
    fault_of: Callable[[str, Exception], ModelFault],
) -> HttpModelStream:
    """A stream through the model behind `connect`, which said that it streams.

    Raises:
        ModelFault: the model did not switch to the protocol of streams in time.
    """
    deadline = time.monotonic() + timeout_s
    frame_samples = sample_rate_hz * STREAM_FRAME_MS // 1_000
    head = (
        f"POST {_PATH} HTTP/1.1\r\nHost: model\r\nConnection: Upgrade\r\nUpgrade: {MODEL_STREAM_PROTOCOL}\r\n"
        f"X-Sample-Rate: {sample_rate_hz}\r\nX-Frame-Samples: {frame_samples}\r\n\r\n"
    )
    try:
        sock = connect(timeout_s)
    except OSError as error:
        raise fault_of(STEP, error) from error
    try:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        sock.sendall(head.encode())
        received = _switched(sock, deadline)
    except BaseException as error:
        sock.close()
        if isinstance(error, TimeoutError):
            raise ModelTimeout(STEP, timeout_s) from error
        if isinstance(error, OSError):
            raise fault_of(STEP, error) from error
        raise
    return HttpModelStream(
        sock,
        frame_bytes=2 * frame_samples,
        lookahead_frames=lookahead_frames(lookahead_ms),
        timeout_s=timeout_s,
        fault_of=fault_of,
        received=received,
    )


def _switched(sock: socket.socket, deadline: float) -> bytes:
    """The bytes after the head of the answer, which must switch to the protocol of streams."""
    received = b""
    while b"\r\n\r\n" not in received:
        if len(received) > _MAX_HEAD_BYTES:
            raise ProtocolViolation(f"POST {_PATH} answered with a head of more than {_MAX_HEAD_BYTES} bytes")
        part = _received(sock, deadline)
        if not part:
            raise ConnectionResetError("it ended before it answered")
        received += part
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    status = _STATUS_LINE.match(first)
    upgrades = [line.partition(b":")[2].strip() for line in lines if line.lower().startswith(b"upgrade:")]
    if status is None or status[1] != b"101" or upgrades != [MODEL_STREAM_PROTOCOL.encode()]:
        fault = ProtocolViolation(f"POST {_PATH} answered {first[:60]!a}; expected 101 to {MODEL_STREAM_PROTOCOL}")
        fault.status = int(status[1]) if status else None
        raise fault
    return rest


def _received(sock: socket.socket, deadline: float) -> bytes:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    sock.settimeout(seconds)
    return sock.recv(_READ_BYTES)
