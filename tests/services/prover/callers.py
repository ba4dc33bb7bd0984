"""A caller of provers: signed requests, and answers with their trailers."""

from __future__ import annotations

import hashlib
import socket
import time
from dataclasses import dataclass

import numpy as np

from soundsright.adapters.peers import Hotkey, signed_headers, valid_signature
from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.signed_http import ANSWER_HEADER, answer_text
from soundsright.testing.provers import RATE_HZ, RunningProver

VERIFIER = Hotkey.of_seed("verifier")


def noise(seconds: float = 0.5, seed: int = 0, rate_hz: int = RATE_HZ) -> Audio:
    samples = np.random.default_rng(seed).normal(0, 0.1, int(seconds * rate_hz))
    return Audio(on_pcm16_grid(samples), rate_hz)


@dataclass(frozen=True)
class Heard:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]
    signed: bool


def post(
    prover: RunningProver,
    path: str,
    body: bytes,
    *,
    key: Hotkey = VERIFIER,
    headers: dict[str, str] | None = None,
    method: str = "POST",
    timeout_s: float = 20.0,
) -> Heard:
    """Send one signed request and read the whole answer."""
    nonce_ns = time.time_ns()
    if headers is None:
        headers = signed_headers(
            key, method=method, path=path, body=body, receiver=prover.hotkey, nonce_ns=nonce_ns
        )
    host, port = prover.url.removeprefix("http://").split(":")
    fields = {"Host": "x", "Connection": "close", "Content-Length": str(len(body)), **headers}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    with socket.create_connection((host, int(port)), timeout_s) as sock:
        sock.sendall("\r\n".join([*head, "", ""]).encode() + body)
        raw = b"".join(iter(lambda: sock.recv(65_536), b""))
    top, _, rest = raw.partition(b"\r\n\r\n")
    status, fields = int(top.split()[1]), _fields(top)
    trailers: dict[str, str] = {}
    if fields.get("transfer-encoding") == "chunked":
        rest, trailers = _unchunked(rest)
    signature = (fields | trailers).get(ANSWER_HEADER.lower(), "")
    text = answer_text(nonce_ns, key.address, status, rest)
    signed = bool(signature) and valid_signature(prover.hotkey, text, bytes.fromhex(signature[2:]))
    return Heard(status, fields, rest, trailers, signed)


def _fields(top: bytes) -> dict[str, str]:
    lines = top.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _unchunked(data: bytes) -> tuple[bytes, dict[str, str]]:
    body = b""
    while True:
        size_line, _, data = data.partition(b"\r\n")
        size = int(size_line, 16)
        if not size:
            return body, _fields(b"\r\n" + data.rstrip(b"\r\n"))
        body, data = body + data[:size], data[size + 2 :]


def pcm_sha256(audio: Audio) -> str:
    samples = np.rint(audio.samples.astype(np.float64) * 32_768).astype("<i2").tobytes()
    return hashlib.sha256(f"soundsright.pcm/1:{audio.sample_rate_hz}:1:".encode() + samples).hexdigest()
