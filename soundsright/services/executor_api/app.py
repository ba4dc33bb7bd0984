"""The executor's HTTP interface: `POST /update` and `GET /metrics` for validators, results for everybody.

Each request is counted for its address and limited in size. A signed one is verified before it is parsed. Sizes are
in bytes.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soundsright.core.canonical import canonical_json
from soundsright.core.endpoint import client_network
from soundsright.core.errors import EntryRefused, RequestRefused
from soundsright.core.images import MAX_SUBMISSIONS, PublishedTable
from soundsright.core.ports import ImageExecutor, TakenSubmissions
from soundsright.services.executor_api.submissions import listed_submissions
from soundsright.services.executor_api.tables import TableBodies, older_rows_json
from soundsright.services.http import (
    Admit,
    Throttle,
    answer_refusals,
    described_body,
    names_etag,
    refusals,
    sign_answers,
    signed_body,
    signed_refusals,
    vouch,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_UPDATE_BYTES = 2_000_000
"""Enough for the longest list of submissions with the longest names."""

_MAX_READ_BYTES = 1_000
_MAX_SIGNED_BYTES = 64 << 20
_ROUND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NONCE = "x-bittensor-nonce"


@dataclass(frozen=True)
class ExecutorAccess:
    """The checks of requests.

    `admit` verifies the signature of a write, `admit_read` that of a read, in any dialect. `throttle` counts the
    requests of an address. `check_validator` raises `RequestRefused` if the hotkey may not call; it may read the
    chain.
    """

    admit: Admit
    admit_read: Admit
    throttle: Throttle
    check_validator: Callable[[str], None]


def executor_app(
    executor: ImageExecutor, access: ExecutorAccess, *, sign: Callable[[bytes], bytes] | None = None
) -> "FastAPI":
    """The app of an executor. `sign` signs its answers to signed requests, by the executor's hotkey."""
    from fastapi import FastAPI

    app = FastAPI(
        title="SoundsRight executor, for validators",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=signed_refusals() | refusals(s404="There is no such round"),
    )
    answer_refusals(app)
    _add_update(app, executor, access)
    _add_tables(app, executor, access)
    _add_public(app, executor, access)
    if sign is not None:
        sign_answers(app, sign, max_bytes=_MAX_SIGNED_BYTES)
    return app


_UPDATE_FORM = {
    "title": "Submissions",
    "type": "array",
    "maxItems": MAX_SUBMISSIONS,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["hotkey", "image_ref", "submit_time"],
        "properties": {
            "hotkey": {"type": "string", "maxLength": 64},
            "image_ref": {"type": "string", "maxLength": 400},
            "submit_time": {"type": "integer", "minimum": 0},
            "uid": {"type": ["integer", "null"], "minimum": 0, "maximum": 65_535},
        },
    },
}


def _add_update(app: "FastAPI", executor: ImageExecutor, access: ExecutorAccess) -> None:
    from fastapi import Request
    from pydantic import BaseModel
    from starlette.concurrency import run_in_threadpool

    class Taken(BaseModel):
        count: int
        new: int
        changed: int

    def take(sender: str, body: bytes) -> TakenSubmissions:
        access.check_validator(sender)
        submissions = listed_submissions(body)
        try:
            return executor.take(submissions)
        except EntryRefused as refused:
            raise RequestRefused(refused.code, refused.sentence, status=422) from None

    @app.post("/update", openapi_extra=described_body(_UPDATE_FORM))
    async def update(request: Request) -> Taken:
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > MAX_UPDATE_BYTES:
            raise RequestRefused("too_large", f"An update may have at most {MAX_UPDATE_BYTES} bytes", status=413)
        sender, body = await signed_body(
            request, admit=access.admit, throttle=access.throttle, max_bytes=MAX_UPDATE_BYTES
        )
        taken = await run_in_threadpool(take, sender, body)
        vouch(request)
        return Taken(count=taken.count, new=taken.new, changed=taken.changed)


def _add_tables(app: "FastAPI", executor: ImageExecutor, access: ExecutorAccess) -> None:
    from fastapi import Request, Response
    from starlette.concurrency import run_in_threadpool

    bodies = TableBodies()

    async def read(request: Request, answer: Callable[[PublishedTable], Response]) -> Response:
        sender, _ = await signed_body(
            request, admit=access.admit_read, throttle=access.throttle, max_bytes=_MAX_READ_BYTES
        )

        def checked() -> Response:
            access.check_validator(sender)
            return answer(executor.table())

        response = await run_in_threadpool(checked)
        vouch(request)
        return response

    @app.get("/metrics", response_model=list[dict[str, Any]], responses=_NOT_MODIFIED)
    async def metrics(request: Request) -> Response:
        if_none_match = request.headers.get("if-none-match", "")
        known = request.query_params.get("known", "")

        def answer(table: PublishedTable) -> Response:
            etag = f'"{table.version}"'
            headers = {"ETag": etag, "X-Round": table.round_id, "Cache-Control": "no-cache"}
            # The query is signed, and the header is not. A client that sends both gets a 304 only if both agree.
            if known in ("", table.version) and names_etag(if_none_match, etag):
                return Response(status_code=304, headers=headers)
            return Response(bodies.of(table), headers=headers, media_type="application/json")

        return await read(request, answer)

    @app.get("/scores", response_model=list[dict[str, Any]])
    async def scores(request: Request) -> Response:
        return await read(request, lambda table: Response(older_rows_json(table), media_type="application/json"))


_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The table has not changed"}}


def _add_public(app: "FastAPI", executor: ImageExecutor, access: ExecutorAccess) -> None:
    """The routes for everybody. The answer to a signed request is signed, also that there is no such round."""
    from fastapi import Request, Response
    from starlette.concurrency import run_in_threadpool

    async def counted(request: Request) -> None:
        if _NONCE in request.headers:
            await signed_body(request, admit=access.admit_read, throttle=access.throttle, max_bytes=_MAX_READ_BYTES)
        else:
            access.throttle(client_network(request.client.host if request.client else ""))

    @app.get("/results/{round_id}", response_model=dict[str, Any])
    async def results(request: Request, round_id: str) -> Response:
        await counted(request)
        # The name comes from a stranger, so only the form of a round's name reaches the database.
        envelope = await run_in_threadpool(executor.results, round_id) if _ROUND.fullmatch(round_id) else None
        if envelope is None:
            raise RequestRefused("no_round", "No such round was published here", status=404)
        return Response(envelope, media_type="application/json")

    @app.get("/healthz", response_model=dict[str, Any])
    async def healthz(request: Request) -> Response:
        await counted(request)
        status = await run_in_threadpool(executor.status)
        return Response(canonical_json(dict(status)), media_type="application/json")
