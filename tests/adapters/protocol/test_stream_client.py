"""Streams through models that break the protocol: each ends in a fault of the model, within its time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from soundsright.adapters.protocol import HttpModelClient, HttpModelStream
from soundsright.adapters.protocol.stream_client import offered_lookahead_ms
from soundsright.core.errors import ModelCrashed, ModelFault, ModelTimeout, ProtocolViolation
from soundsright.core.ports import SandboxLimits

FRAME = bytes(range(256)) * 2 + bytes(128)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: soundsright-stream/1\r\n\r\n"
STATUS = b'{"container_running": true, "streaming": true, "lookahead_ms": 20}'
LIMITS = SandboxLimits(step_timeout_s=0.4)

Model = Callable[[socket.socket], None]


@contextlib.contextmanager
def stream_to(model: Model, status: bytes = STATUS) -> Iterator[HttpModelStream]:
    """A stream to a model that is a function of its end of the connection."""
    connections = 0

    def connect(timeout_s: float) -> socket.socket:
        nonlocal connections
        ours, theirs = socket.socketpair()
        act = model if connections else answer_status
        connections += 1
        threading.Thread(target=run, args=(act, theirs), daemon=True).start()
        return ours

    def run(act: Model, theirs: socket.socket) -> None:
        with theirs, contextlib.suppress(OSError):
            act(theirs)

    def answer_status(theirs: socket.socket) -> None:
        theirs.recv(4_096)
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(status), status))

    client = HttpModelClient(connect, limits=LIMITS, ended=lambda: None)
    with contextlib.closing(client.open_stream(16_000)) as stream:
        yield stream


def head_of(theirs: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        head += theirs.recv(4_096)
    return head


def echo(theirs: socket.socket, *, flushed: int = 1, first: bytes = SWITCHED) -> None:
    """Return each frame one frame later."""
    head_of(theirs)
    theirs.sendall(first)
    last, waiting = bytes(640), b""
    while part := theirs.recv(4_096):
        waiting += part
        while len(waiting) >= 640:
            theirs.sendall(last)
            last, waiting = waiting[:640], waiting[640:]
    for _ in range(flushed):
        theirs.sendall(last)


def test_a_frame_is_answered_by_a_frame_and_the_look_ahead_comes_at_the_end() -> None:
    with stream_to(echo) as stream:
        assert stream.frame_bytes == 640
        assert stream.exchange(FRAME) == bytes(640)
        assert stream.exchange(bytes(640)) == FRAME
        assert stream.finish() == (bytes(640),)


def test_the_request_names_the_protocol_the_rate_and_the_frame() -> None:
    heads: list[bytes] = []

    def record(theirs: socket.socket) -> None:
        heads.append(head_of(theirs))
        theirs.sendall(SWITCHED)

    with stream_to(record):
        pass
    lines = heads[0].split(b"\r\n")
    assert lines[0] == b"POST /stream/ HTTP/1.1"
    assert {b"Upgrade: soundsright-stream/1", b"X-Sample-Rate: 16000", b"X-Frame-Samples: 320"} <= set(lines)


def answers(data: bytes, *, then_s: float = 0.0) -> Model:
    def act(theirs: socket.socket) -> None:
        head_of(theirs)
        theirs.sendall(data)
        time.sleep(then_s)

    return act


def endless(theirs: socket.socket) -> None:
    while True:
        theirs.sendall(b"X-Header: x\r\n" * 100)


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (answers(b"HTTP/1.1 200 OK\r\n\r\n"), ProtocolViolation),
        (answers(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n"), ProtocolViolation),
        (answers(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n"), ProtocolViolation),
        (answers(b"HTTP/1.1 101 Switching\r\n\r\n"), ProtocolViolation),
        (answers(b"nonsense\r\n\r\n"), ProtocolViolation),
        (answers(b"", then_s=1.0), ModelTimeout),
        (answers(b""), ModelFault),
        (endless, ProtocolViolation),
    ],
)
def test_a_model_that_does_not_switch_is_at_fault(model: Model, fault: type[ModelFault]) -> None:
    began_s = time.monotonic()
    with pytest.raises(fault), stream_to(model):
        pass
    assert time.monotonic() - began_s < 10


def test_a_model_that_drips_has_one_deadline_for_a_frame() -> None:
    def drip(theirs: socket.socket) -> None:
        head_of(theirs)
        theirs.sendall(SWITCHED)
        while True:
            theirs.sendall(b"x")
            time.sleep(0.01)

    with stream_to(drip) as stream, pytest.raises(ModelTimeout):
        stream.exchange(FRAME)


def test_a_model_that_ends_within_a_frame_is_at_fault() -> None:
    with stream_to(answers(SWITCHED + b"x" * 100)) as stream, pytest.raises(ModelFault):
        stream.exchange(FRAME)


@pytest.mark.parametrize("flushed", [0, 2])
def test_the_last_frames_are_as_many_as_the_look_ahead(flushed: int) -> None:
    with stream_to(lambda theirs: echo(theirs, flushed=flushed)) as stream:
        stream.exchange(FRAME)
        with pytest.raises(ModelFault):
            stream.finish()


@pytest.mark.parametrize(
    "status", [b'{"container_running": true}', b'{"container_running": true, "streaming": false}']
)
def test_a_model_that_does_not_say_so_is_not_asked(status: bytes) -> None:
    asked: list[int] = []
    with pytest.raises(ProtocolViolation, match="does not say"), stream_to(lambda _: asked.append(1), status):
        pass
    assert not asked


@pytest.mark.parametrize("lookahead", [None, "40", True, -1, float("nan"), float("inf"), 10**9])
def test_a_look_ahead_without_meaning_is_refused(lookahead: object) -> None:
    with pytest.raises(ProtocolViolation, match="lookahead_ms"):
        offered_lookahead_ms({"streaming": True, "lookahead_ms": lookahead})


def test_a_process_that_ended_is_a_crash() -> None:
    def refuse(timeout_s: float) -> socket.socket:
        raise ConnectionRefusedError

    client = HttpModelClient(refuse, limits=LIMITS, ended=lambda: ModelCrashed("ended", 1))
    with pytest.raises(ModelCrashed):
        client.open_stream(16_000)
