"""A model that somebody else runs: its address, its faults, and its return."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.adapters.sandboxes import EndpointRunner
from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.errors import EngineUnavailable, ModelFault, ProtocolViolation, UsageError
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.testing.provers import fetched_reference

MODEL = fetched_reference(Hotkey.of_seed("p"))
TEMPLATE = Path(__file__).parents[3] / "models" / "template"
SERVE = """
import sys, uvicorn
from app.server import Protocol, create_app
uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", http=Protocol)
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def template_on(port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], cwd=TEMPLATE, env=dict(os.environ))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def noise() -> Audio:
    return Audio(on_pcm16_grid(np.random.default_rng(0).normal(0, 0.1, 3_200)), 16_000)


def test_a_served_model_enhances_and_streams() -> None:
    port = free_port()
    runner = EndpointRunner(f"http://127.0.0.1:{port}")
    with template_on(port), runner.run(MODEL, limits=SandboxLimits()) as running:
        (answer,) = running.enhance([DegradedClip("clip", noise())])
        assert answer.audio is not None
        np.testing.assert_array_equal(answer.audio.samples, noise().samples)
        assert running.stream_lookahead_ms() == 0
        with running.open_stream(16_000) as stream:
            assert stream.exchange(bytes(640)) == bytes(640)
            assert stream.finish() == ()
        with pytest.raises(EngineUnavailable, match="one slot"), runner.run(MODEL, limits=SandboxLimits()):
            pass


def test_a_model_that_ends_is_at_fault_and_can_come_back() -> None:
    port = free_port()
    runner = EndpointRunner(f"http://127.0.0.1:{port}")
    with template_on(port) as process, runner.run(MODEL, limits=SandboxLimits()) as running:
        process.kill()
        process.wait()
        with pytest.raises(ModelFault):
            running.enhance([DegradedClip("clip", noise())])
    with template_on(port), runner.run(MODEL, limits=SandboxLimits()) as running:
        assert running.enhance([DegradedClip("clip", noise())])[0].audio is not None


def test_a_redirect_is_not_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def redirect() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(
                    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
                )

        thread = threading.Thread(target=redirect)
        thread.start()
        runner = EndpointRunner(f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(ProtocolViolation, match="302"), runner.run(MODEL, limits=SandboxLimits()):
            pass
        thread.join()


def test_stopping_ends_the_wait_for_a_model_that_is_away() -> None:
    runner = EndpointRunner(f"http://127.0.0.1:{free_port()}")
    threading.Timer(0.3, runner.stop).start()
    began_s = time.monotonic()
    with pytest.raises(ModelFault), runner.run(MODEL, limits=SandboxLimits()):
        pass
    assert time.monotonic() - began_s < 20


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:6500",
        "ftp://x:1",
        "http://",
        "http://x:99999",
        "http://u:p@x",
        "http://x/path",
        "http://x?q=1",
    ],
)
def test_an_address_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="address of a model"):
        EndpointRunner(url)
