"""What validators ask of a miner, over signed HTTP: `POST /reveal` and `POST /feedback`.

A request is counted by address, bounded in size, verified, and only then parsed; then its sender must be a
validator. Sizes are in bytes.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these are of names inside a function.

from typing import TYPE_CHECKING

from soundsright.core.errors import RequestRefused
from soundsright.services.http import Admit, Throttle, answer_refusals, parsed, signed_body
from soundsright.services.miner.service import MinerService
from soundsright.services.records import MAX_ENVELOPE_BYTES

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_REVEAL_BYTES = 2_000


def miner_app(miner: MinerService, *, admit: Admit, throttle: Throttle) -> "FastAPI":
    """The app that validators reach. `admit` verifies a signature, `throttle` counts an address's requests."""
    from fastapi import FastAPI, Request
    from pydantic import BaseModel, Field
    from starlette.concurrency import run_in_threadpool

    class RevealAsked(BaseModel):
        asked: str = Field(alias="schema", pattern=r"^soundsright\.reveal/1$")

    class RevealTold(BaseModel):
        told: str = Field(alias="schema")
        hotkey: str
        namespace: str
        name: str
        revision: str
        competition: str

    class Stored(BaseModel):
        stored: str

    app = FastAPI(title="SoundsRight miner, for validators", version="1", docs_url=None, redoc_url=None)
    answer_refusals(app)

    async def signed(request: Request, max_bytes: int) -> tuple[str, bytes]:
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > max_bytes:
            raise RequestRefused("too_large", f"A request holds at most {max_bytes} bytes", status=413)
        return await signed_body(request, admit=admit, throttle=throttle, max_bytes=max_bytes)

    @app.post("/reveal")
    async def reveal(request: Request) -> RevealTold:
        sender, body = await signed(request, MAX_REVEAL_BYTES)
        parsed(RevealAsked, body)
        return RevealTold.model_validate(miner.reveal(sender))

    @app.post("/feedback")
    async def feedback(request: Request) -> Stored:
        sender, body = await signed(request, MAX_ENVELOPE_BYTES)
        return Stored.model_validate(await run_in_threadpool(miner.take_feedback, sender, body))

    return app
