"""Provers for tests, each on a port of its own: an honest one, and every kind that a verifier must tell from it.

Signals are float32 arrays of shape `(n,)`, full scale ±1; times are in seconds. All but the honest kinds claim to
serve the reference model, and do something else.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundsright.adapters.peers import Hotkey, RequestGate, request, signed_headers
from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.competition import competition_by_id
from soundsright.core.errors import ModelCrashed
from soundsright.core.ports import Answer, DegradedClip, ModelStream, SandboxLimits
from soundsright.core.results import Timing
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.core.tiers import CHALLENGE_SCHEMA, STREAM_FRAME_MS, ServedModel
from soundsright.core.wav import decode_wav, encode_wav
from soundsright.services.http import HttpService, Limits, listening
from soundsright.services.prover import Prover, ProverAccess, ProverLimits, prover_app
from soundsright.services.streaming import StreamBounds

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COMPETITION = "DENOISING_16000HZ"
RATE_HZ = 16_000
MODEL = ModelRef("lab", "gate", "a" * 40)
_PROXY_TIMEOUT_S = 20.0

Enhance = Callable[[Audio], Audio]


class ProverKind(StrEnum):
    """The kinds of prover, by what they do in place of running the committed model."""

    HONEST = "honest"
    OTHER_THREADS = "other_threads"
    """Runs the model on another number of threads: some samples differ by one step of 16 bits."""
    INPUT = "input"
    """Returns the recording as it came."""
    BETTER = "better"
    """Runs another model, which removes more."""
    LOUDER = "louder"
    """Returns the model's answer one decibel louder."""
    CACHED = "cached"
    """Returns its first answer to everything."""
    PROXY = "proxy"
    """Lets another prover answer."""
    SLOW = "slow"
    DRIP = "drip"
    """Sends a byte of its answer now and then."""
    CRASH = "crash"
    """Its model ends at every recording."""


def reference_model(audio: Audio, *, depth: float = 0.7) -> Audio:
    """The reference model: it lowers each bin of the spectrum the more, the less it stands out of the noise."""
    size, hop = 512, 256
    window = np.sin(np.pi * np.arange(size) / size)
    frames = -(-(len(audio) + hop) // hop)
    padded = np.zeros((frames + 1) * hop)
    padded[hop : hop + len(audio)] = audio.samples
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window)
    power = np.abs(spectra) ** 2
    noise = np.quantile(power, 0.3, axis=0, keepdims=True)
    gain = 1.0 - depth * noise / (power + noise + 1e-12)
    pieces = np.fft.irfft(spectra * gain, size) * window
    total = np.zeros_like(padded)
    for index, piece in enumerate(pieces):
        total[index * hop : index * hop + size] += piece
    return Audio(on_pcm16_grid(total[hop : hop + len(audio)]), audio.sample_rate_hz)


def _other_threads(audio: Audio) -> Audio:
    enhanced = reference_model(audio).samples.copy()
    enhanced[::37] += np.float32(1 / 32_768)
    return Audio(on_pcm16_grid(enhanced), audio.sample_rate_hz)


def _louder(audio: Audio) -> Audio:
    enhanced = reference_model(audio).samples * np.float32(10 ** (1 / 20))
    return Audio(on_pcm16_grid(enhanced), audio.sample_rate_hz)


class _Cached:
    def __init__(self) -> None:
        self._first: Audio | None = None

    def __call__(self, audio: Audio) -> Audio:
        self._first = self._first or reference_model(audio)
        return Audio(np.resize(self._first.samples, len(audio)), audio.sample_rate_hz)


def _crash(audio: Audio) -> Audio:
    raise ModelCrashed("ended", 1)


@dataclass(frozen=True)
class Proxy:
    """Asks another prover, in the name of `key`."""

    url: str
    receiver: str
    key: Hotkey

    def __call__(self, audio: Audio) -> Audio:
        body = challenge_body(audio, "proxy")
        headers = signed_headers(self.key, method="POST", path="/challenge", body=body, receiver=self.receiver)
        reply = request(self.url, "POST", "/challenge", body=body, headers=headers, timeout_s=_PROXY_TIMEOUT_S)
        wav = decode_wav(base64.b64decode(json.loads(reply.body)["audio"]))
        return Audio(wav.samples[:, 0].astype(np.float32) / np.float32(32_768), wav.sample_rate_hz)


def challenge_body(
    audio: Audio, request_id: str, *, schema: str = CHALLENGE_SCHEMA, competition: str = COMPETITION, seed: int = 0
) -> bytes:
    """The body of a challenge, or of an inference by its schema."""
    wav = base64.b64encode(encode_wav(audio)).decode()
    values = {"schema": schema, "request_id": request_id, "competition": competition, "seed": seed, "audio": wav}
    return json.dumps(values).encode()


class FunctionRunner:
    """The `Runner` port over a function. `delay_s` is the time that every recording takes besides.

    The model streams if there is `new_stream`, which makes a stream of frames of that many bytes.
    """

    name = "function"

    def __init__(
        self, enhance: Enhance, *, delay_s: float = 0.0, new_stream: Callable[[int], ModelStream] | None = None
    ) -> None:
        self._enhance = enhance
        self._delay_s = delay_s
        self._new_stream = new_stream
        self._stopped = threading.Event()

    def prepare(self, model: FetchedModel) -> None:
        """Do nothing: there is nothing to build."""

    @contextlib.contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[FunctionModel]:
        if self._new_stream is None:
            yield FunctionModel(self._enhance, self._delay_s, self._stopped)
            return
        streaming = StreamingFunctionModel(self._enhance, self._delay_s, self._stopped)
        streaming.new_stream = self._new_stream
        yield streaming

    def stop(self) -> None:
        self._stopped.set()


class FunctionModel:
    """The `RunningModel` port over a function."""

    def __init__(self, enhance: Enhance, delay_s: float, stopped: threading.Event) -> None:
        self._enhance, self._delay_s, self._stopped = enhance, delay_s, stopped
        self.timing = Timing()

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        if self._stopped.wait(self._delay_s):
            raise ModelCrashed("stopped")
        return tuple(Answer(clip.clip_id, self._enhance(clip.audio), elapsed_s=0.0) for clip in batch)


class FunctionStream:
    """The `ModelStream` port: each sample is halved, and the answer lags by one frame."""

    def __init__(self, frame_bytes: int) -> None:
        self.frame_bytes = frame_bytes
        self._last = bytes(frame_bytes)

    def exchange(self, frame: bytes) -> bytes:
        last, self._last = self._last, halved(frame)
        return last

    def finish(self) -> tuple[bytes, ...]:
        return (self._last,)


def halved(pcm: bytes) -> bytes:
    """The samples at half their size."""
    return (np.frombuffer(pcm, "<i2") // 2).astype("<i2").tobytes()


class StreamingFunctionModel(FunctionModel):
    """The `StreamingModel` port over a function, with the stream that `new_stream` makes of a frame's size."""

    new_stream: Callable[[int], ModelStream] = FunctionStream

    def stream_lookahead_ms(self) -> float | None:
        return float(STREAM_FRAME_MS)

    @contextlib.contextmanager
    def open_stream(self, sample_rate_hz: int) -> Iterator[ModelStream]:
        yield self.new_stream(2 * sample_rate_hz * STREAM_FRAME_MS // 1_000)


@dataclass(frozen=True)
class RunningProver:
    """A prover that answers at `url`. Its answers are signed by `key`."""

    url: str
    key: Hotkey
    offer: ServedModel
    prover: Prover

    @property
    def hotkey(self) -> str:
        return self.key.address


def fetched_reference(key: Hotkey, model: ModelRef = MODEL) -> FetchedModel:
    """The committed reference model of that hotkey. It has no files, because a function runs in its place."""
    submission = Submission(0, key.address, competition_by_id(COMPETITION), model, block=1)
    return FetchedModel(submission, Path("/nonexistent"), "0" * 64, ())


@contextlib.contextmanager
def running_prover(
    kind: ProverKind = ProverKind.HONEST,
    key: Hotkey | None = None,
    *,
    behind: RunningProver | None = None,
    slow_s: float = 3.0,
    slots: int = 1,
    max_audio_s: float = 30.0,
    limits: ProverLimits | None = None,
    front: Limits | None = None,
    check_caller: Callable[[str], None] = lambda hotkey: None,
    throttle: Callable[[str], None] = lambda address: None,
    new_stream: Callable[[int], ModelStream] | None = None,
    bounds: StreamBounds | None = None,
) -> Iterator[RunningProver]:
    """A prover of that kind on a free port of this machine. A proxy asks the prover `behind` it.

    A slow one takes `slow_s` for each recording, and a drip that time for each byte.
    """
    key = key or Hotkey.of_seed(f"prover-{kind}")
    offer = ServedModel(key.address, str(MODEL), COMPETITION, RATE_HZ, max_audio_s, slots)
    delay_s = slow_s if kind is ProverKind.SLOW else 0.0
    runner = FunctionRunner(_function(kind, key, behind), delay_s=delay_s, new_stream=new_stream)
    prover = Prover(runner, fetched_reference(key), offer, limits)
    access = ProverAccess(RequestGate(key.address).admit, throttle, check_caller)
    app = prover_app(prover, access, sign=key.sign, bounds=bounds)
    if kind is ProverKind.DRIP:
        app.add_middleware(_Drip, pause_s=slow_s)
    with contextlib.ExitStack() as stack:
        sock = listening("127.0.0.1", 0, host_variable="HOST", port_variable="PORT")
        service = HttpService(app, sock, name=f"prover-{kind}", limits=front or Limits(), has_streams=True).start()
        stack.callback(service.close)
        stack.callback(prover.close)
        prover.start()
        _wait_until_ready(prover)
        yield RunningProver(f"http://127.0.0.1:{service.port}", key, offer, prover)


def _function(kind: ProverKind, key: Hotkey, behind: RunningProver | None) -> Enhance:
    if kind is ProverKind.PROXY:
        assert behind is not None, "a proxy needs a prover behind it"
        return Proxy(behind.url, behind.hotkey, key)
    if kind is ProverKind.CACHED:
        return _Cached()
    functions: dict[ProverKind, Enhance] = {
        ProverKind.OTHER_THREADS: _other_threads,
        ProverKind.INPUT: lambda audio: audio,
        ProverKind.BETTER: lambda audio: reference_model(audio, depth=0.95),
        ProverKind.LOUDER: _louder,
        ProverKind.CRASH: _crash,
    }
    return functions.get(kind, reference_model)


def _wait_until_ready(prover: Prover, timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while prover.problem is not None and time.monotonic() < deadline_s:
        time.sleep(0.01)


class _Drip:
    """ASGI middleware that sends the bodies of answers to POST byte by byte."""

    def __init__(self, app: ASGIApp, pause_s: float) -> None:
        self._app = app
        self._pause_s = pause_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dripping(message: Message) -> None:
            body = message.get("body", b"")
            for index in range(len(body)):
                part: dict[str, Any] = {"type": message["type"], "body": body[index : index + 1], "more_body": True}
                await send(part)
                await asyncio.sleep(self._pause_s)
            await send({**message, "body": b""} if body else message)

        await self._app(scope, receive, dripping if scope.get("method") == "POST" else send)
