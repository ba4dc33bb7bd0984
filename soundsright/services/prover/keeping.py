"""A model that is kept running: its slots, the queue before them, and restarts after a crash.

Times are in seconds. Each slot is a thread with one running model. A model that fails is started again at once,
then with growing pauses until it has enhanced a recording. A recording whose model crashed goes to the restarted
model once more, because the model could have crashed before.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from soundsright.core.audio import Audio
from soundsright.core.errors import (
    InfrastructureFault,
    ModelCrashed,
    ModelFault,
    RequestRefused,
    UsageError,
    printable,
)
from soundsright.core.ports import DegradedClip, ModelStream, Runner, RunningModel, SandboxLimits, StreamingModel
from soundsright.core.submission import FetchedModel

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
_CLIP_ID = "clip"
_MAX_RETRY_AFTER_S = 60
_LEARNING = 0.2
"""The part of the last recording in the moving mean of times."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Enhanced:
    """An enhanced recording, the time it waited for a slot, and the time that the model took."""

    audio: Audio
    queued_s: float
    busy_s: float


@dataclass(eq=False)
class _Job:
    audio: Audio
    sender: str
    asked_s: float
    tries_left: int = 2
    future: Future[Enhanced] = field(default_factory=Future)


@dataclass(frozen=True)
class QueueLimits:
    """The number of recordings that wait, and of one sender among them, and how long one of them waits at most."""

    waiting: int = 16
    per_sender: int = 8
    longest_s: float = 10.0

    def __post_init__(self) -> None:
        if min(self.waiting, self.per_sender) < 1 or not 0 < self.longest_s < math.inf:
            raise UsageError(f"{self} is no queue", "Let one recording or more wait for some seconds.")


class KeptModel:
    """A model in `slots` copies, and the queue of recordings before them. Any thread may use it."""

    def __init__(
        self,
        runner: Runner,
        model: FetchedModel,
        limits: SandboxLimits,
        *,
        slots: int,
        queue: QueueLimits,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner, self._model, self._limits, self._queue_limits = runner, model, limits, queue
        self._monotonic_s = monotonic_s
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._senders: Counter[str] = Counter()
        self._running: dict[int, RunningModel] = {}
        self._streams: Counter[int] = Counter()
        self._suspects: set[int] = set()
        self._lookahead_ms: float | None = None
        self._problem: str | None = "The model has not started yet"
        self._busy_mean_s = 1.0
        self._is_closing = False
        self._threads = [
            threading.Thread(target=self._keep, args=(slot,), name=f"slot-{slot}", daemon=True)
            for slot in range(slots)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the models and the threads. Recordings that wait are refused."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._runner.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        while self._waiting:
            self._waiting.popleft().future.set_exception(_loading())

    @property
    def problem(self) -> str | None:
        """A sentence while no copy of the model runs; None if one does."""
        with self._changed:
            return None if self._running else self._problem

    def stream_lookahead_ms(self) -> float | None:
        """The look-ahead of the model's streams; None if it does not stream.

        Raises:
            RequestRefused: `loading`.
        """
        with self._changed:
            if self._running:
                return self._lookahead_ms
        raise _loading()

    @contextlib.contextmanager
    def stream(self, sample_rate_hz: int) -> Iterator[ModelStream]:
        """A stream through the copy with the fewest. A copy that fails in a stream is started again.

        Raises:
            RequestRefused: `loading`.
            ModelFault: the model did not begin one.
        """
        with self._changed:
            if not self._running:
                raise _loading()
            slot = min(self._running, key=lambda each: (self._streams[each], each))
            model = self._running[slot]
            self._streams[slot] += 1
        try:
            assert isinstance(model, StreamingModel)
            with model.open_stream(sample_rate_hz) as stream:
                yield _WatchedStream(stream, lambda: self._suspect(model))
        except ModelCrashed:
            self._suspect(model)
            raise
        finally:
            with self._changed:
                self._streams[slot] -= 1

    def _suspect(self, model: RunningModel) -> None:
        """Let the slot of this copy start it again."""
        with self._changed:
            slots = [slot for slot, each in self._running.items() if each is model]
            for slot in slots:
                del self._running[slot]
                self._suspects.add(slot)
            self._changed.notify_all()

    def submit(self, audio: Audio, sender: str) -> Future[Enhanced]:
        """The future of the enhanced recording.

        Raises:
            RequestRefused: `loading`, if no copy of the model runs; `busy`, if the queue is full.
        """
        job = _Job(audio, sender, self._monotonic_s())
        with self._changed:
            if not self._running or self._is_closing:
                raise _loading()
            is_full = len(self._waiting) >= self._queue_limits.waiting
            if is_full or self._senders[sender] >= self._queue_limits.per_sender:
                raise self._busy()
            self._waiting.append(job)
            self._senders[sender] += 1
            self._changed.notify()
        return job.future

    def _busy(self) -> RequestRefused:
        wait_s = self._busy_mean_s * (len(self._waiting) + 1) / len(self._threads)
        retry_after_s = max(1, min(_MAX_RETRY_AFTER_S, math.ceil(wait_s)))
        return RequestRefused("busy", "The queue is full; try again later", status=429, retry_after_s=retry_after_s)

    def _keep(self, slot: int) -> None:
        """Run the model in this slot until the end."""
        pause_s, unfinished = 0.0, None
        while not self._is_closing:
            enhanced_some, unfinished = self._run_once(slot, unfinished)
            pause_s = 0.0 if enhanced_some else min(2 * pause_s or FIRST_PAUSE_S, LONGEST_PAUSE_S)
            if unfinished is not None and (pause_s > FIRST_PAUSE_S or self._is_closing):
                unfinished.future.set_exception(_failed())
                unfinished = None
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, pause_s if unfinished is None else 0.0)
        if unfinished is not None:
            unfinished.future.set_exception(_loading())

    def _run_once(self, slot: int, unfinished: _Job | None) -> tuple[bool, _Job | None]:
        """Run the model once, until it fails. Returns whether it enhanced something, and the job that it left."""
        serving = _Serving(self, slot, unfinished)
        try:
            with self._runner.run(self._model, limits=self._limits) as running:
                lookahead_ms = running.stream_lookahead_ms() if isinstance(running, StreamingModel) else None
                with self._changed:
                    self._running[slot], self._lookahead_ms = running, lookahead_ms
                serving.serve(running)
        except (ModelFault, InfrastructureFault) as fault:
            self._note(f"The model stopped: {printable(str(fault))[:300]}")
        except Exception:  # noqa: BLE001 - reported with its trace; the slot goes on
            _log.exception("A slot failed", extra={"action": "prover_slot"})
            self._note("The model's slot failed, for a reason that is in the log")
        finally:
            with self._changed:
                self._running.pop(slot, None)
                self._suspects.discard(slot)
        return serving.enhanced_some, serving.job

    def _note(self, problem: str) -> None:
        with self._changed:
            self._problem = problem
        if not self._is_closing:
            _log.warning(problem, extra={"action": "prover_model"})

    def next_job(self, slot: int) -> _Job | None:
        """The next recording, once there is one; None at the end, or if this copy of the model must start again.

        One that waited for too long is refused.
        """
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._is_closing or slot in self._suspects)
                if self._is_closing or slot in self._suspects:
                    return None
                job = self._waiting.popleft()
                self._senders[job.sender] -= 1
                if not self._senders[job.sender]:
                    del self._senders[job.sender]
                if self._monotonic_s() - job.asked_s <= self._queue_limits.longest_s:
                    return job
                job.future.set_exception(self._busy())

    def took(self, busy_s: float) -> None:
        """Count the time of one recording."""
        with self._changed:
            self._busy_mean_s += _LEARNING * (busy_s - self._busy_mean_s)

    def now_s(self) -> float:
        return self._monotonic_s()


class _WatchedStream:
    """A stream that tells when its model failed."""

    def __init__(self, stream: ModelStream, failed: Callable[[], None]) -> None:
        self._stream = stream
        self._failed = failed
        self.frame_bytes = stream.frame_bytes

    def exchange(self, frame: bytes) -> bytes:
        with self._watching():
            return self._stream.exchange(frame)

    def finish(self) -> tuple[bytes, ...]:
        with self._watching():
            return self._stream.finish()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except ModelCrashed:
            self._failed()
            raise


class _Serving:
    """One running model at work. `job` is the recording that it has not answered."""

    def __init__(self, kept: KeptModel, slot: int, job: _Job | None) -> None:
        self._kept = kept
        self._slot = slot
        self.job = job
        self.enhanced_some = False

    def serve(self, model: RunningModel) -> None:
        """Enhance recordings until the end, or until the model fails."""
        while True:
            self.job = job = self.job or self._kept.next_job(self._slot)
            if job is None:
                return
            job.tries_left -= 1
            began_s = self._kept.now_s()
            try:
                (answer,) = model.enhance([DegradedClip(_CLIP_ID, job.audio)])
            except Exception as fault:
                if not (isinstance(fault, ModelCrashed) and job.tries_left):
                    self.job = None
                    job.future.set_exception(_failed())
                raise
            busy_s = max(0.0, self._kept.now_s() - began_s)
            self.job, self.enhanced_some = None, True
            self._kept.took(busy_s)
            if answer.audio is None:
                _log.warning("The model failed: %s", answer.failure, extra={"action": "prover_clip"})
                job.future.set_exception(_failed())
            else:
                job.future.set_result(Enhanced(answer.audio, max(0.0, began_s - job.asked_s), busy_s))


def _loading() -> RequestRefused:
    return RequestRefused("loading", "The model is not running yet", status=503, retry_after_s=5)


def _failed() -> RequestRefused:
    return RequestRefused("model_failed", "The model did not enhance this recording", status=500)
