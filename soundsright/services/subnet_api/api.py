"""The HTTP API of the coordinator: `POST /submit`, `GET /submissions`, `GET /challenge` and `GET /burn_ratio`.

Each request is signed, counted for its address, limited in size and verified before it is parsed. Times are in
whole seconds since the epoch, sizes in bytes.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from soundsright.core.ports import AcceptedImage
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
from soundsright.services.subnet_api.coordinator import CoolingDown, Coordinator

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

MAX_SUBMIT_BYTES = 2_000
MAX_READ_BYTES = 100
"""A request that only reads needs no body."""


class _SubmitRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    hotkey: str = Field(max_length=64)
    image_ref: str


class _Accepted(BaseModel):
    """A submission that stands. `next_allowed_at` is the time from which another image is accepted."""

    submission_id: str
    hotkey: str
    image_ref: str
    submit_time: int
    next_allowed_at: int


class _Refused(BaseModel):
    """A refusal. In the cool-down it has the submission that stands."""

    code: str
    sentence: str
    standing: _Accepted | None = None


class _Listed(BaseModel):
    hotkey: str
    uid: int
    image_ref: str
    submit_time: int


class _Challenge(BaseModel):
    round: str
    seed_block: int
    block_hash: str
    competition: str
    clips: int
    corpus_digest: str


class _BurnRatio(BaseModel):
    burn_ratio: float


def subnet_app(coordinator: Coordinator, *, admit: Admit, admit_read: Admit, throttle: Throttle) -> "FastAPI":
    """The app for miners, validators and executors.

    `admit` verifies the signature of a submission, and `admit_read` that of a read. `throttle` counts the requests
    of an address.
    """
    from fastapi import FastAPI

    app = FastAPI(
        title="SoundsRight coordinator of the executor",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=signed_refusals(),
    )
    answer_refusals(app)
    _answer_cool_downs(app)
    _add_submit(app, coordinator, admit, throttle)
    _add_reads(app, coordinator, admit_read, throttle)
    return app


def _accepted(accepted: AcceptedImage) -> dict[str, Any]:
    return {
        "submission_id": accepted.submission_id,
        **accepted.submission.facts(),
        "next_allowed_at": accepted.next_allowed_s,
    }


def _answer_cool_downs(app: "FastAPI") -> None:
    from starlette.responses import JSONResponse

    def cooling_down(_request: "Request", error: Any) -> JSONResponse:
        refusal = {"code": error.code, "sentence": error.sentence, "standing": _accepted(error.standing)}
        return JSONResponse(refusal, error.status, {"Retry-After": str(error.wait_s)})

    app.add_exception_handler(CoolingDown, cooling_down)


def _add_submit(app: "FastAPI", coordinator: Coordinator, admit: Admit, throttle: Throttle) -> None:
    from fastapi import Request
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    @app.post(
        "/submit",
        status_code=201,
        openapi_extra=described_body(_SubmitRequest),
        response_model=_Accepted,
        responses={
            200: {"model": _Accepted, "description": "The same image stands already"},
            429: {"model": _Refused, "description": "The hotkey is cooling down, or too many requests"},
        },
    )
    async def submit(request: Request) -> JSONResponse:
        sender, body = await signed_body(request, admit=admit, throttle=throttle, max_bytes=MAX_SUBMIT_BYTES)
        asked = parsed(_SubmitRequest, body)
        accepted = await run_in_threadpool(coordinator.submit, sender, asked.hotkey, asked.image_ref)
        vouch(request)
        return JSONResponse(_accepted(accepted), 201 if accepted.is_new else 200)


def _add_reads(app: "FastAPI", coordinator: Coordinator, admit_read: Admit, throttle: Throttle) -> None:
    from fastapi import Request
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response

    async def sender_of(request: Request) -> str:
        sender, _ = await signed_body(request, admit=admit_read, throttle=throttle, max_bytes=MAX_READ_BYTES)
        return sender

    @app.get(
        "/submissions",
        response_model=list[_Listed],
        responses={304: {"description": "Not changed since the version that If-None-Match names"}},
    )
    async def submissions(request: Request) -> Response:
        body = await run_in_threadpool(coordinator.submissions, await sender_of(request))
        vouch(request)
        return body.answer(request)

    @app.get("/challenge")
    async def challenge(request: Request) -> _Challenge:
        found = await run_in_threadpool(coordinator.challenge, await sender_of(request))
        vouch(request)
        return _Challenge.model_validate(found.facts())

    @app.get("/burn_ratio")
    async def burn_ratio(request: Request) -> _BurnRatio:
        ratio = await run_in_threadpool(coordinator.burn_ratio, await sender_of(request))
        vouch(request)
        return _BurnRatio(burn_ratio=ratio)
