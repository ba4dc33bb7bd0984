"""The client of provers: both kinds of request, signatures in headers and trailers, and hostile answers."""

from __future__ import annotations

import base64
import contextlib
import errno
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, RequestGate
from soundsright.adapters.provers import HttpProvers
from soundsright.core.endpoint import PeerNetworks
from soundsright.core.errors import InfrastructureFault, PeerUnavailable
from soundsright.core.ports import Prover, ProverAnswer, Question
from soundsright.core.signed_http import ANSWER_HEADER, answer_text

VERIFIER, PROVER = Hotkey.of_seed("verifier"), Hotkey.of_seed("prover")
NETWORKS = PeerNetworks.of("loopback")
QUESTION = Question("r1", "DENOISING_16000HZ", 7, b"RIFF....WAVE")
ANSWER = b"RIFF....enhanced"

Script = Callable[[Any, bytes], None]
"""How the prover answers a request: it gets the handler and the body."""


def signature(handler: Any, status: int, body: bytes) -> str:
    nonce, sender = int(handler.headers["X-Bittensor-Nonce"]), handler.headers["X-Bittensor-Hotkey"]
    return "0x" + PROVER.sign(answer_text(nonce, sender, status, body)).hex()


def whole(status: int, body: bytes, **headers: str) -> Script:
    def answer(handler: Any, _asked: bytes) -> None:
        handler.send_response(status)
        handler.send_header(ANSWER_HEADER, signature(handler, status, body))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def in_parts(body: bytes, signed: bytes | None = None) -> Script:
    def answer(handler: Any, _asked: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("X-Busy-S", "0.25")
        handler.send_header("X-Queued-S", "nan")
        handler.end_headers()
        for start in range(0, len(body), 5):
            part = body[start : start + 5]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        trailer = signature(handler, 200, body if signed is None else signed)
        handler.wfile.write(f"0\r\n{ANSWER_HEADER}: {trailer}\r\n\r\n".encode())

    return answer


def drip(handler: Any, _asked: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b"x")
        time.sleep(0.05)


@pytest.fixture
def asked() -> list[tuple[str, dict[str, Any], str]]:
    """The path, the values and the sender of each request."""
    return []


@pytest.fixture
def prover(asked: list[tuple[str, dict[str, Any], str]]) -> Iterator[Callable[[Script], Prover]]:
    scripts: list[Script] = []
    gate = RequestGate(PROVER.address)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sender = gate.admit("POST", self.path, dict(self.headers.items()), body)
            asked.append((self.path, json.loads(body), sender))
            self.close_connection = True
            with contextlib.suppress(OSError):
                scripts[0](self, body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()

        def serving(script: Script) -> Prover:
            scripts[:] = [script]
            return Prover(PROVER.address, f"127.0.0.1:{server.server_address[1]}")

        yield serving
        server.shutdown()


def challenged(prover: Prover, *, timeout_s: float = 5.0, max_audio_bytes: int = 1_000) -> ProverAnswer:
    return HttpProvers(VERIFIER, NETWORKS).challenge(
        prover, QUESTION, timeout_s=timeout_s, max_audio_bytes=max_audio_bytes
    )


def inferred(prover: Prover, *, timeout_s: float = 5.0, max_audio_bytes: int = 1_000) -> ProverAnswer:
    return HttpProvers(VERIFIER, NETWORKS).inference(
        prover, QUESTION, timeout_s=timeout_s, max_audio_bytes=max_audio_bytes
    )


def answer_json(**changes: Any) -> bytes:
    audio = base64.b64encode(ANSWER).decode()
    values = {"request_id": "r1", "model": "lab/gate", "audio": audio, "sha256": "0" * 64}
    return json.dumps({**values, "queued_s": 0.5, "busy_s": 1.5, **changes}).encode()


def test_a_challenge_brings_the_audio_and_a_signature_that_a_third_party_can_check(
    prover: Callable[[Script], Prover], asked: list[Any]
) -> None:
    answer = challenged(prover(whole(200, answer_json())))
    assert (answer.status, answer.audio, answer.model) == (200, ANSWER, "lab/gate")
    assert (answer.queued_s, answer.busy_s) == (0.5, 1.5)
    assert 0 < answer.time_s < 5
    path, values, sender = asked[0]
    assert (path, sender) == ("/challenge", VERIFIER.address)
    assert values == {
        "schema": "soundsright.challenge/1",
        "request_id": "r1",
        "competition": "DENOISING_16000HZ",
        "seed": 7,
        "audio": base64.b64encode(QUESTION.audio).decode(),
    }
    signed = answer.signed
    assert signed.is_valid
    text = answer_text(signed.nonce, signed.sender, signed.status, answer_json())
    assert signed.body_sha256.encode() in text
    assert signed.signature.startswith("0x")


def test_an_inference_brings_the_wav_in_parts_with_the_signature_behind_it(
    prover: Callable[[Script], Prover], asked: list[Any]
) -> None:
    answer = inferred(prover(in_parts(ANSWER)))
    assert (answer.status, answer.audio) == (200, ANSWER)
    assert answer.signed.is_valid
    assert (answer.busy_s, answer.queued_s) == (0.25, 0.0)
    assert (asked[0][0], asked[0][1]["schema"]) == ("/inference", "soundsright.inference/1")


def test_the_two_kinds_of_request_have_nearly_the_same_size(
    prover: Callable[[Script], Prover], asked: list[Any]
) -> None:
    place = prover(in_parts(ANSWER))
    challenged(place)
    inferred(place)
    one, other = (values for _, values, _ in asked)
    assert list(one) == list(other)
    assert len(one["schema"]) == len(other["schema"])
    assert one["audio"] == other["audio"]


def test_a_signature_over_another_body_is_not_valid(prover: Callable[[Script], Prover]) -> None:
    assert not inferred(prover(in_parts(ANSWER, signed=b"other"))).signed.is_valid


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[1]",
        b'{"audio": "%%%"}',
        b'{"audio": 5}',
        b'{"audio": NaN, "busy_s": NaN}',
        b'{"audio": ' + b"[" * 500 + b"]" * 500 + b"}",
        answer_json(audio="", queued_s=-1, busy_s=1e300, model="\x1b[2J"),
    ],
)
def test_an_answer_of_another_form_has_no_audio(prover: Callable[[Script], Prover], body: bytes) -> None:
    answer = challenged(prover(whole(200, body)))
    assert (answer.audio, answer.model, answer.queued_s, answer.busy_s) == (b"", "", 0.0, 0.0)


@pytest.mark.parametrize("kind", [challenged, inferred])
def test_a_redirect_is_an_answer_and_is_not_followed(
    prover: Callable[[Script], Prover], asked: list[Any], kind: Callable[..., ProverAnswer]
) -> None:
    answer = kind(prover(whole(307, b"", Location="/challenge")))
    assert (answer.status, answer.audio, len(asked)) == (307, b"", 1)


@pytest.mark.parametrize("kind", [challenged, inferred])
def test_an_answer_with_too_many_bytes_is_given_up(
    prover: Callable[[Script], Prover], kind: Callable[..., ProverAnswer]
) -> None:
    with pytest.raises(PeerUnavailable) as caught:
        kind(prover(whole(200, b"x" * 100_000)), max_audio_bytes=1_000)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("kind", [challenged, inferred])
def test_a_slow_drip_ends_at_the_deadline(
    prover: Callable[[Script], Prover], kind: Callable[..., ProverAnswer]
) -> None:
    started_s = time.monotonic()
    with pytest.raises(PeerUnavailable) as caught:
        kind(prover(drip), timeout_s=0.5)
    assert caught.value.code == "timeout"
    assert time.monotonic() - started_s < 3


def test_a_machine_without_sockets_is_its_own_fault_and_not_the_provers(
    prover: Callable[[Script], Prover], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = prover(whole(200, answer_json()))

    def none_left(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "connect", none_left)
    with pytest.raises(InfrastructureFault, match="no connection left") as caught:
        challenged(place)
    assert not isinstance(caught.value, PeerUnavailable)


def test_a_private_address_is_never_called() -> None:
    with pytest.raises(PeerUnavailable) as caught:
        HttpProvers(VERIFIER).challenge(
            Prover(PROVER.address, "127.0.0.1:1"), QUESTION, timeout_s=1.0, max_audio_bytes=1_000
        )
    assert caught.value.code == "forbidden_address"
