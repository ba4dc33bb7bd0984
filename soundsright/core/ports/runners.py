"""Runners of models. Times are in seconds and measured by the host; sizes are in bytes."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from soundsright.core.results import Failure, Timing
from soundsright.core.submission import FetchedModel

if TYPE_CHECKING:
    # A miner imports the ports and has no NumPy.
    from soundsright.core.audio import Audio


@dataclass(frozen=True)
class SandboxLimits:
    """The limits of a model. A batch's deadline is `enhance_fixed_s + enhance_factor x its seconds of audio`."""

    memory_bytes: int = 4_000_000_000
    cpus: float = 1.0
    pids: int = 256
    open_files: int = 1_024
    tmpfs_bytes: int = 512_000_000
    log_bytes: int = 1_000_000
    load_timeout_s: float = 120.0
    step_timeout_s: float = 30.0
    enhance_fixed_s: float = 30.0
    enhance_factor: float = 10.0


@dataclass(frozen=True, eq=False)
class DegradedClip:
    """A model's input: the degraded signal, under a name that reveals nothing about it."""

    clip_id: str
    audio: Audio


@dataclass(frozen=True, eq=False)
class Answer:
    """A model's answer to one clip: valid audio of the right rate and length, or the named failure.

    `elapsed_s` is the clip's part of the time that the host waited for the model. It is None if the time was not
    measured, for example because the whole batch failed.

    Raises:
        ValueError: if both or neither of audio and failure are given, or the time is negative or not finite.
    """

    clip_id: str
    audio: Audio | None = None
    failure: Failure | None = None
    elapsed_s: float | None = None

    def __post_init__(self) -> None:
        if (self.audio is None) == (self.failure is None):
            raise ValueError(f"clip {self.clip_id}: exactly one of audio and failure must be given")
        if self.elapsed_s is not None and not 0 <= self.elapsed_s < math.inf:
            raise ValueError(f"clip {self.clip_id}: {self.elapsed_s} s is not a measured time")


class RunningModel(Protocol):
    """A model that has loaded and waits for clips."""

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        """One answer per clip, in the order of the batch, each with its part of the batch's time.

        Raises:
            ModelFault: the whole batch got no answer (crash, timeout, violation).
            InfrastructureFault: the runner failed, not the model.
        """
        ...

    @property
    def timing(self) -> Timing:
        """The measurements since the start: sums of times, and peaks of memory."""
        ...


@runtime_checkable
class MeteredModel(RunningModel, Protocol):
    """A running model whose peaks of memory can be measured for each batch alone."""

    def restart_peaks(self) -> bool:
        """Measure the peaks of memory in `timing` from now on.

        Returns False if this machine cannot do so. The peaks then stay those since the start.
        """
        ...


class ModelStream(Protocol):
    """A live stream through a model. Frames are 16-bit little-endian PCM of one channel, all of `frame_bytes`."""

    frame_bytes: int

    def exchange(self, frame: bytes) -> bytes:
        """The frame that the model answers to this one. It lags by the model's look-ahead.

        Raises:
            ModelFault: there is none in time.
        """
        ...

    def finish(self) -> tuple[bytes, ...]:
        """End the stream. The last frames, which the look-ahead held back.

        Raises:
            ModelFault: they do not come in time.
        """
        ...


@runtime_checkable
class StreamingModel(RunningModel, Protocol):
    """A running model that can also be asked for streams, next to batches. Any thread may ask."""

    def stream_lookahead_ms(self) -> float | None:
        """By how much the answer to a stream lags; None if the model does not stream.

        Raises:
            ModelFault: the model gave no valid answer.
        """
        ...

    def open_stream(self, sample_rate_hz: int) -> AbstractContextManager[ModelStream]:
        """A new stream, which ends with the context. Ask only a model that streams.

        Raises:
            ModelFault: the model did not begin one.
        """
        ...


class Runner(Protocol):
    """Runs entries: it takes an entry and clips, and returns answers with their times.

    A runner can be a sandbox on this machine, an executor on another machine, or a model that is served elsewhere.
    It removes only what it created.
    """

    @property
    def name(self) -> str: ...

    def prepare(self, model: FetchedModel) -> None:
        """Do the part of `run` that does not need the model's processor early, such as building its image.

        The work is done once, here or in `run`. You can prepare one model while another runs.

        Raises:
            ModelFault: the model cannot be built, or names no command.
            InfrastructureFault: something around it failed.
        """
        ...

    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> AbstractContextManager[RunningModel]:
        """Start the model and wait until it is ready.

        Raises:
            ModelFault: the model did not become ready.
            EngineUnavailable: the runner itself could not start it.
        """
        ...

    def stop(self) -> None:
        """End every model that is being prepared, loaded or run here. Call it from any thread.

        Callers that wait for such a model get a `ModelFault`.
        """
        ...


@runtime_checkable
class ImageRunner(Runner, Protocol):
    """A runner that runs images and knows their layers."""

    def image_layers(self, model: FetchedModel) -> tuple[str, ...]:
        """The digests of the layers of a model's image, if this machine has it and every machine has the same ones.

        It is empty for an image whose build runs commands, because their results can differ between machines.

        Raises:
            InfrastructureFault: the engine failed.
        """
        ...


@runtime_checkable
class ImageKeeper(Runner, Protocol):
    """A runner that keeps the images that it pulled."""

    def forget_images(self, keep: Collection[str]) -> int:
        """Remove the images that were pulled for entries, except those with a content hash in `keep`.

        Returns the number of removed images. One that a container uses stays.

        Raises:
            InfrastructureFault: the engine failed.
        """
        ...


@runtime_checkable
class ImageBuilder(Runner, Protocol):
    """A runner that builds an image for each model."""

    def built_content(self, model: FetchedModel) -> str:
        """The SHA-256 of the content of a model's built image: its files and settings without times.

        Raises:
            InfrastructureFault: the engine failed, the image is gone, or it is too large to be read.
        """
        ...


class Sandbox(Runner, Protocol):
    """A runner that runs strangers' models on this machine, in processes or containers that it starts."""

    @property
    def isolated(self) -> bool:
        """Whether the sandbox contains a hostile model. If False, use it only for models that you trust."""
        ...
