"""A private competition's chain for many hosts: reads for everybody, writes signed by the hotkey that they concern.

Blocks are counted, times in seconds since the epoch. The organiser's account registers hotkeys and makes blocks;
where registration is open, a hotkey registers itself, without stake or permit.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these are of names inside a function.

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from soundsright.core.endpoint import MAX_CHARS as MAX_ENDPOINT_CHARS
from soundsright.core.errors import RequestRefused, UsageError
from soundsright.core.ports import BlockRef, LiveChain, TxResult
from soundsright.services.http.requests import Admit, Throttle, answer_refusals, parsed, signed_body

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_BODY_BYTES = 400_000
MAX_WEIGHTS = 4_096


class OwnChain(LiveChain, Protocol):
    """A chain of one's own: its registrar and its author are here."""

    def register(self, hotkey: str, *, stake: float = 0.0, permit: bool = False) -> int: ...
    def advance(self, blocks: int = 1) -> BlockRef: ...
    def weights(self, validator: str) -> dict[int, float]: ...


def chain_app(
    chain: OwnChain,
    *,
    address: str,
    organiser: str,
    admit: Admit,
    throttle: Throttle,
    is_address: Callable[[str], bool],
    open_registration: bool = False,
) -> "FastAPI":
    """The chain's HTTP service. `address` is its own account, which requests are bound to."""
    from fastapi import FastAPI, Query, Request
    from pydantic import BaseModel, ConfigDict, Field
    from starlette.concurrency import run_in_threadpool

    class Body(BaseModel):
        model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    class Digest(Body):
        digest: Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[ -~]+$")]

    class Endpoint(Body):
        endpoint: Annotated[str, Field(max_length=MAX_ENDPOINT_CHARS)]

    class WeightsOf(Body):
        by_hotkey: Annotated[
            dict[Annotated[str, Field(max_length=128)], Annotated[float, Field(ge=0)]],
            Field(min_length=1, max_length=MAX_WEIGHTS),
        ]

    class Registration(Body):
        hotkey: Annotated[str, Field(max_length=128)]
        stake: Annotated[float, Field(ge=0, le=1e15)] = 0.0
        permit: bool = False

    class Advance(Body):
        blocks: Annotated[int, Field(ge=1, le=10_000)] = 1

    app = FastAPI(title="SoundsRight private chain", version="1", docs_url=None, redoc_url=None)
    answer_refusals(app)

    def block_facts(block: BlockRef) -> dict[str, Any]:
        return {"number": block.number, "hash": block.hash}

    @app.get("/v1/identity")
    def identity() -> dict[str, Any]:
        return {
            "service": "soundsright.chain/1",
            "address": address,
            "open_registration": open_registration,
            "time_s": time.time(),
        }

    @app.get("/v1/head")
    def head() -> dict[str, Any]:
        return block_facts(chain.head())

    @app.get("/v1/finalized")
    def finalized() -> dict[str, Any]:
        return block_facts(chain.finalized())

    @app.get("/v1/blocks/{number}")
    def block(number: int) -> dict[str, Any]:
        known(number)
        return {"number": number, "hash": chain.block_hash(number), "timestamp_s": chain.timestamp_s(number)}

    @app.get("/v1/snapshot")
    def snapshot(block: Annotated[int | None, Query()] = None) -> dict[str, Any]:
        if block is not None:
            known(block)
        found = chain.snapshot(block)
        return {
            "block": block_facts(found.block),
            "neurons": [asdict(neuron) for neuron in found.neurons],
            "commitments": [asdict(commitment) for commitment in found.commitments],
        }

    @app.get("/v1/weights/{hotkey}")
    def weights(hotkey: str) -> dict[str, float]:
        return {str(uid): weight for uid, weight in chain.weights(hotkey).items()}

    @app.post("/v1/commitment")
    async def commit(request: Request) -> dict[str, Any]:
        sender, body = await signed(request)
        asked = parsed(Digest, body)
        return written(await run_in_threadpool(chain.publish, sender, asked.digest))

    @app.post("/v1/endpoint")
    async def endpoint(request: Request) -> dict[str, Any]:
        sender, body = await signed(request)
        asked = parsed(Endpoint, body)
        return written(await run_in_threadpool(chain.publish_endpoint, sender, asked.endpoint))

    @app.post("/v1/weights")
    async def set_weights(request: Request) -> dict[str, Any]:
        sender, body = await signed(request)
        asked: Mapping[str, float] = parsed(WeightsOf, body).by_hotkey
        return written(await run_in_threadpool(chain.set_weights, sender, asked))

    @app.post("/v1/register")
    async def register(request: Request) -> dict[str, Any]:
        sender, body = await signed(request)
        asked = parsed(Registration, body)
        own = open_registration and sender == asked.hotkey and not asked.permit and asked.stake == 0
        if sender != organiser and not own:
            raise RequestRefused("not_organiser", "Only the organiser registers hotkeys")
        if not is_address(asked.hotkey):
            raise RequestRefused("malformed", "The hotkey is no address", status=422)
        try:
            uid = await run_in_threadpool(
                lambda: chain.register(asked.hotkey, stake=asked.stake, permit=asked.permit)
            )
        except UsageError as error:
            raise RequestRefused("full", error.problem, status=409) from error
        return {"uid": uid}

    @app.post("/v1/advance")
    async def advance(request: Request) -> dict[str, Any]:
        sender, body = await signed(request)
        asked = parsed(Advance, body)
        if sender != organiser:
            raise RequestRefused("not_organiser", "Only the organiser makes blocks")
        return block_facts(await run_in_threadpool(chain.advance, asked.blocks))

    async def signed(request: Request) -> tuple[str, bytes]:
        return await signed_body(request, admit=admit, throttle=throttle, max_bytes=MAX_BODY_BYTES)

    def known(number: int) -> None:
        if not 0 <= number <= chain.head().number:
            raise RequestRefused("no_block", "There is no such block yet", status=404)

    def written(result: TxResult) -> dict[str, Any]:
        return asdict(result)

    return app
