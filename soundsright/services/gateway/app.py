"""The gateway's HTTP interface: `POST /v1/enhance`, `GET /v1/provers`, `/v1/stream` and the page `/try`.

A request is counted for its address and its key before its body is read. Sizes are in bytes, times in seconds.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

import asyncio
import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from soundsright.core.errors import RequestRefused, UsageError
from soundsright.core.ports import LiveProvers
from soundsright.services.gateway.access import GatewayAccess
from soundsright.services.gateway.enhancing import Gateway
from soundsright.services.gateway.offers import LiveOffers
from soundsright.services.gateway.page import add_page
from soundsright.services.gateway.streams import add_stream
from soundsright.services.http import answer_refusals, bounded_body, refusals
from soundsright.services.streaming import StreamPlaces
from soundsright.services.verifier import ServingProver

if TYPE_CHECKING:
    from fastapi import FastAPI

_WAV = "audio/wav"
_MOST_SHOWN = 100
_REFUSALS = refusals(
    s401="There is no key, or an unknown one",
    s403="A page of another site sent the request without a key",
    s404="There is no such competition",
    s413="The recording is too long",
    s422="The recording is not a mono 16-bit WAV at the competition's rate",
    s429="Too many requests",
    s503="No prover answers now",
)


def gateway_app(gateway: Gateway, live: LiveProvers, access: GatewayAccess) -> "FastAPI":
    """The app of a gateway. Run it by `HttpService` with `has_streams`."""
    try:
        from fastapi import FastAPI
    except ImportError as error:
        raise UsageError(
            "The gateway needs FastAPI, which is not installed", "Run `pip install soundsright`."
        ) from error

    app = FastAPI(title="SoundsRight gateway", version="1", docs_url=None, redoc_url=None)
    answer_refusals(app)
    offers = LiveOffers(live)
    _add_enhance(app, gateway, access)
    _add_provers(app, gateway, access, offers)
    add_stream(app, gateway, live, offers, access)
    add_page(app, gateway, access)
    return app


def _add_enhance(app: "FastAPI", gateway: Gateway, access: GatewayAccess) -> None:
    from fastapi import Request, Response

    limits = gateway.limits
    threads = ThreadPoolExecutor(limits.requests, "gateway")
    places = StreamPlaces(
        in_all=limits.requests,
        per_key=limits.requests_per_key,
        per_address=limits.requests_per_key,
        what="requests",
        retry_after_s=2,
    )
    answers: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "The enhanced recording",
            "content": {_WAV: {"schema": {"type": "string", "format": "binary"}}},
            "headers": {name: {"schema": {"type": "string"}} for name in _answer_headers_of()},
        }
    }

    @app.post(
        "/v1/enhance",
        response_class=Response,
        responses=answers | _REFUSALS,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {_WAV: {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def enhance(request: Request, competition: str = "") -> Response:
        """Enhance a recording: a mono 16-bit WAV at the competition's rate."""
        listener = access.listener(request)
        chosen = gateway.competition(competition)
        max_bytes = gateway.max_body_bytes(is_demo=listener.is_demo)
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes:
            raise RequestRefused("too_large", f"A request may have at most {max_bytes} bytes", status=413)
        wav = await bounded_body(request, max_bytes)
        with places.taken(listener.key, listener.address):
            done = await asyncio.get_running_loop().run_in_executor(
                threads, lambda: gateway.enhance(wav, chosen, is_demo=listener.is_demo)
            )
        headers = _answer_headers_of(done.prover, done.latency_ms)
        return Response(done.wav, 200, headers, _WAV)


def _answer_headers_of(prover: ServingProver | None = None, latency_ms: float = 0.0) -> dict[str, str]:
    """The headers of an answer."""
    return {
        "X-Prover": prover.hotkey if prover else "",
        "X-Tier": prover.tier if prover else "",
        "X-Latency-Ms": f"{latency_ms:.1f}",
        "X-Verified": "true" if prover and prover.is_verified else "false",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }


def _add_provers(app: "FastAPI", gateway: Gateway, access: GatewayAccess, offers: LiveOffers) -> None:
    from fastapi import Request, Response
    from starlette.responses import JSONResponse

    @app.get("/v1/provers", response_model=dict[str, Any], responses=_REFUSALS)
    async def provers(request: Request, competition: str = "") -> Response:
        """The ladder in short: the provers of a competition that can be asked now, best first."""
        access.counted(request)
        chosen = gateway.competition(competition)
        rows = [_row(each, offers.streams(each)) for each in gateway.best_provers(chosen)[:_MOST_SHOWN]]
        facts = {"competition": chosen.id, "sample_rate_hz": chosen.sample_rate_hz, "provers": rows}
        return JSONResponse(facts, headers={"Cache-Control": "no-store"})


def _row(prover: ServingProver, streams: bool | None) -> dict[str, Any]:
    latencies_s = prover.latencies_s
    return {
        "hotkey": prover.hotkey,
        "uid": prover.uid,
        "tier": prover.tier,
        "model": prover.model,
        "verified": prover.is_verified,
        "requests_left": prover.requests_left,
        "latency_ms": round(1_000 * statistics.median(latencies_s), 1) if latencies_s else None,
        "streams": streams,
    }
