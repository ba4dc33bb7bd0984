"""Provers: miners that serve the model they committed to. Times are in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Prover:
    """A hotkey that serves its model, and the `host:port` at which it does."""

    hotkey: str
    endpoint: str


@dataclass(frozen=True)
class Question:
    """A recording to enhance: a mono 16-bit WAV of a competition. The id names this request and no other."""

    request_id: str
    competition: str
    seed: int
    audio: bytes


@dataclass(frozen=True)
class AnswerSignature:
    """What shows a third party that a prover gave an answer: see `soundsright.core.signed_http.answer_text`.

    `nonce` and `sender` are those of the request, `body_sha256` is that of the answer's body. `signature` is hex
    with `0x` before it, or empty. `is_valid` says whether the prover's hotkey signed this.
    """

    nonce: int
    sender: str
    status: int
    body_sha256: str
    signature: str
    is_valid: bool


@dataclass(frozen=True)
class ProverAnswer:
    """A prover's complete answer. Nothing in it is trusted: `audio` can be any bytes up to the limit.

    `time_s` is from the first byte sent to the last one received, by the verifier's clock. `queued_s` and `busy_s`
    are what the prover says, 0 if it says nothing readable. `model` is the mark of the model that it names.
    """

    status: int
    audio: bytes
    time_s: float
    signed: AnswerSignature
    model: str = ""
    queued_s: float = 0.0
    busy_s: float = 0.0


class Provers(Protocol):
    """The provers of a subnet, over signed HTTP. A redirect is an answer like others, and never followed.

    Both kinds of request give the same answers; a prover sees no other difference between them. `max_audio_bytes`
    limits the WAV of an answer.
    """

    def challenge(
        self, prover: Prover, question: Question, *, timeout_s: float, max_audio_bytes: int
    ) -> ProverAnswer:
        """Ask by `POST /challenge`.

        Raises:
            PeerUnavailable: no complete answer came in time, or (code `too_large`) it is larger than it can be.
            InfrastructureFault: this machine could not ask.
        """
        ...

    def inference(
        self, prover: Prover, question: Question, *, timeout_s: float, max_audio_bytes: int
    ) -> ProverAnswer:
        """Ask by `POST /inference`.

        Raises:
            PeerUnavailable: as `challenge`.
            InfrastructureFault: this machine could not ask.
        """
        ...
