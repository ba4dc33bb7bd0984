"""Live audio through a prover: one frame out for each frame in, within limits that no client can get around."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from soundsright.adapters.peers import Hotkey, RateLimit, signed_headers, valid_signature
from soundsright.core.errors import ModelCrashed
from soundsright.core.signed_http import stream_text
from soundsright.services.http import Limits
from soundsright.services.streaming import StreamBounds
from soundsright.testing.provers import FunctionStream, RunningProver, halved, running_prover
from tests.services.prover.callers import VERIFIER, post

FRAME_BYTES = 640
START = {"type": "start", "sample_rate_hz": 16_000, "frame_ms": 20}
END = json.dumps({"type": "end"})


@pytest.fixture(scope="module")
def prover() -> Iterator[RunningProver]:
    with running_prover(new_stream=FunctionStream, bounds=StreamBounds(idle_s=2.0, unread_s=1.0)) as running:
        yield running


class Client:
    """A WebSocket to a prover, and the nonce with which it was opened."""

    def __init__(self, connection: Connection, nonce_ns: int) -> None:
        self._connection = connection
        self.nonce_ns = nonce_ns

    def send(self, message: bytes | str) -> None:
        self._connection.send(message)

    def recv(self) -> bytes | str:
        return self._connection.recv(10)

    def frame(self) -> bytes:
        """The next frame of audio."""
        while isinstance(message := self.recv(), str):
            assert json.loads(message)["type"] == "stats"
        return message

    def close_code(self) -> int | None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.recv()
        return self._connection.close_code


@contextlib.contextmanager
def stream_to(prover: RunningProver, key: Hotkey = VERIFIER) -> Iterator[Client]:
    nonce_ns = time.time_ns()
    headers = signed_headers(
        key, method="GET", path="/v1/stream", body=b"", receiver=prover.hotkey, nonce_ns=nonce_ns
    )
    url = prover.url.replace("http", "ws") + "/v1/stream"
    with connect(url, additional_headers=headers, open_timeout=10, compression=None) as client:
        yield Client(client, nonce_ns)


def started(client: Client) -> dict[str, Any]:
    client.send(json.dumps(START))
    return told(client)


def told(client: Client) -> dict[str, Any]:
    """The next message in JSON that is no statistics."""
    while True:
        message = client.recv()
        assert isinstance(message, str)
        values: dict[str, Any] = json.loads(message)
        if values["type"] != "stats":
            return values


def frames_of(count: int) -> list[bytes]:
    samples = np.random.default_rng(0).integers(-32_768, 32_768, (count, FRAME_BYTES // 2), dtype=np.int16)
    return [frame.astype("<i2").tobytes() for frame in samples]


def test_the_model_says_that_it_streams(prover: RunningProver) -> None:
    values = json.loads(post(prover, "/v1/model", b"", method="GET").body)
    assert (values["streaming"], values["lookahead_ms"]) == (True, 20)


def test_each_frame_is_answered_by_one_and_the_summary_is_signed(prover: RunningProver) -> None:
    frames = frames_of(30)
    with stream_to(prover) as client:
        ready = started(client)
        assert (ready["lookahead_ms"], ready["frame_samples"], ready["prover"]) == (20, 320, prover.hotkey)
        answers = []
        for frame in frames:
            client.send(frame)
            answers.append(client.frame())
        client.send(END)
        answers.append(client.frame())
        done = told(client)
        assert client.close_code() == 1000
    assert answers == [bytes(FRAME_BYTES), *map(halved, frames)]
    sha_in, sha_out = (hashlib.sha256(b"".join(each)).hexdigest() for each in (frames, answers))
    assert (done["type"], done["frames"], done["sha256_in"], done["sha256_out"]) == ("done", 30, sha_in, sha_out)
    text = stream_text(client.nonce_ns, VERIFIER.address, 30, sha_in, sha_out)
    assert valid_signature(prover.hotkey, text, bytes.fromhex(done["signature"][2:]))


def test_statistics_come_about_each_second(prover: RunningProver) -> None:
    with stream_to(prover) as client:
        started(client)
        (frame,) = frames_of(1)
        deadline, stats = time.monotonic() + 10, None
        while stats is None:
            assert time.monotonic() < deadline
            client.send(frame)
            message = client.recv()
            stats = json.loads(message) if isinstance(message, str) else None
            time.sleep(0.02)
        assert stats["frames"] > 10
        assert 0 <= stats["latency_ms_p50"] <= stats["latency_ms_p99"] < 5_000


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"x" * (FRAME_BYTES - 1), 1003),
        (b"x" * (FRAME_BYTES + 2), 1003),
        (b"", 1003),
        ("{", 1003),
        ('{"type": "start"}', 1003),
        ("x" * 2_000, 1003),
        (b"x" * 16_000 * 2 * 600, 1009),
    ],
)
def test_a_message_of_another_form_closes_the_stream(
    prover: RunningProver, message: bytes | str, code: int
) -> None:
    with stream_to(prover) as client:
        started(client)
        with contextlib.suppress(ConnectionClosed):
            client.send(message)
        assert client.close_code() in (code, 1006)


@pytest.mark.parametrize("change", [{"sample_rate_hz": 48_000}, {"frame_ms": 10}, {"type": "end"}])
def test_a_start_that_does_not_fit_is_refused(prover: RunningProver, change: dict[str, Any]) -> None:
    with stream_to(prover) as client:
        client.send(json.dumps(START | change))
        assert client.close_code() == 1003


def test_a_client_that_sends_nothing_is_closed(prover: RunningProver) -> None:
    with stream_to(prover) as client:
        started(client)
        assert client.close_code() == 1008


def denial(prover: RunningProver, headers: dict[str, str]) -> tuple[int, str]:
    url = prover.url.replace("http", "ws") + "/v1/stream"
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers, open_timeout=10):
        pass
    body = refused.value.response.body
    assert body is not None
    return refused.value.response.status_code, json.loads(bytes(body))["code"]


def test_strangers_and_replays_are_denied(prover: RunningProver) -> None:
    assert denial(prover, {}) == (401, "unsigned")
    headers = signed_headers(VERIFIER, method="GET", path="/v1/stream", body=b"", receiver=prover.hotkey)
    with connect(prover.url.replace("http", "ws") + "/v1/stream", additional_headers=headers):
        assert denial(prover, headers) == (401, "replayed")


def test_a_model_that_does_not_stream_is_never_asked() -> None:
    with running_prover() as plain:
        headers = signed_headers(VERIFIER, method="GET", path="/v1/stream", body=b"", receiver=plain.hotkey)
        assert denial(plain, headers) == (404, "no_stream")


def test_a_key_has_two_of_the_four_places(prover: RunningProver) -> None:
    with stream_to(prover), stream_to(prover):
        headers = signed_headers(VERIFIER, method="GET", path="/v1/stream", body=b"", receiver=prover.hotkey)
        assert denial(prover, headers) == (429, "busy")
        with stream_to(prover, Hotkey.of_seed("other")) as client:
            started(client)


class Crashing(FunctionStream):
    def exchange(self, frame: bytes) -> bytes:
        raise ModelCrashed("ended")


def test_a_model_that_fails_ends_the_stream_and_starts_again() -> None:
    with running_prover(new_stream=Crashing) as crashing:
        for _ in range(2):
            wait_until_served(crashing)
            with stream_to(crashing) as client:
                started(client)
                client.send(bytes(FRAME_BYTES))
                assert client.close_code() == 1011


def wait_until_served(prover: RunningProver) -> None:
    deadline = time.monotonic() + 10
    while post(prover, "/v1/model", b"", method="GET").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Slow(FunctionStream):
    def exchange(self, frame: bytes) -> bytes:
        time.sleep(0.2)
        return super().exchange(frame)


def test_no_more_than_a_second_of_frames_is_taken_ahead_of_the_answers() -> None:
    with running_prover(new_stream=Slow) as slow, never_reading(slow) as sock:
        sent_frames = flood(sock)
        # 51 frames are with the server, and the buffers of the system take about as many for each 32 kB.
        assert 50 < sent_frames < 700


def test_a_client_that_never_reads_is_closed_and_its_place_is_free() -> None:
    bounds = StreamBounds(unread_s=1.0, speed=1_000)
    with running_prover(new_stream=FunctionStream, bounds=bounds, front=Limits(stream_read_s=1.0)) as running:
        socks = [never_reading(running) for _ in range(2)]
        with contextlib.ExitStack() as stack:
            for sock in socks:
                stack.enter_context(sock)
                flood(sock)
            deadline = time.monotonic() + 20
            while True:
                try:
                    with stream_to(running) as client:
                        started(client)
                    break
                except InvalidStatus:
                    assert time.monotonic() < deadline, "the places never became free"
                    time.sleep(0.2)


def never_reading(prover: RunningProver) -> socket.socket:
    """A WebSocket whose client reads nothing after its start."""
    host, port = prover.url.removeprefix("http://").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    sock.connect((host, int(port)))
    headers = signed_headers(VERIFIER, method="GET", path="/v1/stream", body=b"", receiver=prover.hotkey)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    sock.sendall("\r\n".join(["GET /v1/stream HTTP/1.1", "Host: x", *upgrade, key, *lines, "", ""]).encode())
    assert sock.recv(12) == b"HTTP/1.1 101"
    sock.sendall(masked(0x1, json.dumps(START).encode()))
    return sock


def masked(opcode: int, data: bytes) -> bytes:
    length = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + data


def flood(sock: socket.socket) -> int:
    """Send frames until no more can be sent for half a second. Returns how many were sent."""
    sock.settimeout(0.5)
    frame, sent = masked(0x2, bytes(FRAME_BYTES)), 0
    with contextlib.suppress(OSError):
        while sent < 3_000:
            sock.sendall(frame)
            sent += 1
    return sent


def test_many_reconnections_leave_the_prover_answering() -> None:
    limit = RateLimit(per_minute=60, burst=30)
    with running_prover(new_stream=FunctionStream, throttle=limit.check) as running:
        url = running.url.replace("http", "ws") + "/v1/stream"
        statuses = set()
        for _ in range(300):
            with contextlib.suppress(OSError, EOFError):
                try:
                    with connect(url, open_timeout=5):
                        pass
                except InvalidStatus as refused:
                    statuses.add(refused.response.status_code)
        assert statuses == {401, 429}
        assert running.prover.problem is None
