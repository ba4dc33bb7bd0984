"""A conversation over a WebSocket: live frames in, enhanced frames out, one for one.

Frames are 20 ms of 16-bit little-endian PCM of one channel. Times are in seconds, latencies in ms. The client
starts with JSON, sends frames, and ends with JSON; docs/reference/protocol.md specifies the messages. At most
`unanswered_frames` wait for an answer: then nothing more is read, so the client's connection fills up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from soundsright.core.errors import InfrastructureFault, ModelFault, RequestRefused
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.core.tiers import STREAM_FRAME_MS

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

NORMAL, UNSUPPORTED, POLICY, FAILED = 1000, 1003, 1008, 1011
"""The codes with which a WebSocket is closed."""
_MAX_TEXT_CHARS = 1_000
_STATS_S = 1.0


class Frames(Protocol):
    """A stream of frames through a model of this machine."""

    async def exchange(self, frame: bytes) -> bytes:
        """The frame that answers this one.

        Raises:
            ModelFault, InfrastructureFault: there is none.
        """
        ...

    async def finish(self) -> Sequence[bytes]:
        """The last frames, which the look-ahead held back."""
        ...


@runtime_checkable
class DistantFrames(Protocol):
    """A stream of frames through a model elsewhere. Frames are sent before earlier ones are answered.

    Otherwise a stream could not keep up where an answer takes longer than a frame lasts.
    """

    async def send(self, frame: bytes) -> None:
        """Send a frame.

        Raises:
            InfrastructureFault: it cannot be sent.
        """
        ...

    async def receive(self) -> bytes:
        """The answer to the first frame that has none yet.

        Raises:
            InfrastructureFault: there is none.
        """
        ...

    async def finish(self) -> Sequence[bytes]:
        """The last frames, which the look-ahead held back. All frames are answered before."""
        ...


@dataclass(frozen=True)
class StreamTerms:
    """The first message to the client. `facts` are further fields, such as the prover's hotkey."""

    sample_rate_hz: int
    lookahead_ms: float
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def frame_samples(self) -> int:
        return self.sample_rate_hz * STREAM_FRAME_MS // 1_000


@dataclass(frozen=True)
class StreamBounds:
    """The limits of a conversation.

    A client gets `idle_s` for its next message and `unread_s` to read. It may send `speed` times as fast as it
    would speak, after a first second.
    """

    longest_s: float = 3_600.0
    idle_s: float = 30.0
    unread_s: float = 10.0
    unanswered_frames: int = 50
    speed: float = 4.0


@dataclass(frozen=True)
class StreamSummary:
    """A stream that ended well: its number of frames, and the SHA-256 of all bytes in and of all bytes out."""

    frames: int
    sha256_in: str
    sha256_out: str


class _InTurn:
    """Frames that are exchanged one after another, as `DistantFrames`."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._sent: deque[bytes] = deque()

    async def send(self, frame: bytes) -> None:
        self._sent.append(frame)

    async def receive(self) -> bytes:
        return await self._frames.exchange(self._sent.popleft())

    async def finish(self) -> Sequence[bytes]:
        return await self._frames.finish()


class _Closed(Exception):
    """The conversation ends with this code and reason. The client has gone if the code is None."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


async def converse(
    websocket: WebSocket,
    terms: StreamTerms,
    frames: Frames | DistantFrames,
    *,
    bounds: StreamBounds | None = None,
    signed: Callable[[StreamSummary], str] = lambda summary: "",
    monotonic_s: Callable[[], float] = time.monotonic,
) -> StreamSummary | None:
    """Lead the conversation on an accepted WebSocket, and close it. None if it did not end well.

    `signed` gives the signature of a summary, or an empty text.
    """
    distant = frames if isinstance(frames, DistantFrames) else _InTurn(frames)
    conversation = _Conversation(websocket, terms, distant, bounds or StreamBounds(), monotonic_s)
    try:
        async with asyncio.timeout(conversation.bounds.longest_s):
            summary = await conversation.run()
            await conversation.send_json({"type": "done", **vars(summary), "signature": signed(summary)})
            await conversation.close(NORMAL, "")
            return summary
    except _Closed as closed:
        if closed.code is not None:
            await conversation.close(closed.code, closed.reason)
    except TimeoutError:
        await conversation.close(POLICY, f"a stream lasts at most {conversation.bounds.longest_s:g} s")
    except (ModelFault, InfrastructureFault, RequestRefused):
        await conversation.close(FAILED, "the model failed")
    return None


class _Conversation:
    def __init__(
        self,
        websocket: WebSocket,
        terms: StreamTerms,
        frames: DistantFrames,
        bounds: StreamBounds,
        monotonic_s: Callable[[], float],
    ) -> None:
        self.bounds = bounds
        self._websocket = websocket
        self._terms = terms
        self._frames = frames
        self._monotonic_s = monotonic_s
        # When each frame without an answer came. None ends the frames.
        self._unanswered: asyncio.Queue[float | None] = asyncio.Queue(bounds.unanswered_frames)
        self._latencies_ms: list[float] = []
        self._answered = 0
        self._sha_in, self._sha_out = hashlib.sha256(), hashlib.sha256()

    async def run(self) -> StreamSummary:
        await self._start()
        reading = asyncio.create_task(self._read())
        answering = asyncio.create_task(self._answer())
        tasks = {reading, answering}
        try:
            while tasks:
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in (reading, answering):
                task.cancel()
            await asyncio.gather(reading, answering, return_exceptions=True)
        return StreamSummary(self._answered, self._sha_in.hexdigest(), self._sha_out.hexdigest())

    async def _start(self) -> None:
        message = await self._message()
        values = _json_of(message)
        if values.get("type") != "start":
            raise _Closed(UNSUPPORTED, "the first message is not a start")
        if values.get("sample_rate_hz") != self._terms.sample_rate_hz or values.get("frame_ms") != STREAM_FRAME_MS:
            rate_hz = self._terms.sample_rate_hz
            raise _Closed(UNSUPPORTED, f"give sample_rate_hz {rate_hz} and frame_ms {STREAM_FRAME_MS}")
        ready = {"lookahead_ms": self._terms.lookahead_ms, "frame_samples": self._terms.frame_samples}
        await self.send_json({"type": "ready", **ready, **self._terms.facts})

    async def _read(self) -> None:
        """Read frames until the client ends the stream. A full queue stops the reading."""
        frame_bytes = 2 * self._terms.frame_samples
        began_s, count = self._monotonic_s(), 0
        while True:
            message = await self._message()
            frame = message.get("bytes")
            if frame is None:
                if _json_of(message).get("type") != "end":
                    raise _Closed(UNSUPPORTED, "a text is neither start nor end")
                await self._unanswered.put(None)
                return
            if len(frame) != frame_bytes:
                raise _Closed(UNSUPPORTED, f"a frame has {frame_bytes} bytes")
            came_s = self._monotonic_s()
            self._sha_in.update(frame)
            await self._frames.send(frame)
            await self._unanswered.put(came_s)
            count += 1
            await self._wait_for_pace(count, began_s)

    async def _wait_for_pace(self, count: int, began_s: float) -> None:
        """Wait while the client is too far ahead of what it could have spoken."""
        spoken_s = count * STREAM_FRAME_MS / 1_000 - 1.0
        ahead_s = spoken_s / self.bounds.speed - (self._monotonic_s() - began_s)
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)

    async def _answer(self) -> None:
        told_s = self._monotonic_s()
        while (came_s := await self._unanswered.get()) is not None:
            await self._send_frame(await self._frames.receive())
            self._answered += 1
            now_s = self._monotonic_s()
            self._latencies_ms.append(1_000 * (now_s - came_s))
            if now_s - told_s >= _STATS_S:
                told_s = now_s
                await self._send_stats()
        for frame in await self._frames.finish():
            await self._send_frame(frame)

    async def _send_stats(self) -> None:
        ordered = sorted(self._latencies_ms)
        self._latencies_ms.clear()
        quantiles = {f"latency_ms_p{p}": round(ordered[(len(ordered) - 1) * p // 100], 3) for p in (50, 99)}
        await self.send_json({"type": "stats", "frames": self._answered, **quantiles})

    async def _send_frame(self, frame: bytes) -> None:
        self._sha_out.update(frame)
        await self._sent({"type": "websocket.send", "bytes": frame})

    async def send_json(self, values: dict[str, Any]) -> None:
        await self._sent({"type": "websocket.send", "text": json.dumps(values, allow_nan=False)})

    async def _sent(self, message: dict[str, Any]) -> None:
        from starlette.websockets import WebSocketDisconnect

        try:
            async with asyncio.timeout(self.bounds.unread_s):
                await self._websocket.send(message)
        except TimeoutError:
            raise _Closed(POLICY, f"nothing was read for {self.bounds.unread_s:g} s") from None
        except (WebSocketDisconnect, RuntimeError, OSError):
            raise _Closed(None) from None

    async def _message(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self.bounds.idle_s):
                message = await self._websocket.receive()
        except TimeoutError:
            raise _Closed(POLICY, f"nothing came for {self.bounds.idle_s:g} s") from None
        if message["type"] == "websocket.disconnect":
            raise _Closed(None)
        return dict(message)

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket. It may be closed already, or its client may not read."""
        from starlette.websockets import WebSocketDisconnect

        with contextlib.suppress(WebSocketDisconnect, TimeoutError, RuntimeError, OSError):
            async with asyncio.timeout(1.0):
                await self._websocket.close(code, reason)


def _json_of(message: dict[str, Any]) -> dict[str, Any]:
    text = message.get("text")
    if not isinstance(text, str) or len(text) > _MAX_TEXT_CHARS:
        raise _Closed(UNSUPPORTED, "the message is not a short text")
    try:
        values = strict_json(text.encode(), max_depth=2)
    except (NotStrictJson, UnicodeError):
        raise _Closed(UNSUPPORTED, "the text is not JSON") from None
    if not isinstance(values, dict):
        raise _Closed(UNSUPPORTED, "the text is not a JSON object")
    return values
