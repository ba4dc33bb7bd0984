"""The page `/try` and its files: a listener records or drops a file, and hears it before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundsright.services.drawing import HEADERS, Frame, asset
from soundsright.services.gateway.access import KEY_SUBPROTOCOL, STREAM_SUBPROTOCOL, GatewayAccess
from soundsright.services.gateway.enhancing import Gateway

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

_HEADERS = {**HEADERS, "Permissions-Policy": "camera=(), microphone=(self), geolocation=()"}
_FILES = ("mark.svg", "board.css", "spectrogram.js", "player.js", "try.js", "live_worklet.js")


def add_page(app: FastAPI, gateway: Gateway, access: GatewayAccess) -> None:
    """Add the page and its static files."""
    from starlette.responses import JSONResponse, RedirectResponse, Response

    competitions = [
        {"name": each.id, "title": each.title, "rate_hz": each.sample_rate_hz} for each in gateway.competitions
    ]
    page = Frame().page(
        "try.html.j2",
        "",
        title="Try it",
        competitions=competitions,
        open_demo=access.open_demo,
        max_audio_s=gateway.limits.max_audio_s,
        demo_max_audio_s=gateway.limits.audio_s(is_demo=True),
        stream_subprotocol=STREAM_SUBPROTOCOL,
        key_subprotocol=KEY_SUBPROTOCOL,
    )
    files = {name: asset(name) for name in _FILES}

    def show(request: Request) -> Response:
        access.counted(request)
        return Response(page.body, 200, {**_HEADERS, "Cache-Control": "no-store"}, page.media_type)

    def static(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            return JSONResponse({"code": "no_file", "sentence": "There is no such file"}, 404)
        return Response(file.body, 200, {**_HEADERS, "Cache-Control": "max-age=3600"}, file.media_type)

    def home(request: Request) -> Response:
        return RedirectResponse("try")

    app.add_route("/", home, methods=["GET"])
    app.add_route("/try", show, methods=["GET"])
    app.add_route("/assets/{name}", static, methods=["GET"])
