"""A loaded model: it enhances batches of clips, and the harness measures it.

Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Protocol

from soundsright.adapters.protocol import (
    BatchAnswers,
    Connect,
    FileModelClient,
    HttpModelClient,
    HttpModelStream,
)
from soundsright.adapters.sandboxes.connections import TCP_PORT
from soundsright.adapters.sandboxes.environment import INPUT_FOLDER, OUTPUT_FOLDER
from soundsright.adapters.sandboxes.gpu import GpuWatch
from soundsright.core.errors import ModelFault, ModelTimeout, ProtocolViolation
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits
from soundsright.core.results import Timing

FAULT_LOG_CHARS = 4_000
_LOG_WAIT_S, _LOG_POLL_S = 0.5, 0.1


class ProtocolClient(Protocol):
    """The harness's side of the model protocol, over HTTP or over files."""

    def wait_until_ready(self, deadline: float) -> None: ...
    def reset(self) -> None: ...
    def enhance(self, batch: Sequence[DegradedClip]) -> BatchAnswers: ...


@dataclass(frozen=True)
class StartedModel:
    """A model's program that a sandbox has started, and how to reach, watch and end it.

    `started_s` is the `time.monotonic()` of its start. `by_files` says which protocol it speaks: over files, or
    otherwise over HTTP. `ended` gives its fault once it has ended. `listening_ports` are its open TCP ports, as far
    as they can be seen. `restart_peak` begins a new peak of memory, and returns whether it could.
    """

    started_s: float
    by_files: bool
    connect: Connect
    open_folder: Callable[[PurePosixPath], int]
    ended: Callable[[], ModelFault | None]
    stop: Callable[[], None]
    log: Callable[[], str]
    peak_memory_bytes: Callable[[], int]
    listening_ports: Callable[[], Sequence[int]] = tuple
    restart_peak: Callable[[], bool] = lambda: False

    def client(self, limits: SandboxLimits) -> ProtocolClient:
        """A client of the protocol that the model speaks."""
        if not self.by_files:
            return HttpModelClient(self.connect, limits=limits, ended=self.ended)
        return FileModelClient(
            partial(self.open_folder, INPUT_FOLDER),
            partial(self.open_folder, OUTPUT_FOLDER),
            limits=limits,
            ended=self.ended,
        )


class ModelSession:
    """A `MeteredModel`: a model that is ready. `gpu_watch` samples its GPU, if it has one."""

    def __init__(
        self,
        model: StartedModel,
        client: ProtocolClient,
        *,
        load_s: float,
        build_s: float = 0.0,
        gpu_watch: GpuWatch | None = None,
    ) -> None:
        self._model = model
        self._client = client
        self._load_s = load_s
        self._build_s = build_s
        self._gpu_watch = gpu_watch
        self._enhance_s = 0.0
        self._audio_s = 0.0
        self._has_enhanced = False

    def log(self) -> str:
        """The end of the model's output."""
        return self._model.log()

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        """One answer per clip, in the order of the batch. The model is reset before every batch but the first.

        Raises:
            ModelFault: the batch as a whole got no answer.
        """
        if not batch:
            return ()
        with _log_in_faults(self.log):
            if self._has_enhanced:
                self._client.reset()
            self._has_enhanced = True
            result = self._client.enhance(batch)
        self._enhance_s += result.waited_s
        self._audio_s += sum(clip.audio.duration_s for clip in batch)
        return _timed(result, batch)

    def stream_lookahead_ms(self) -> float | None:
        """By how much the answer to a stream lags; None if the model does not stream.

        Raises:
            ModelFault: the model gave no valid answer.
        """
        with _log_in_faults(self.log):
            return self._client.stream_lookahead_ms() if isinstance(self._client, HttpModelClient) else None

    @contextlib.contextmanager
    def open_stream(self, sample_rate_hz: int) -> Iterator[HttpModelStream]:
        """A new stream, which ends with the context. It can last while batches are enhanced.

        Raises:
            ModelFault: the model does not stream, or did not begin one.
        """
        if not isinstance(self._client, HttpModelClient):
            raise ProtocolViolation("a model over files does not stream")
        with _log_in_faults(self.log), contextlib.closing(self._client.open_stream(sample_rate_hz)) as stream:
            yield stream

    def restart_peaks(self) -> bool:
        """Measure the peaks of memory from now on. False: the control group's peak stays that since the start."""
        if self._gpu_watch is not None:
            self._gpu_watch.restart_peak()
        return self._model.restart_peak()

    @property
    def timing(self) -> Timing:
        """The measurements so far."""
        use = self._gpu_watch.use() if self._gpu_watch else None
        return Timing(
            load_s=self._load_s,
            enhance_s=self._enhance_s,
            audio_s=self._audio_s,
            peak_memory_bytes=self._model.peak_memory_bytes(),
            build_s=self._build_s,
            peak_gpu_memory_bytes=use.memory_bytes if use else None,
            gpu_utilisation=use.utilisation_percent / 100 if use else None,
        )


def _timed(result: BatchAnswers, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
    """The answers, each with its part of the batch's time.

    A model gets the whole batch at once, so the time is divided in proportion to the clips' durations.
    """
    samples = sum(len(clip.audio) for clip in batch)
    return tuple(
        replace(
            answer,
            elapsed_s=result.waited_s * (len(clip.audio) / samples if samples else 1 / len(batch)),
        )
        for answer, clip in zip(result.answers, batch, strict=True)
    )


@contextlib.contextmanager
def _log_in_faults(log: Callable[[], str]) -> Iterator[None]:
    """Attach the end of the model's log to a fault, so that the model's author can see the cause."""
    try:
        yield
    except ModelFault as fault:
        # A server answers 500 first and writes its traceback afterwards: wait until it stops writing.
        deadline, previous = time.monotonic() + _LOG_WAIT_S, ""
        while time.monotonic() < deadline and (not previous or previous != log()):
            previous = log()
            time.sleep(_LOG_POLL_S)
        fault.log = log()[-FAULT_LOG_CHARS:]
        raise


def loaded_session(
    model: StartedModel,
    limits: SandboxLimits,
    *,
    build_s: float = 0.0,
    gpu_watch: GpuWatch | None = None,
) -> ModelSession:
    """The session of a model, once it is ready.

    Raises:
        ModelFault: the model did not become ready.
    """
    client = model.client(limits)
    with _log_in_faults(model.log):
        try:
            client.wait_until_ready(model.started_s + limits.load_timeout_s)
        except ModelTimeout as e:
            other_ports = ", ".join(str(port) for port in model.listening_ports() if port != TCP_PORT)
            if not other_ports:
                raise
            raise ProtocolViolation(
                f"the model listens on TCP port {other_ports}. It must listen on the socket in SOUNDSRIGHT_SOCKET "
                f"or on port {TCP_PORT}"
            ) from e
    return ModelSession(
        model, client, load_s=time.monotonic() - model.started_s, build_s=build_s, gpu_watch=gpu_watch
    )
