"""The miner's HTTP API for validators: `POST /reveal` and `POST /feedback`, both signed.

Each request is counted for its address, limited in size and verified before it is parsed. Its sender must be
a validator. Sizes are in bytes.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

from typing import TYPE_CHECKING, Literal

from soundsright.core.errors import RequestRefused
from soundsright.services.http import (
    Admit,
    Throttle,
    answer_refusals,
    described_body,
    parsed,
    signed_body,
    signed_refusals,
    vouch,
)
from soundsright.services.miner.service import MinerService
from soundsright.services.records import FEEDBACK, MAX_ENVELOPE_BYTES, RevealDocument, envelope_form

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_REVEAL_BYTES = 2_000


def miner_app(miner: MinerService, *, admit: Admit, throttle: Throttle) -> "FastAPI":
    """The app for validators. `admit` verifies a signature; `throttle` counts the requests of an address."""
    from fastapi import FastAPI, Request
    from pydantic import BaseModel, Field
    from starlette.concurrency import run_in_threadpool

    class RevealRequest(BaseModel):
        request_schema: Literal["soundsright.reveal/2"] = Field(alias="schema")
        round: str = Field(max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")

    class Stored(BaseModel):
        stored: str

    app = FastAPI(
        title="SoundsRight miner, for validators",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=signed_refusals(),
    )
    answer_refusals(app)

    async def signed(request: Request, max_bytes: int) -> tuple[str, bytes]:
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > max_bytes:
            raise RequestRefused("too_large", f"A request may have at most {max_bytes} bytes", status=413)
        return await signed_body(request, admit=admit, throttle=throttle, max_bytes=max_bytes)

    @app.post("/reveal", openapi_extra=described_body(RevealRequest))
    async def reveal(request: Request) -> RevealDocument:
        sender, body = await signed(request, MAX_REVEAL_BYTES)
        asked = parsed(RevealRequest, body)
        # The miner can have to read the chain.
        document = await run_in_threadpool(miner.reveal, sender, asked.round)
        vouch(request)
        return RevealDocument.model_validate(document)

    @app.post("/feedback", openapi_extra=described_body(envelope_form(FEEDBACK)))
    async def feedback(request: Request) -> Stored:
        sender, body = await signed(request, MAX_ENVELOPE_BYTES)
        stored = await run_in_threadpool(miner.receive_feedback, sender, body)
        vouch(request)
        return Stored.model_validate(stored)

    return app
