"""The HTTP API of a private chain. Anyone can read it; a write is signed by the hotkey that it changes.

The chain's time is in blocks, other times are in seconds since the epoch, amounts in RAO. The organiser's account
registers hotkeys, makes blocks and mints. If registration is open, a hotkey can register itself, without stake or
permit. A transfer is signed by the coldkey that pays.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from soundsright.core.coldkeys import coldkey_consent
from soundsright.core.endpoint import MAX_CHARS as MAX_ENDPOINT_CHARS
from soundsright.core.endpoint import client_network
from soundsright.core.errors import HistoryGone, OtherColdkey, RequestRefused, UsageError
from soundsright.core.ports import BlockRef, LiveChain, Treasury, TxResult
from soundsright.core.ports.tables import MAX_RAO
from soundsright.services.http.front import vouch
from soundsright.services.http.requests import (
    Admit,
    Throttle,
    answer_refusals,
    described_body,
    parsed,
    refusals,
    signed_body,
    signed_refusals,
)

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response

MAX_BODY_BYTES = 400_000
MAX_WEIGHTS = 4_096
TRANSFERS_PER_PAGE = 500
_BYTES_PER_MS = 50_000
"""Sending a reply of this size counts as much as a millisecond of work."""


class PrivateChain(LiveChain, Treasury, Protocol):
    """A chain that this program runs: it also registers hotkeys, makes blocks, and shows weights and balances."""

    def register(
        self,
        hotkey: str,
        *,
        stake: float = 0.0,
        permit: bool = False,
        by_itself: bool = False,
        client: str = "",
        coldkey: str | None = None,
    ) -> int: ...
    def is_registered(self, hotkey: str) -> bool: ...
    def advance(self, blocks: int = 1) -> BlockRef: ...
    def weights(self, validator: str) -> dict[int, float]: ...
    def balance_rao(self, coldkey: str) -> int: ...
    def mint(self, to: str, amount_rao: int) -> TxResult: ...
    def transfer(self, coldkey: str, to: str, amount_rao: int) -> TxResult: ...


class Budget(Protocol):
    """The allowance of each client. `check` takes one token, and `spend` takes tokens for work that is done."""

    def check(self, address: str) -> None: ...
    def spend(self, address: str, tokens: float) -> None: ...


@dataclass(frozen=True)
class ChainAccess:
    """The checks of requests. `address` is the chain's own account, which signed requests name as their receiver.

    `admit` verifies a signature, `throttle` counts the writes of a client, and `is_address` checks a hotkey.
    `valid_signature` says whether an address signed a message: a hotkey that registers itself shows so that its
    coldkey agrees. Without it, no hotkey can name its coldkey.
    `reads` is a client's budget for reads, in milliseconds of work. `registrations` counts the hotkeys that
    register themselves from a client. None means no limit.
    """

    address: str
    organiser: str
    admit: Admit
    throttle: Throttle
    is_address: Callable[[str], bool]
    open_registration: bool = False
    reads: Budget | None = None
    registrations: Throttle | None = None
    valid_signature: Callable[[str, bytes, bytes], bool] = lambda _address, _message, _signature: False


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Commitment(_Body):
    digest: Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[ -~]+$")]


class _Endpoint(_Body):
    endpoint: Annotated[str, Field(max_length=MAX_ENDPOINT_CHARS)]


class _WeightsByHotkey(_Body):
    by_hotkey: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[float, Field(ge=0)]],
        Field(min_length=1, max_length=MAX_WEIGHTS),
    ]


class _Registration(_Body):
    hotkey: Annotated[str, Field(max_length=128)]
    stake: Annotated[float, Field(ge=0, le=1e15)] = 0.0
    permit: bool = False
    coldkey: Annotated[str, Field(max_length=128)] | None = None
    coldkey_signature: Annotated[str, Field(pattern=r"^([0-9a-f]{128})?$")] = ""


class _Payment(_Body):
    to: Annotated[str, Field(max_length=128)]
    amount_rao: Annotated[int, Field(strict=True, ge=1, le=MAX_RAO)]


class _Advance(_Body):
    blocks: Annotated[int, Field(ge=1, le=10_000)] = 1


def chain_app(chain: PrivateChain, access: ChainAccess) -> "FastAPI":
    """The app that serves a chain."""
    from fastapi import FastAPI

    app = FastAPI(
        title="SoundsRight private chain",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=signed_refusals() | refusals(s404="There is no such block"),
    )
    answer_refusals(app)
    _add_reads(app, chain, access)
    _add_writes(app, chain, access)
    _add_payments(app, chain, access)
    _add_organising(app, chain, access)
    return app


def _block_fields(block: BlockRef) -> dict[str, Any]:
    return {"number": block.number, "hash": block.hash}


def _metered(request: "Request", budget: Budget | None, read: Callable[[], dict[str, Any]]) -> "Response":
    """The result of a read as JSON. Its work is taken from the budget of the client.

    Raises:
        RequestRefused: `busy`, if the client has used up its budget.
    """
    from starlette.responses import Response

    if budget is None:
        return Response(json.dumps(read()), media_type="application/json")
    client = client_network(request.client.host if request.client else "")
    budget.check(client)
    started_s, size = time.thread_time(), 0
    try:
        body = json.dumps(read()).encode()
        size = len(body)
        return Response(body, media_type="application/json")
    finally:
        budget.spend(client, (time.thread_time() - started_s) * 1_000 + size / _BYTES_PER_MS)


def _check_exists(chain: PrivateChain, number: int) -> None:
    head = chain.head().number
    if not 0 <= number <= head:
        raise RequestRefused("no_block", f"There is no block {number}; the latest is {head}", status=404)


def _snapshot_fields(chain: PrivateChain, block: int | None) -> dict[str, Any]:
    if block is not None:
        _check_exists(chain, block)
    snapshot = chain.snapshot(block)
    return {
        "block": _block_fields(snapshot.block),
        "neurons": [vars(neuron) for neuron in snapshot.neurons],
        "commitments": [vars(commitment) for commitment in snapshot.commitments],
    }


def _add_reads(app: "FastAPI", chain: PrivateChain, access: ChainAccess) -> None:
    from fastapi import Query, Request, Response

    def identity_fields() -> dict[str, Any]:
        return {
            "service": "soundsright.chain/1",
            "address": access.address,
            "owner": chain.owner(),
            "open_registration": access.open_registration,
            "time_s": time.time(),
        }

    def block_fields(number: int) -> dict[str, Any]:
        _check_exists(chain, number)
        return {"number": number, "hash": chain.block_hash(number), "timestamp_s": chain.timestamp_s(number)}

    @app.get("/v1/identity")
    def identity(request: Request) -> Response:
        return _metered(request, access.reads, identity_fields)

    @app.get("/v1/head")
    def head(request: Request) -> Response:
        return _metered(request, access.reads, lambda: _block_fields(chain.head()))

    @app.get("/v1/finalized")
    def finalized(request: Request) -> Response:
        return _metered(request, access.reads, lambda: _block_fields(chain.finalized()))

    @app.get("/v1/blocks/{number}")
    def block(request: Request, number: int) -> Response:
        return _metered(request, access.reads, lambda: block_fields(number))

    @app.get("/v1/snapshot")
    def snapshot(request: Request, block: Annotated[int | None, Query()] = None) -> Response:
        return _metered(request, access.reads, lambda: _snapshot_fields(chain, block))

    @app.get("/v1/weights/{hotkey}")
    def weights(request: Request, hotkey: str) -> Response:
        return _metered(
            request, access.reads, lambda: {str(uid): weight for uid, weight in chain.weights(hotkey).items()}
        )


async def _signed(request: "Request", access: ChainAccess) -> tuple[str, bytes]:
    return await signed_body(request, admit=access.admit, throttle=access.throttle, max_bytes=MAX_BODY_BYTES)


def _add_writes(app: "FastAPI", chain: PrivateChain, access: ChainAccess) -> None:
    """The writes of a hotkey about itself."""
    from fastapi import Request
    from starlette.concurrency import run_in_threadpool

    @app.post("/v1/commitment", openapi_extra=described_body(_Commitment))
    async def commit(request: Request) -> dict[str, Any]:
        sender, body = await _signed(request, access)
        commitment = parsed(_Commitment, body)
        return asdict(await run_in_threadpool(chain.publish, sender, commitment.digest))

    @app.post("/v1/endpoint", openapi_extra=described_body(_Endpoint))
    async def endpoint(request: Request) -> dict[str, Any]:
        sender, body = await _signed(request, access)
        return asdict(await run_in_threadpool(chain.publish_endpoint, sender, parsed(_Endpoint, body).endpoint))

    @app.post("/v1/weights", openapi_extra=described_body(_WeightsByHotkey))
    async def set_weights(request: Request) -> dict[str, Any]:
        sender, body = await _signed(request, access)
        result = await run_in_threadpool(chain.set_weights, sender, parsed(_WeightsByHotkey, body).by_hotkey)
        if result.ok:
            vouch(request)  # Only validators with a permit can set weights.
        return asdict(result)


def _transfer_fields(chain: PrivateChain, to: str, after: int, until: int | None, skip: int) -> dict[str, Any]:
    """One page of the transfers to a coldkey in the blocks after `after`, up to `until` or the last final one."""
    last = chain.finalized().number if until is None else until
    if max(after, last) > chain.finalized().number:
        raise RequestRefused("no_block", f"There is no block {max(after, last)}", status=404)
    try:
        transfers = chain.transfers(to, after, last)
    except HistoryGone as error:
        raise RequestRefused("transfers_gone", error.problem, status=410) from error
    page = transfers[skip : skip + TRANSFERS_PER_PAGE]
    return {
        "until_block": last,
        "transfers": [asdict(transfer) for transfer in page],
        "more": len(transfers) > skip + TRANSFERS_PER_PAGE,
    }


def _add_payments(app: "FastAPI", chain: PrivateChain, access: ChainAccess) -> None:
    """Balances, transfers, and the organiser's minting."""
    from fastapi import Query, Request, Response
    from starlette.concurrency import run_in_threadpool

    @app.get("/v1/balances/{coldkey}")
    def balance(request: Request, coldkey: str) -> Response:
        return _metered(request, access.reads, lambda: {"balance_rao": chain.balance_rao(coldkey)})

    @app.get("/v1/transfers/{to}")
    def transfers(
        request: Request,
        to: str,
        after: Annotated[int, Query(ge=-1)],
        until: Annotated[int | None, Query(ge=0)] = None,
        skip: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        return _metered(request, access.reads, lambda: _transfer_fields(chain, to, after, until, skip))

    def payment_in(body: bytes) -> _Payment:
        payment = parsed(_Payment, body)
        if not access.is_address(payment.to):
            raise RequestRefused("malformed", "`to` is not a valid address", status=422)
        return payment

    @app.post("/v1/transfer", openapi_extra=described_body(_Payment))
    async def transfer(request: Request) -> dict[str, Any]:
        sender, body = await _signed(request, access)
        payment = payment_in(body)
        return asdict(await run_in_threadpool(chain.transfer, sender, payment.to, payment.amount_rao))

    @app.post("/v1/mint", openapi_extra=described_body(_Payment))
    async def mint(request: Request) -> dict[str, Any]:
        sender, body = await _signed(request, access)
        payment = payment_in(body)
        if sender != access.organiser:
            raise RequestRefused("not_organiser", "Only the organiser mints")
        vouch(request)
        return asdict(await run_in_threadpool(chain.mint, payment.to, payment.amount_rao))


def _count_registration(client: str, count: Throttle) -> None:
    try:
        count(client)
    except RequestRefused as refused:
        sentence = "Your address has registered too many keys today"
        raise RequestRefused("too_many", sentence, status=429) from refused


def _check_coldkey(wish: _Registration, access: ChainAccess, *, by_itself: bool) -> None:
    """Check that the coldkey exists and, if a hotkey names its own, that the coldkey agrees.

    Raises:
        RequestRefused: `malformed` or `coldkey_unsigned`.
    """
    if wish.coldkey is None:
        return
    if not access.is_address(wish.coldkey):
        raise RequestRefused("malformed", "The coldkey is not a valid address", status=422)
    if by_itself:
        message, signature = coldkey_consent(access.address, wish.hotkey), bytes.fromhex(wish.coldkey_signature)
        if not access.valid_signature(wish.coldkey, message, signature):
            raise RequestRefused("coldkey_unsigned", "The coldkey has not signed that the hotkey is its own")


def _add_organising(app: "FastAPI", chain: PrivateChain, access: ChainAccess) -> None:
    """The requests that only the organiser makes: registrations and blocks."""
    from fastapi import Request
    from starlette.concurrency import run_in_threadpool

    @app.post("/v1/register", openapi_extra=described_body(_Registration))
    async def register(request: Request) -> dict[str, Any]:
        sender, body = await _signed(request, access)
        wish = parsed(_Registration, body)
        is_own = access.open_registration and sender == wish.hotkey and not wish.permit and wish.stake == 0
        if sender != access.organiser and not is_own:
            raise RequestRefused("not_organiser", "Only the organiser registers hotkeys")
        if not access.is_address(wish.hotkey):
            raise RequestRefused("malformed", "The hotkey is not a valid address", status=422)
        by_itself = sender != access.organiser
        client = client_network(request.client.host if request.client else "")
        _check_coldkey(wish, access, by_itself=by_itself)
        if by_itself and access.registrations and not await run_in_threadpool(chain.is_registered, wish.hotkey):
            _count_registration(client, access.registrations)
        details: dict[str, Any] = {**wish.model_dump(include={"stake", "permit", "coldkey"}), "client": client}
        try:
            uid = await run_in_threadpool(partial(chain.register, wish.hotkey, by_itself=by_itself, **details))
        except OtherColdkey as error:
            raise RequestRefused("other_coldkey", error.problem) from error
        except UsageError as error:
            raise RequestRefused("full", error.problem, status=409) from error
        return {"uid": uid}

    @app.post("/v1/advance", openapi_extra=described_body(_Advance))
    async def advance(request: Request) -> dict[str, Any]:
        sender, body = await _signed(request, access)
        blocks = parsed(_Advance, body).blocks
        if sender != access.organiser:
            raise RequestRefused("not_organiser", "Only the organiser makes blocks")
        vouch(request)
        return _block_fields(await run_in_threadpool(chain.advance, blocks))
