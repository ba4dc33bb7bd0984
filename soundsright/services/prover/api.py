"""The prover's HTTP interface: `GET /v1/model`, `POST /challenge`, `POST /inference`, `/v1/stream`.

Each request is counted for its address, limited in size and verified before it is parsed. Sizes are in bytes.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from soundsright.core.audio import pcm16
from soundsright.core.canonical import canonical_json
from soundsright.core.endpoint import client_network
from soundsright.core.errors import RequestRefused
from soundsright.core.tiers import CHALLENGE_SCHEMA, INFERENCE_SCHEMA
from soundsright.core.wav import encode_wav
from soundsright.ranking import pcm_sha256
from soundsright.services.http import (
    answer_refusals,
    described_body,
    refusals,
    sign_answers,
    signed_body,
    signed_refusals,
    trailing_response,
    vouch,
)
from soundsright.services.prover.access import ProverAccess
from soundsright.services.prover.keeping import Enhanced
from soundsright.services.prover.requests import AudioRequest, audio_request, max_request_bytes
from soundsright.services.prover.service import Prover
from soundsright.services.prover.streams import add_stream
from soundsright.services.streaming import StreamBounds

if TYPE_CHECKING:
    from fastapi import FastAPI

_MAX_SIGNED_BYTES = 64 << 20
_MAX_READ_BYTES = 1_000
_CHUNK_BYTES = 32 << 10
_NONCE = "x-bittensor-nonce"


def prover_app(
    prover: Prover, access: ProverAccess, *, sign: Callable[[bytes], bytes], bounds: StreamBounds | None = None
) -> "FastAPI":
    """The app of a prover. `sign` signs its answers by the prover's hotkey. `bounds` limits each stream."""
    from fastapi import FastAPI

    app = FastAPI(
        title="SoundsRight prover",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=signed_refusals() | refusals(s500="The model did not enhance the recording"),
    )
    answer_refusals(app)
    _add_model(app, prover, access)
    _add_audio(app, prover, access)
    add_stream(app, prover, access, sign, places=prover.stream_places(), bounds=bounds or StreamBounds())
    sign_answers(app, sign, max_bytes=_MAX_SIGNED_BYTES)
    return app


def _add_model(app: "FastAPI", prover: Prover, access: ProverAccess) -> None:
    from fastapi import Request, Response

    @app.get("/v1/model", response_model=dict[str, Any])
    async def model(request: Request) -> Response:
        """The model behind this address. Everybody may ask; the answer to a signed request is signed."""
        if _NONCE in request.headers:
            await signed_body(request, admit=access.admit, throttle=access.throttle, max_bytes=_MAX_READ_BYTES)
        else:
            access.throttle(client_network(request.client.host if request.client else ""))
        return Response(prover.served().json, media_type="application/json")


def _form(schema: str) -> dict[str, Any]:
    return {
        "title": schema,
        "type": "object",
        "additionalProperties": False,
        "required": ["schema", "request_id", "competition", "seed", "audio"],
        "properties": {
            "schema": {"const": schema},
            "request_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"},
            "competition": {"type": "string"},
            "seed": {"type": ["integer", "string"], "description": "64 bits, or at most 128 characters"},
            "audio": {"type": "string", "contentEncoding": "base64", "contentMediaType": "audio/wav"},
        },
    }


def _add_audio(app: "FastAPI", prover: Prover, access: ProverAccess) -> None:
    from fastapi import Request, Response
    from starlette.concurrency import run_in_threadpool

    max_bytes = max_request_bytes(prover.offer)

    async def enhanced(request: Request, schema: str) -> tuple[AudioRequest, Enhanced]:
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes:
            raise RequestRefused("too_large", f"A request may have at most {max_bytes} bytes", status=413)
        sender, body = await signed_body(request, admit=access.admit, throttle=access.throttle, max_bytes=max_bytes)
        await run_in_threadpool(access.check_caller, sender)
        vouch(request)
        served = prover.served()
        asked = await run_in_threadpool(audio_request, body, schema, served)
        return asked, await asyncio.wrap_future(prover.enhance(asked.audio, sender))

    @app.post("/challenge", openapi_extra=described_body(_form(CHALLENGE_SCHEMA)), response_model=dict[str, Any])
    async def challenge(request: Request) -> Response:
        asked, done = await enhanced(request, CHALLENGE_SCHEMA)
        return Response(
            await run_in_threadpool(_challenge_answer, prover, asked, done), media_type="application/json"
        )

    @app.post(
        "/inference",
        openapi_extra=described_body(_form(INFERENCE_SCHEMA)),
        responses={200: {"content": {"audio/wav": {}}}},
        response_class=Response,
    )
    async def inference(request: Request) -> Response:
        asked, done = await enhanced(request, INFERENCE_SCHEMA)
        headers = {
            "X-Request-Id": asked.request_id,
            "X-Queued-S": f"{done.queued_s:.6f}",
            "X-Busy-S": f"{done.busy_s:.6f}",
        }
        wav = await run_in_threadpool(encode_wav, done.audio)
        return trailing_response(_pieces(wav), media_type="audio/wav", headers=headers)


def _challenge_answer(prover: Prover, asked: AudioRequest, done: Enhanced) -> bytes:
    wav = encode_wav(done.audio)
    values = {
        "request_id": asked.request_id,
        "model": prover.offer.model,
        "audio": base64.b64encode(wav).decode(),
        "sha256": pcm_sha256(pcm16(done.audio.samples), done.audio.sample_rate_hz),
        "queued_s": round(done.queued_s, 6),
        "busy_s": round(done.busy_s, 6),
    }
    return canonical_json(values).encode()


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]
