"""Runs one model on one set, batch by batch, and gives every clip a result.

Times are in seconds. This module decides what is to blame for a failure:

- A `ModelFault` becomes the failure of every clip of the batch. The model is then started again. After two failed
  batches it is given up, and the remaining clips get the last failure.
- An `InfrastructureFault` leads to another try. It is raised after several tries, as `EntryStuck` if the sandbox
  raised it.

Each batch is recorded when its results are on the disk. An interrupted evaluation continues with the first batch
that is not recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from types import TracebackType

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.errors import InfrastructureFault, ModelFault
from soundsright.core.ports import Answer, RunningModel
from soundsright.core.results import ClipResult, Evaluation, Failure, Timing
from soundsright.core.submission import FetchedModel
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import ClipSet, flush_files, make_folder, write_text, write_wav
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.faults import Cancelled, EntryStuck, unexpected_errors_as_stuck
from soundsright.services.rounds.job_results import result_of
from soundsright.services.rounds.progress import Progress
from soundsright.services.rounds.retries import FIRST_PAUSE_S, MAX_INFRASTRUCTURE_TRIES
from soundsright.services.rounds.scoring import Scored, start_scoring

MAX_FAILED_BATCHES = 2
MODEL_LOG = "model.log"

Batch = tuple[str, ...]
"""The clip ids of one batch."""


@dataclass(frozen=True)
class EntryJob:
    """One entry's evaluation: the model, its set, the folder of its audio, and the receiver of progress.

    `parts` are the clips to run, in their order. A batch never has clips of two parts. `continues` says that this
    process has already reported the parts before the last one.
    """

    model: FetchedModel
    clips: ClipSet
    folder: Path
    report: Callable[[Progress], None]
    parts: tuple[Batch, ...]
    continues: bool = False

    @property
    def entry_id(self) -> str:
        return self.model.submission.entry_id


@dataclass(frozen=True)
class EnhancedBatch:
    """A model's answers to one batch, the time that they took, and the fault if the model failed."""

    answers: Sequence[Answer]
    timing: Timing
    fault: ModelFault | None = None


@dataclass(frozen=True)
class Evaluator:
    """Evaluates the entries of one round. Several threads may call `evaluate` at a time."""

    context: RoundContext

    def evaluate(self, job: EntryJob) -> Evaluation:
        """The results of the job's clips under one model. Its enhanced audio is kept as 16-bit WAV.

        Raises:
            EntryStuck: the sandbox failed in each of several tries.
            InfrastructureFault: something else around the harness failed.
            Cancelled: the round was stopped.
        """
        make_folder(job.folder)
        tries = 0
        while True:
            try:
                self._run_batches(job, first_try=tries == 0)
                return self._recorded(job)
            except InfrastructureFault as fault:
                tries += 1
                if tries >= MAX_INFRASTRUCTURE_TRIES or self.context.cancelled.is_set():
                    raise
                job.report(Progress(0, 0, note=f"{str(fault).rstrip('.')}; trying again"))
                self.context.clock.sleep(FIRST_PAUSE_S * 2 ** (tries - 1))

    def _run_batches(self, job: EntryJob, *, first_try: bool) -> None:
        """Run the batches that are not recorded yet. One batch is scored while the next one is enhanced."""
        recorded = self._recorded_batches(job)
        done = _progress_of(job, recorded)
        if done.clips_done and first_try and not job.continues:
            job.report(done)
        faults = [record.fault for record in recorded.values() if record is not None and record.fault is not None]
        scoring: deque[_BatchScoring] = deque()
        clips_done = done.clips_done
        with _ModelProcess(self.context, job, faults) as process:
            for batch in (batch for batch, record in recorded.items() if record is None):
                self.context.raise_if_cancelled()
                enhanced = process.enhance(batch)
                scoring.append(self._start_scoring(job, batch, enhanced))
                if len(scoring) > 1:
                    clips_done += self._finish_scoring(job, scoring.popleft(), clips_done)
            while scoring:
                clips_done += self._finish_scoring(job, scoring.popleft(), clips_done)

    def _start_scoring(self, job: EntryJob, batch: Batch, enhanced: EnhancedBatch) -> _BatchScoring:
        """Write the enhanced audio of a batch and start the jobs that score it."""
        jobs: dict[str, Future[Scored] | Failure] = {}
        for answer in enhanced.answers:
            if answer.audio is None:
                assert answer.failure is not None
                jobs[answer.clip_id] = answer.failure
                continue
            path = job.folder / f"{answer.clip_id}.wav"
            # Scores are computed from 16-bit samples, because these are kept and anyone can score them again.
            write_wav(path, Audio(on_pcm16_grid(answer.audio.samples), answer.audio.sample_rate_hz))
            metrics = self.context.plan.measures.metrics
            jobs[answer.clip_id] = start_scoring(job.clips, answer.clip_id, path, metrics, self.context.pool)
        return _BatchScoring(batch, jobs, enhanced.timing, enhanced.fault)

    def _finish_scoring(self, job: EntryJob, scoring: _BatchScoring, clips_done: int) -> int:
        """Wait for the scores of a batch and record it. Returns the number of its clips."""
        results = []
        score_s = 0.0
        for clip_id, outcome in scoring.jobs.items():
            try:
                if isinstance(outcome, Failure):
                    results.append(ClipResult(clip_id, failure=outcome))
                else:
                    scored = result_of(outcome)
                    score_s += scored.busy_s
                    results.append(ClipResult(clip_id, scores=scored.scores))
            except ModelFault as unscorable:
                results.append(ClipResult(clip_id, failure=Failure(unscorable.code, str(unscorable))))
        # The audio must be on the disk before a row records it.
        flush_files(job.folder, (job.folder / f"{r.clip_id}.wav" for r in results if r.scores is not None))
        context, timing, model_fault = self.context, scoring.timing, scoring.fault
        context.state.add_clip_results(context.round_id, job.entry_id, results)
        fault = None if model_fault is None else _recorded_fault(model_fault)
        key = steps.batch(job.entry_id, scoring.batch[0])
        steps.write(context.state, context.round_id, key, steps.BatchStep(timing, score_s, fault))
        note = "" if model_fault is None else _note_on(model_fault, job.folder)
        clips_done += len(results)
        clips = len(job.clips.digests)
        job.report(Progress(clips_done, clips, timing.enhance_s, timing.load_s, score_s, note))
        return len(results)

    def _recorded_batches(self, job: EntryJob) -> dict[Batch, steps.BatchStep | None]:
        """All batches of the entry in their order, with their records. None means that a batch is not done."""
        context = self.context
        return {
            batch: steps.read(context.state, context.round_id, steps.batch(job.entry_id, batch[0]))
            for part in job.parts
            for batch in batches_of(part, job.clips.durations_s, context.plan.batch_audio_s)
        }

    def _recorded(self, job: EntryJob) -> Evaluation:
        """The evaluation, from what was recorded of its batches and clips."""
        done = [record for record in self._recorded_batches(job).values() if record is not None]
        results = self.context.state.clip_results(self.context.round_id, job.entry_id)
        by_id = {result.clip_id: result for result in results}
        log = next((record.fault.log for record in reversed(done) if record.fault), "")
        return Evaluation(
            job.model.submission,
            self.context.round_id,
            tuple(by_id[clip_id] for clip_id in sorted(clip_id for part in job.parts for clip_id in part)),
            _total([record.timing for record in done]),
            log,
        )


@dataclass(frozen=True)
class _BatchScoring:
    """A batch that is being scored: a job for each clip, or its failure."""

    batch: Batch
    jobs: Mapping[str, Future[Scored] | Failure]
    timing: Timing
    fault: ModelFault | None


class _ProcessState(Enum):
    STOPPED = auto()
    """No process runs. The next batch starts one."""
    RUNNING = auto()
    """A process runs and receives the next batch."""
    GIVEN_UP = auto()
    """Two batches have failed. The remaining batches fail without a process."""


class _ModelProcess:
    """The process of one model over the batches of an entry.

        STOPPED --start--> RUNNING --a batch fails--> STOPPED, or GIVEN_UP after the second failure

    A failure to start counts as a failed batch. `faults` are those of the batches that were recorded before.
    """

    def __init__(self, context: RoundContext, job: EntryJob, faults: Sequence[steps.BatchFault]) -> None:
        self._context = context
        self._job = job
        self._failures = [Failure(fault.code, fault.detail) for fault in faults]
        self._process = ExitStack()
        self._running: RunningModel | None = None
        self._timing = Timing()
        self._state = self._state_without_process()

    def __enter__(self) -> _ModelProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._process.__exit__(kind, error, trace)

    def enhance(self, batch: Batch) -> EnhancedBatch:
        """Give the model a batch. Every clip gets an answer, which can be a failure.

        Raises:
            EntryStuck: the sandbox failed.
            Cancelled: the round was stopped.
        """
        if self._state is _ProcessState.GIVEN_UP:
            return EnhancedBatch(self._failed_answers(batch), Timing())
        try:
            if self._state is _ProcessState.STOPPED:
                self._start()
            assert self._running is not None
            degraded = [self._job.clips.degraded(clip_id) for clip_id in batch]
            with _sandbox_faults():
                answers = self._running.enhance(degraded)
        except ModelFault as fault:
            if self._context.cancelled.is_set():
                # The round itself ended this model, so the model is not to blame.
                raise Cancelled("stopped") from fault
            return self._failed(batch, fault)
        return EnhancedBatch(answers, self._timing_of_batch())

    def _start(self) -> None:
        self._timing = Timing()
        limits = self._context.plan.sandbox_limits
        with _sandbox_faults():
            self._running = self._process.enter_context(self._context.sandbox.run(self._job.model, limits=limits))
        self._state = _ProcessState.RUNNING
        self._context.raise_if_cancelled()

    def _failed(self, batch: Batch, fault: ModelFault) -> EnhancedBatch:
        self._failures.append(Failure(fault.code, str(fault)))
        if fault.log:
            write_text(self._job.folder / MODEL_LOG, fault.log)
        timing = self._timing_of_batch()
        self._running = None
        with _sandbox_faults():
            self._process.close()
        self._state = self._state_without_process()
        return EnhancedBatch(self._failed_answers(batch), timing, fault)

    def _failed_answers(self, batch: Batch) -> tuple[Answer, ...]:
        return tuple(Answer(clip_id, failure=self._failures[-1]) for clip_id in batch)

    def _state_without_process(self) -> _ProcessState:
        given_up = len(self._failures) >= MAX_FAILED_BATCHES
        return _ProcessState.GIVEN_UP if given_up else _ProcessState.STOPPED

    def _timing_of_batch(self) -> Timing:
        """The time of the last batch: the total of the process minus its total before."""
        if self._running is None:
            return Timing()
        before, self._timing = self._timing, self._running.timing
        now = self._timing
        return Timing(
            load_s=now.load_s - before.load_s,
            enhance_s=now.enhance_s - before.enhance_s,
            audio_s=now.audio_s - before.audio_s,
            peak_memory_bytes=now.peak_memory_bytes,
            build_s=now.build_s - before.build_s,
            peak_gpu_memory_bytes=now.peak_gpu_memory_bytes,
            gpu_utilisation=now.gpu_utilisation,
        )


@contextmanager
def _sandbox_faults() -> Iterator[None]:
    """Raise faults of the sandbox as `EntryStuck`. Faults of the model pass through."""
    try:
        with unexpected_errors_as_stuck("The sandbox failed with an unexpected error", action="sandbox_failed"):
            yield
    except InfrastructureFault as fault:
        raise EntryStuck.of(fault) from fault


def _progress_of(job: EntryJob, recorded: Mapping[Batch, steps.BatchStep | None]) -> Progress:
    """The progress that earlier runs of the evaluation made."""
    done = {batch: record for batch, record in recorded.items() if record is not None}
    return Progress(
        sum(len(batch) for batch in done),
        len(job.clips.digests),
        enhance_s=sum(record.timing.enhance_s for record in done.values()),
        load_s=sum(record.timing.load_s for record in done.values()),
        score_s=sum(record.score_s for record in done.values()),
    )


def _total(timings: Sequence[Timing]) -> Timing:
    """The timing of a whole evaluation, from those of its batches."""
    on_gpu = [timing for timing in timings if timing.gpu_utilisation is not None]
    return Timing(
        load_s=max((timing.load_s for timing in timings), default=0.0),
        enhance_s=sum(timing.enhance_s for timing in timings),
        audio_s=sum(timing.audio_s for timing in timings),
        peak_memory_bytes=max((timing.peak_memory_bytes for timing in timings), default=0),
        build_s=max((timing.build_s for timing in timings), default=0.0),
        peak_gpu_memory_bytes=max((timing.peak_gpu_memory_bytes or 0 for timing in on_gpu), default=None),
        gpu_utilisation=on_gpu[-1].gpu_utilisation if on_gpu else None,
    )


def _recorded_fault(fault: ModelFault) -> steps.BatchFault:
    return steps.BatchFault(fault.code, str(fault), fault.log)


def _note_on(fault: ModelFault, folder: Path) -> str:
    """The fault, and where the log of the model is, relative to the folder of the run."""
    log = Path(folder.parent.name, folder.name, MODEL_LOG)
    return f"{fault}; the model's log is in {log}" if fault.log else str(fault)


def batches_of(clips: Batch, durations_s: Mapping[str, float], batch_audio_s: float) -> Iterator[Batch]:
    """The clips in their order, in batches of at least `batch_audio_s`. The same clips give the same batches."""
    batch: list[str] = []
    seconds = 0.0
    for clip_id in clips:
        batch.append(clip_id)
        seconds += durations_s[clip_id]
        if seconds >= batch_audio_s:
            yield tuple(batch)
            batch, seconds = [], 0.0
    if batch:
        yield tuple(batch)
