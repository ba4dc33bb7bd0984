"""The validator's HTTP API for other validators: `POST /reveals`, signed.

Each request is counted for its address, limited in size and verified before it is parsed. Its sender must be a
validator.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

from typing import TYPE_CHECKING

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
from soundsright.services.validator.gossip import (
    MAX_REQUEST_BYTES,
    REVEALS_PATH,
    RevealsReply,
    RevealsRequest,
    SharedReveals,
)

if TYPE_CHECKING:
    from fastapi import FastAPI


def validator_app(shared: SharedReveals, *, admit: Admit, throttle: Throttle) -> "FastAPI":
    """The app for other validators. `admit` verifies a signature; `throttle` counts the requests of an address."""
    from fastapi import FastAPI, Request

    app = FastAPI(
        title="SoundsRight validator, for validators",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=signed_refusals(),
    )
    answer_refusals(app)

    @app.post(REVEALS_PATH, openapi_extra=described_body(RevealsRequest))
    async def reveals(request: Request) -> RevealsReply:
        sender, body = await signed_body(request, admit=admit, throttle=throttle, max_bytes=MAX_REQUEST_BYTES)
        reply = shared.reply(sender, parsed(RevealsRequest, body))
        vouch(request)
        return reply

    return app
