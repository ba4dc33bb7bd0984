"""Provers: miners that serve the model they committed to. Times are in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from soundsright.core.tiers import ServedModel


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
    """The proof for a third party that a prover gave an answer: see `soundsright.core.signed_http.answer_text`.

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


@dataclass(frozen=True)
class StreamOpening:
    """A prover's stream that has begun. Its answer lags by `lookahead_ms`.

    `nonce` and `sender` are those of the request: with them and the summary anybody can check the signature.
    """

    lookahead_ms: float
    nonce: int
    sender: str


class ProverStream(Protocol):
    """Live audio through a prover's model: frames of a fixed size, one out for one in. One event loop uses it."""

    opening: StreamOpening

    @property
    def signature(self) -> str:
        """The prover's signature of the summary, hex with `0x` before it. Empty if none that is valid came."""
        ...

    async def send(self, frame: bytes) -> None:
        """Send a frame.

        Raises:
            PeerUnavailable: the prover takes none.
        """
        ...

    async def receive(self) -> bytes:
        """The answer to the first frame that has none yet.

        Raises:
            PeerUnavailable: none came in time, or something else did.
        """
        ...

    async def finish(self) -> Sequence[bytes]:
        """End the stream: the last frames, which the look-ahead held back.

        Raises:
            PeerUnavailable: as `receive`.
        """
        ...


class LiveProvers(Protocol):
    """Provers whose models take live audio."""

    def offer(self, prover: Prover, *, timeout_s: float) -> ServedModel:
        """The answer to `GET /v1/model`.

        Raises:
            PeerUnavailable: no answer came in time, or it is not that of this hotkey.
        """
        ...

    def stream(
        self, prover: Prover, sample_rate_hz: int, *, timeout_s: float
    ) -> AbstractAsyncContextManager[ProverStream]:
        """Open a stream by a signed request. `timeout_s` limits the opening and the wait for each answer.

        Raises:
            PeerUnavailable: the prover refuses, or does not answer in time.
        """
        ...
