"""A prover with a real model in a process of its own, and real floods at its port."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from soundsright.adapters.peers import Hotkey, RequestGate
from soundsright.adapters.sandboxes import ProcessSandbox
from soundsright.core.competition import competition_by_id
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.core.tiers import ServedModel
from soundsright.core.wav import encode_wav
from soundsright.services.http import HttpService, Limits, listening
from soundsright.services.prover import Prover, ProverAccess, prover_app
from soundsright.testing.provers import COMPETITION, RATE_HZ, RunningProver, challenge_body, running_prover
from tests.services.prover.callers import noise, post
from tests.services.prover.test_streams import FRAME_BYTES, frames_of, started, stream_to

MODELS = Path(__file__).parents[3] / "models"


@contextlib.contextmanager
def serving(folder: str) -> Iterator[RunningProver]:
    """A prover with a model of this repository."""
    key = Hotkey.of_seed("process")
    model = ModelRef("lab", folder, "a" * 40)
    submission = Submission(0, key.address, competition_by_id(COMPETITION), model, block=1)
    offer = ServedModel(key.address, str(model), COMPETITION, RATE_HZ, 30.0, 1)
    fetched = FetchedModel(submission, MODELS / folder, "0" * 64, ())
    prover = Prover(ProcessSandbox(trusted=True), fetched, offer)
    access = ProverAccess(RequestGate(key.address).admit, lambda address: None, lambda hotkey: None)
    sock = listening("127.0.0.1", 0, host_variable="HOST", port_variable="PORT")
    app = prover_app(prover, access, sign=key.sign)
    with contextlib.ExitStack() as stack:
        service = HttpService(app, sock, name="prover", has_streams=True).start()
        stack.callback(service.close)
        stack.callback(prover.close)
        prover.start()
        running = RunningProver(f"http://127.0.0.1:{service.port}", key, offer, prover)
        wait_until_served(running)
        yield running


def wait_until_served(running: RunningProver) -> None:
    deadline = time.monotonic() + 60
    while (heard := post(running, "/v1/model", b"", method="GET")).status != 200:
        assert heard.status == 503
        assert time.monotonic() < deadline
        time.sleep(0.1)


def models_of_this_process() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if "app.server" in each.cmdline()]


def test_a_model_that_is_killed_comes_back_and_loses_no_recording() -> None:
    with serving("template") as running:
        audio = noise()
        for _ in range(2):
            for process in models_of_this_process():
                os.kill(process.pid, signal.SIGKILL)
            heard = post(running, "/challenge", challenge_body(audio, "r"), timeout_s=60)
            assert heard.status == 200
            assert base64.b64decode(json.loads(heard.body)["audio"]) == encode_wav(audio)
            wait_until_served(running)
        assert len(models_of_this_process()) == 1
    assert not models_of_this_process()


def test_live_audio_goes_through_the_process_while_recordings_do() -> None:
    frames = frames_of(40)
    with serving("template") as running, stream_to(running) as client:
        assert started(client)["lookahead_ms"] == 0
        for number, frame in enumerate(frames):
            client.send(frame)
            assert client.frame() == frame
            if number % 20 == 0:
                assert post(running, "/challenge", challenge_body(noise(), f"r-{number}")).status == 200


def test_a_model_that_is_killed_in_a_stream_comes_back() -> None:
    with serving("template") as running:
        with stream_to(running) as client:
            started(client)
            client.send(bytes(FRAME_BYTES))
            client.frame()
            for process in models_of_this_process():
                os.kill(process.pid, signal.SIGKILL)
            client.send(bytes(FRAME_BYTES))
            assert client.close_code() == 1011
        wait_until_served(running)
        with stream_to(running) as client:
            started(client)
            client.send(bytes(FRAME_BYTES))
            assert client.frame() == bytes(FRAME_BYTES)


def test_a_flood_of_requests_keeps_no_verifier_out() -> None:
    """Strangers at other addresses of the loopback network open what connections they can."""
    with running_prover(front=Limits.of(64, 16)) as running:
        assert post(running, "/challenge", challenge_body(noise(), "before")).status == 200
        stop = threading.Event()
        opened: Counter[str] = Counter()
        threads = [threading.Thread(target=flooding, args=(running, n, stop, opened)) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            statuses = [post(running, "/challenge", challenge_body(noise(), f"r-{n}")).status for n in range(20)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert statuses == [200] * 20
    assert opened.total() >= 400


def flooding(running: RunningProver, number: int, stop: threading.Event, opened: Counter[str]) -> None:
    host, port = running.url.removeprefix("http://").split(":")
    body = b"{" * 1_000
    head = f"POST /challenge HTTP/1.1\r\nHost: x\r\nContent-Length: {2 * len(body)}\r\n\r\n".encode()
    held: list[socket.socket] = []
    while not stop.is_set() or opened[host] < 100:
        with contextlib.suppress(OSError):
            held.append(socket.create_connection((host, int(port)), 2, source_address=(f"127.0.1.{number + 1}", 0)))
            held[-1].sendall(head + body)
        opened[str(number)] += 1
        opened[host] += 1
        while len(held) > 30:
            held.pop(0).close()
    for each in held:
        each.close()


def test_a_slow_drip_is_cut_off() -> None:
    with running_prover(front=Limits(body_s=0.5)) as running:
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 10) as sock:
            sock.sendall(b"POST /challenge HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            began_s = time.monotonic()
            with contextlib.suppress(OSError):
                while time.monotonic() - began_s < 10:
                    sock.sendall(b"x")
                    time.sleep(0.02)
            assert time.monotonic() - began_s < 9


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_recording_of_any_length_gets_an_answer_of_that_length(size: int) -> None:
    audio = noise(size / RATE_HZ)
    assert len(audio) == size
    with running_prover() as running:
        heard = post(running, "/challenge", challenge_body(audio, "short"))
    assert heard.status == (422 if not size else 200)
    if size:
        assert len(base64.b64decode(json.loads(heard.body)["audio"])) == 44 + 2 * size
        assert np.isfinite(json.loads(heard.body)["busy_s"])
