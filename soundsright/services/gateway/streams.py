"""The gateway's WebSocket `/v1/stream`: live audio through the best prover that streams. Times are in seconds."""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, PeerUnavailable, RequestRefused
from soundsright.core.ports import LiveProvers, ProverStream
from soundsright.services.gateway.access import STREAM_SUBPROTOCOL, GatewayAccess, Listener
from soundsright.services.gateway.enhancing import Gateway, no_prover
from soundsright.services.gateway.offers import LiveOffers
from soundsright.services.http import deny
from soundsright.services.streaming import StreamBounds, StreamPlaces, StreamTerms, converse
from soundsright.services.verifier import ServingProver

if TYPE_CHECKING:
    from fastapi import FastAPI


def add_stream(
    app: "FastAPI", gateway: Gateway, live: LiveProvers, offers: LiveOffers, access: GatewayAccess
) -> None:
    """Add the route. A refusal is an HTTP answer, as for other requests."""
    from fastapi import WebSocket, WebSocketDisconnect
    from starlette.concurrency import run_in_threadpool

    limits = gateway.limits
    places = StreamPlaces(limits.streams, limits.streams_per_key, limits.streams_per_address)

    @app.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        try:
            listener = access.listener(websocket)
            competition = gateway.competition(websocket.query_params.get("competition", ""))
            with places.taken(listener.key, listener.address):
                async with opened(competition) as (prover, frames):
                    await _lead(websocket, listener, competition, prover, frames)
        except (RequestRefused, InfrastructureFault) as error:
            await deny(websocket, error)
        except WebSocketDisconnect:
            return  # The client left before it was accepted.

    @asynccontextmanager
    async def opened(competition: Competition) -> AsyncIterator[tuple[ServingProver, ProverStream]]:
        """A stream of the best prover that opens one."""
        best = await run_in_threadpool(gateway.best_provers, competition)
        able = await offers.streaming(best, competition.sample_rate_hz)
        for prover in able[: limits.tries]:
            if not await run_in_threadpool(gateway.take_request, prover):
                continue
            opening = live.stream(prover.prover, competition.sample_rate_hz, timeout_s=limits.open_s)
            try:
                frames = await opening.__aenter__()
            except PeerUnavailable as error:
                if error.code == "no_stream":
                    offers.forget(prover)
                gateway.note_failure(prover.hotkey)
                continue
            try:
                yield prover, frames
            finally:
                await opening.__aexit__(None, None, None)
            return
        raise no_prover(competition)

    async def _lead(
        websocket: WebSocket,
        listener: Listener,
        competition: Competition,
        prover: ServingProver,
        frames: ProverStream,
    ) -> None:
        offered = websocket.scope.get("subprotocols", ())
        await websocket.accept(STREAM_SUBPROTOCOL if STREAM_SUBPROTOCOL in offered else None)
        opening = frames.opening
        facts = {
            "prover": prover.hotkey,
            "tier": prover.tier,
            "verified": "true" if prover.is_verified else "false",
            "sender": opening.sender,
            "nonce": str(opening.nonce),
        }
        terms = StreamTerms(competition.sample_rate_hz, opening.lookahead_ms, facts)
        bounds = StreamBounds(longest_s=limits.stream_longest_s(listener.is_demo))
        await converse(websocket, terms, frames, bounds=bounds, signed=lambda _summary: frames.signature)
