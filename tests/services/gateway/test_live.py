"""Live audio through a gateway and the best prover that streams, within limits that no client can get around."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from soundsright.adapters.peers import Hotkey, RateLimit, valid_signature
from soundsright.core.errors import ModelCrashed
from soundsright.core.ports import Prover, StreamOpening
from soundsright.core.signed_http import stream_text
from soundsright.core.tiers import ServedModel
from soundsright.services.gateway import GatewayAccess, GatewayLimits
from soundsright.services.http import Limits
from soundsright.testing.provers import COMPETITION, MODEL, FunctionStream, RunningProver, halved, running_prover
from tests.services.gateway.world import ECHO, KEY, VERIFIER, RunningGateway, running_gateway, serving
from tests.services.prover.test_streams import END, FRAME_BYTES, START, flood, frames_of, masked


@pytest.fixture(scope="module")
def streaming() -> Iterator[RunningProver]:
    with running_prover(new_stream=FunctionStream) as running:
        yield running


@pytest.fixture(scope="module")
def plain() -> Iterator[RunningProver]:
    """A prover whose model does not stream."""
    with running_prover(key=Hotkey.of_seed("plain")) as running:
        yield running


@contextlib.contextmanager
def live(gateway: RunningGateway, **headers: str) -> Iterator[Connection]:
    sent = headers or {"X-Api-Key": KEY}
    with connect(gateway.stream_url, additional_headers=sent, open_timeout=15, compression=None) as client:
        yield client


def said(client: Connection) -> dict[str, Any]:
    """The next message in JSON that is no statistics."""
    while True:
        message = client.recv(10)
        assert isinstance(message, str)
        values: dict[str, Any] = json.loads(message)
        if values["type"] != "stats":
            return values


def heard(client: Connection) -> bytes:
    """The next frame of audio."""
    while isinstance(message := client.recv(10), str):
        assert json.loads(message)["type"] == "stats"
    return message


def close_code(client: Connection) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(15)
    return client.close_code


def denial(gateway: RunningGateway, **headers: str) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused, live(gateway, **headers):
        pass
    body = refused.value.response.body
    assert body is not None
    return refused.value.response.status_code, json.loads(bytes(body))["code"]


def test_frames_come_back_from_the_best_prover_that_streams(streaming: RunningProver, plain: RunningProver) -> None:
    frames = frames_of(30)
    with running_gateway([serving(plain, "Challenger"), serving(streaming)]) as gateway, live(gateway) as client:
        client.send(json.dumps(START))
        ready = said(client)
        assert (ready["type"], ready["lookahead_ms"], ready["frame_samples"]) == ("ready", 20, 320)
        assert (ready["prover"], ready["tier"], ready["verified"]) == (streaming.hotkey, "Gold", "true")
        answers = []
        for frame in frames:
            client.send(frame)
            answers.append(heard(client))
        client.send(END)
        answers.append(heard(client))
        done = said(client)
        assert close_code(client) == 1000
        assert gateway.serving.taken == {streaming.hotkey: 1}
        rows = httpx.get(gateway.url + "/v1/provers").json()["provers"]
        assert [row["streams"] for row in rows] == [False, True]
    assert answers == [bytes(FRAME_BYTES), *map(halved, frames)]
    sha_in, sha_out = (hashlib.sha256(b"".join(each)).hexdigest() for each in (frames, answers))
    assert (done["frames"], done["sha256_in"], done["sha256_out"]) == (30, sha_in, sha_out)
    text = stream_text(int(ready["nonce"]), VERIFIER.address, 30, sha_in, sha_out)
    assert ready["sender"] == VERIFIER.address
    assert valid_signature(streaming.hotkey, text, bytes.fromhex(done["signature"][2:]))


class FarStream:
    """The port `ProverStream`: a prover so far away that ten frames are on the way before the first is answered."""

    opening = StreamOpening(0.0, 1, VERIFIER.address)
    signature = ""

    def __init__(self) -> None:
        self._sent: list[bytes] = []
        self._came = asyncio.Event()

    async def send(self, frame: bytes) -> None:
        self._sent.append(frame)
        if len(self._sent) >= 10:
            self._came.set()

    async def receive(self) -> bytes:
        await self._came.wait()
        return self._sent.pop(0)

    async def finish(self) -> tuple[bytes, ...]:
        return ()


class FarProvers:
    """The port `LiveProvers` with one prover, which is far away."""

    def offer(self, prover: Prover, *, timeout_s: float) -> ServedModel:
        return ServedModel(prover.hotkey, str(MODEL), COMPETITION, 16_000, 30.0, 1, streaming=True)

    @contextlib.asynccontextmanager
    async def stream(self, prover: Prover, sample_rate_hz: int, *, timeout_s: float) -> AsyncIterator[FarStream]:
        yield FarStream()


def test_frames_are_on_the_way_while_earlier_ones_have_no_answer() -> None:
    """Otherwise a stream could not keep up with a prover whose answers take longer than a frame lasts."""
    with running_gateway([ECHO], live=FarProvers()) as gateway, live(gateway) as client:
        client.send(json.dumps(START))
        said(client)
        frames = frames_of(10)
        for frame in frames:
            client.send(frame)
        assert [heard(client) for _ in frames] == frames


def test_a_browser_gives_its_key_as_a_subprotocol(streaming: RunningProver) -> None:
    with running_gateway([serving(streaming)]) as gateway:
        offered: Any = ["soundsright-live", f"key.{KEY}"]
        with connect(gateway.stream_url, subprotocols=offered, open_timeout=15) as client:
            assert client.subprotocol == "soundsright-live"
            client.send(json.dumps(START))
            assert said(client)["type"] == "ready"


def test_strangers_are_denied(streaming: RunningProver) -> None:
    with running_gateway([serving(streaming)]) as gateway:
        assert denial(gateway, **{"X-Api-Key": "wrong"}) == (401, "wrong_key")
        assert denial(gateway, **{"X-Other": "1"}) == (401, "no_key")
        assert gateway.serving.taken == {}


def test_a_page_of_another_site_cannot_use_the_open_demo(streaming: RunningProver) -> None:
    with running_gateway([serving(streaming)], access=GatewayAccess(open_demo=True)) as gateway:
        assert denial(gateway, Origin="https://elsewhere.example") == (403, "foreign_page")
        with live(gateway, Origin=gateway.url) as client:
            client.send(json.dumps(START))
            assert said(client)["type"] == "ready"


def test_a_demo_stream_ends_after_its_time(streaming: RunningProver) -> None:
    limits = GatewayLimits(demo_stream_s=0.5)
    access = GatewayAccess(open_demo=True)
    with (
        running_gateway([serving(streaming)], access=access, limits=limits) as gateway,
        live(gateway, Origin=gateway.url) as client,
    ):
        client.send(json.dumps(START))
        said(client)
        assert close_code(client) == 1008


def test_without_a_prover_that_streams_the_listener_is_told(plain: RunningProver) -> None:
    with running_gateway([serving(plain)]) as gateway:
        assert denial(gateway, **{"X-Api-Key": KEY}) == (503, "no_prover")
        assert gateway.serving.taken == {}, "a model that does not stream is never asked to"


def test_a_prover_that_is_full_gives_way_to_the_next(streaming: RunningProver) -> None:
    other = Hotkey.of_seed("other-prover")
    with (
        running_prover(new_stream=FunctionStream, key=other) as second,
        running_gateway([serving(streaming), serving(second, "Bronze")]) as gateway,
        contextlib.ExitStack() as stack,
    ):
        found = []
        for _ in range(3):
            client = stack.enter_context(live(gateway))
            client.send(json.dumps(START))
            found.append(said(client)["prover"])
        assert found == [streaming.hotkey, streaming.hotkey, second.hotkey]


class Crashing(FunctionStream):
    def exchange(self, frame: bytes) -> bytes:
        raise ModelCrashed("ended")


def test_a_prover_that_fails_in_a_stream_ends_it() -> None:
    with (
        running_prover(new_stream=Crashing) as crashing,
        running_gateway([serving(crashing)]) as gateway,
        live(gateway) as client,
    ):
        client.send(json.dumps(START))
        said(client)
        client.send(bytes(FRAME_BYTES))
        assert close_code(client) == 1011


@pytest.mark.parametrize("message", [b"x" * (FRAME_BYTES + 2), "{", b"x" * 16_000 * 2 * 600])
def test_frames_of_ten_minutes_and_other_messages_close_the_stream(
    streaming: RunningProver, message: bytes | str
) -> None:
    with running_gateway([serving(streaming)]) as gateway, live(gateway) as client:
        client.send(json.dumps(START))
        said(client)
        with contextlib.suppress(ConnectionClosed):
            client.send(message)
        assert close_code(client) in (1003, 1009, 1006)
        with live(gateway) as again:
            again.send(json.dumps(START))
            assert said(again)["type"] == "ready"


def never_reading(gateway: RunningGateway) -> socket.socket:
    """A WebSocket whose client reads nothing after its start."""
    host, port = gateway.url.removeprefix("http://").split(":")
    sock = socket.socket()
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 4_096)
    sock.connect((host, int(port)))
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"X-Api-Key: {KEY}"]
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    sock.sendall("\r\n".join(["GET /v1/stream HTTP/1.1", "Host: x", *upgrade, key, "", ""]).encode())
    assert sock.recv(12) == b"HTTP/1.1 101"
    sock.sendall(masked(0x1, json.dumps(START).encode()))
    return sock


def test_a_client_that_never_reads_is_closed_and_its_place_is_free(streaming: RunningProver) -> None:
    limits, front = GatewayLimits(streams_per_key=1), Limits(stream_read_s=1.0)
    with (
        running_gateway([serving(streaming)], limits=limits, front=front) as gateway,
        never_reading(gateway) as sock,
    ):
        assert denial(gateway, **{"X-Api-Key": KEY}) == (429, "busy")
        assert flood(sock) < 2_000
        deadline = time.monotonic() + 20
        while True:
            try:
                with live(gateway) as client:
                    client.send(json.dumps(START))
                    assert said(client)["type"] == "ready"
                break
            except InvalidStatus:
                assert time.monotonic() < deadline, "the place never became free"
                time.sleep(0.2)


def test_a_thousand_reconnections_leave_the_gateway_and_the_prover_answering(streaming: RunningProver) -> None:
    limit = RateLimit(per_minute=60, burst=20)
    access = GatewayAccess((KEY,), per_key=limit.check)
    with running_gateway([serving(streaming)], access=access) as gateway:
        host, port = gateway.url.removeprefix("http://").split(":")
        lines = ["GET /v1/stream HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", f"X-Api-Key: {KEY}", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        upgrade = "\r\n".join([*lines, "", ""]).encode()
        for _ in range(1_000):
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 5) as sock:
                sock.sendall(upgrade)
        assert sum(gateway.serving.taken.values()) <= 25
        assert httpx.get(gateway.url + "/v1/provers", timeout=10).status_code == 200
        assert streaming.prover.problem is None
