"""The port `Provers` over signed HTTP. Times are in seconds, sizes in bytes.

Both kinds of request have the same fields in the same order and thus the same size, up to the name of the schema.
The answer to a challenge is JSON with the audio in base64. That to an inference is the WAV itself, in parts, with
the signature in the trailer. One deadline covers a request, from the look-up of the name to the last byte.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import json
import math
import time
from collections.abc import Mapping
from typing import Any

from soundsright.adapters.peers import request, signed_headers, valid_answer_signature
from soundsright.core.endpoint import PUBLIC, PeerNetworks
from soundsright.core.errors import InfrastructureFault, PeerUnavailable
from soundsright.core.ports import Account, AnswerSignature, Prover, ProverAnswer, Question, Reply
from soundsright.core.signed_http import answer_text
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.core.tiers import CHALLENGE_SCHEMA, INFERENCE_SCHEMA, AttemptKind

CHALLENGE_PATH, INFERENCE_PATH = "/challenge", "/inference"
FIELDS_BYTES = 4_096
"""Allowed for the fields of an answer besides its audio."""

_MAX_MARK_CHARS = 1_000
_MAX_SAID_S = 1e5
_MAX_DEPTH = 3
_OWN_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
"""Errors of this machine: it has no file, memory or port left for another connection."""


class HttpProvers:
    """Asks provers in the name of one account, at addresses that `networks` allow. Any thread may use it."""

    def __init__(self, account: Account, networks: PeerNetworks = PUBLIC) -> None:
        self._account = account
        self._networks = networks

    def challenge(
        self, prover: Prover, question: Question, *, timeout_s: float, max_audio_bytes: int
    ) -> ProverAnswer:
        """Ask by `POST /challenge`.

        Raises:
            PeerUnavailable: no complete answer came in time, or (code `too_large`) it is larger than it can be.
            InfrastructureFault: this machine could not ask.
        """
        reply, signed, time_s = self._ask(
            prover,
            CHALLENGE_PATH,
            question_body(AttemptKind.CHALLENGE, question),
            timeout_s=timeout_s,
            max_bytes=4 * math.ceil(max_audio_bytes / 3) + FIELDS_BYTES,
        )
        fields = _fields(reply.body) if reply.status == 200 else {}
        return ProverAnswer(
            reply.status,
            _decoded(fields.get("audio")),
            time_s,
            signed,
            _mark(fields.get("model")),
            _seconds(fields.get("queued_s")),
            _seconds(fields.get("busy_s")),
        )

    def inference(
        self, prover: Prover, question: Question, *, timeout_s: float, max_audio_bytes: int
    ) -> ProverAnswer:
        """Ask by `POST /inference`.

        Raises:
            PeerUnavailable: as `challenge`.
            InfrastructureFault: this machine could not ask.
        """
        reply, signed, time_s = self._ask(
            prover,
            INFERENCE_PATH,
            question_body(AttemptKind.INFERENCE, question),
            timeout_s=timeout_s,
            max_bytes=max_audio_bytes,
        )
        return ProverAnswer(
            reply.status,
            reply.body if reply.status == 200 else b"",
            time_s,
            signed,
            _mark(reply.headers.get("x-model")),
            _seconds_of_text(reply.headers.get("x-queued-s", "")),
            _seconds_of_text(reply.headers.get("x-busy-s", "")),
        )

    def _ask(
        self, prover: Prover, path: str, body: bytes, *, timeout_s: float, max_bytes: int
    ) -> tuple[Reply, AnswerSignature, float]:
        """The reply, the signature of its answer, and the time that it took."""
        nonce_ns = time.time_ns()
        headers = signed_headers(
            self._account, method="POST", path=path, body=body, receiver=prover.hotkey, nonce_ns=nonce_ns
        )
        started_s = time.monotonic()
        try:
            reply = request(
                f"http://{prover.endpoint}",
                "POST",
                path,
                body=body,
                headers=headers,
                timeout_s=timeout_s,
                max_bytes=max_bytes,
                networks=self._networks,
            )
        except PeerUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in _OWN_ERRORS:
                raise InfrastructureFault(
                    f"This machine has no connection left ({cause.strerror})", "Raise its limit of open files."
                ) from error
            raise
        time_s = time.monotonic() - started_s
        text = answer_text(nonce_ns, self._account.address, reply.status, reply.body)
        return (
            reply,
            AnswerSignature(
                nonce_ns,
                self._account.address,
                reply.status,
                hashlib.sha256(reply.body).hexdigest(),
                reply.signature[:200] if reply.signature.isascii() else "",
                valid_answer_signature(reply.signature, text, prover.hotkey),
            ),
            time_s,
        )


def question_body(kind: AttemptKind, question: Question) -> bytes:
    """The body of a request, as provers read it.

    >>> question_body(AttemptKind.CHALLENGE, Question("a", "DENOISING_16000HZ", 1, b"RIFF"))[-20:]
    b'"audio": "UklGRg=="}'
    """
    return json.dumps(
        {
            "schema": CHALLENGE_SCHEMA if kind is AttemptKind.CHALLENGE else INFERENCE_SCHEMA,
            "request_id": question.request_id,
            "competition": question.competition,
            "seed": question.seed,
            "audio": base64.b64encode(question.audio).decode(),
        }
    ).encode()


def _fields(body: bytes) -> Mapping[str, Any]:
    """The fields of an answer to a challenge; none if it has another form."""
    try:
        values = strict_json(body, max_depth=_MAX_DEPTH)
    except NotStrictJson:
        return {}
    return values if isinstance(values, dict) else {}


def _decoded(audio: object) -> bytes:
    """The bytes in base64; none if it is something else."""
    if not isinstance(audio, str):
        return b""
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _mark(text: object) -> str:
    return text[:_MAX_MARK_CHARS] if isinstance(text, str) and text.isprintable() else ""


def _seconds(said: object) -> float:
    """The seconds that a prover says; 0 if that is no time."""
    if type(said) not in (int, float) or not 0 <= said <= _MAX_SAID_S:  # type: ignore[operator]
        return 0.0
    return float(said)  # type: ignore[arg-type]


def _seconds_of_text(text: str) -> float:
    try:
        return _seconds(float(text[:32]))
    except ValueError:
        return 0.0
