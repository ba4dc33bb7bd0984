"""The prover's WebSocket `/v1/stream`: live audio through the model that runs. Times are in seconds."""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from soundsright.core.endpoint import client_network
from soundsright.core.errors import InfrastructureFault, ModelFault, RequestRefused
from soundsright.core.ports import ModelStream
from soundsright.core.signed_http import stream_text
from soundsright.services.http import deny, signed_upgrade, vouch
from soundsright.services.prover.access import ProverAccess
from soundsright.services.prover.service import Prover
from soundsright.services.streaming import StreamBounds, StreamPlaces, StreamSummary, StreamTerms, converse

if TYPE_CHECKING:
    from fastapi import FastAPI


class _ModelFrames:
    """The frames of a model on this machine. A thread of its own waits for them."""

    def __init__(self, stream: ModelStream, thread: ThreadPoolExecutor) -> None:
        self._stream = stream
        self._thread = thread

    async def exchange(self, frame: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._stream.exchange, frame)

    async def finish(self) -> Sequence[bytes]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._stream.finish)


def add_stream(
    app: "FastAPI",
    prover: Prover,
    access: ProverAccess,
    sign: Callable[[bytes], bytes],
    *,
    places: StreamPlaces,
    bounds: StreamBounds,
) -> None:
    """Add the route. `places` limits the streams, of one caller and of one address."""
    from fastapi import WebSocket, WebSocketDisconnect
    from starlette.concurrency import run_in_threadpool

    @app.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        try:
            sender, nonce = signed_upgrade(websocket, admit=access.admit, throttle=access.throttle)
            await run_in_threadpool(access.check_caller, sender)
            lookahead_ms = prover.stream_lookahead_ms()
            address = client_network(websocket.client.host if websocket.client else "")
            vouch(websocket)
            with places.taken(sender, address), ThreadPoolExecutor(1, "stream") as thread:
                await _lead(websocket, thread, lookahead_ms, lambda each: _signature(sign, nonce, sender, each))
        except (RequestRefused, InfrastructureFault) as error:
            await deny(websocket, error)
        except WebSocketDisconnect:
            return  # The client left before it was accepted.

    async def _lead(
        websocket: WebSocket,
        thread: ThreadPoolExecutor,
        lookahead_ms: float,
        signed: Callable[[StreamSummary], str],
    ) -> None:
        loop = asyncio.get_running_loop()
        opened = prover.stream()
        try:
            model = await loop.run_in_executor(thread, opened.__enter__)
        except ModelFault:
            raise RequestRefused("model_failed", "The model did not begin a stream", status=500) from None
        try:
            await websocket.accept()
            terms = StreamTerms(prover.offer.sample_rate_hz, lookahead_ms, {"prover": prover.offer.hotkey})
            await converse(websocket, terms, _ModelFrames(model, thread), bounds=bounds, signed=signed)
        finally:
            await loop.run_in_executor(thread, opened.__exit__, None, None, None)


def _signature(sign: Callable[[bytes], bytes], nonce: int, sender: str, summary: StreamSummary) -> str:
    text = stream_text(nonce, sender, summary.frames, summary.sha256_in, summary.sha256_out)
    return "0x" + sign(text).hex()
