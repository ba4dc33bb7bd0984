"""A listening test over HTTP: the page, its files, and three requests of the browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from soundsright.core.endpoint import client_network
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.services.drawing import ASSETS, HEADERS, Frame, asset
from soundsright.services.listening.room import ListeningRoom

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY_BYTES = 16 << 10
_NO_STORE = {**HEADERS, "Cache-Control": "no-store"}


def listening_app(room: ListeningRoom) -> FastAPI:
    """The test as an ASGI application.

    Raises:
        UsageError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI
    except ImportError as error:
        raise UsageError(
            "The listening test needs FastAPI, which is not installed", "Run `pip install soundsright`."
        ) from error

    app = FastAPI(title="SoundsRight listening test", docs_url=None, redoc_url=None, openapi_url=None)
    _add_pages(app, room)
    _add_requests(app, room)
    return app


def _add_pages(app: FastAPI, room: ListeningRoom) -> None:
    """The page of the test and its static files."""
    from starlette.responses import Response

    page = Frame().page("listen.html.j2", "", title="Listening test", test=room.test, is_open=room.is_open)
    files = {name: asset(name) for name in ASSETS}

    def home(request: Request) -> Response:
        return Response(page.body, 200, _NO_STORE, page.media_type)

    def static(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            return _json(404, problem="There is no such file.")
        return Response(file.body, 200, {**HEADERS, "Cache-Control": "max-age=3600"}, file.media_type)

    app.add_route("/", home, methods=["GET"])
    app.add_route("/assets/{name}", static, methods=["GET"])


def _add_requests(app: FastAPI, room: ListeningRoom) -> None:
    """The requests of the page: enter the test, load a sound, send an answer."""
    from starlette.responses import Response

    async def enter(request: Request) -> Response:
        client = client_network(request.client.host if request.client else "")
        return await _handled(request, lambda body: room.enter(body, client))

    def sound(request: Request) -> Response:
        if request.method != "GET":
            # A recording counts as sent only if it was.
            return _json(405, problem="Load the recording with GET.")
        try:
            wav = room.sound(request.path_params["rater"], request.path_params["word"])
        except InfrastructureFault as fault:
            return _json(500, problem=str(fault))
        if wav is None:
            return _json(404, problem="There is no such sound.")
        return Response(wav, 200, _NO_STORE, "audio/wav")

    async def answer(request: Request) -> Response:
        return await _handled(request, lambda body: {"left": room.answer(body)})

    app.add_route("/api/enter", enter, methods=["POST"])
    app.add_route("/api/answer", answer, methods=["POST"])
    app.add_route("/api/sound/{rater}/{word}.wav", sound, methods=["GET"])


async def _handled(request: Request, handle: Callable[[bytes], dict[str, Any]]) -> Response:
    """The reply to a request with a body, or the problem as JSON."""
    from starlette.concurrency import run_in_threadpool

    if _is_foreign(request):
        return _json(403, problem="Only the page of this test may send this request.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return _json(413, problem=f"The request is larger than {MAX_BODY_BYTES} bytes.")
    try:
        return _json(200, **await run_in_threadpool(handle, body))
    except UsageError as error:
        return _json(400, problem=str(error))
    except InfrastructureFault as fault:
        return _json(503, problem=str(fault))


def _is_foreign(request: Request) -> bool:
    """Whether the page of another site sent this request. Browsers report that in a header."""
    content_type = request.headers.get("content-type", "").partition(";")[0]
    site = request.headers.get("sec-fetch-site", "same-origin")
    return site != "same-origin" or content_type != "application/json"


def _json(status: int, **values: object) -> Response:
    from starlette.responses import Response

    return Response(json.dumps(values), status, _NO_STORE, "application/json")
