"""Measures one image: it runs it on the set's clips, times every run on the host, and scores the answers.

Times are in seconds, memory in bytes, energy in joules. A scoring run's time is the one that the host waits: from
the first byte that the image gets to the last that it returns. `RunningModel.timing` has sums since the start, so a
run's time is a difference. The peak of memory is begun anew before each run where the control group allows it.
Elsewhere it is the peak since the start, which is never too low.

- The image is to blame for every `ModelFault`, a run above its limit, and audio that cannot be used: then it has a
  failure, and the runs after that are not made.
- Nobody is to blame for an `InfrastructureFault`. It is raised, and what was recorded stays.
- If the reference's time has changed after the runs, all of them are made again, at most twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.errors import ModelFault, ModelTimeout
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.image_runs import DealtRuns, dealt_runs
from soundsright.core.images import MeasuredImage, ScoringRun
from soundsright.core.ports import Answer, EnergyMeter, MeteredModel, Pool, Runner, RunningModel, SandboxLimits
from soundsright.core.results import ClipResult, Failure
from soundsright.core.submission import FetchedModel
from soundsright.services.executor.calibration import Reference, is_steady
from soundsright.services.executor.run_records import MeasurementLog, ReferenceStep, RunStep, attempt_folder
from soundsright.services.executor.scored_clips import scored_clips
from soundsright.services.rounds import Cancelled, ClipSet, flush_files, make_folder, write_wav

MAX_ATTEMPTS = 3
"""An image is timed again twice at most."""


def sandbox_limits(rules: ExecutorRules) -> SandboxLimits:
    """The limits of every image. A run has the same limit whatever the seconds of its audio."""
    return SandboxLimits(
        memory_bytes=round(rules.memory_gb * 1e9),
        cpus=float(rules.cpus),
        pids=rules.pids,
        load_timeout_s=rules.ready_timeout_s,
        enhance_fixed_s=rules.run_timeout_s,
        enhance_factor=0.0,
    )


@dataclass(frozen=True)
class ImageMeter:
    """Measures images, one at a time: two at once would slow each other.

    `metrics` are those of the competition. `reference` is timed before and after each image. Without `energy`, no
    run has joules. `observe` gets the number of a scoring run and their count when one is done. Set `cancelled`
    before you stop the runner, so that no image is blamed for it.
    """

    runner: Runner
    pool: Pool
    rules: ExecutorRules
    metrics: tuple[str, ...]
    reference: Reference
    energy: EnergyMeter | None = None
    observe: Callable[[int, int], None] = lambda _run, _runs: None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def measure(self, model: FetchedModel, clips: ClipSet, folder: Path, log: MeasurementLog) -> MeasuredImage:
        """Run an image and score its answers, which are kept as 16-bit WAV in `folder`.

        What `log` has already is not run again, so a measurement that was killed goes on.

        Raises:
            UsageError: the set has too few clips.
            InfrastructureFault: something around the image failed. The image is not charged.
            Cancelled: the executor stops.
        """
        runs = dealt_runs({clip_id: clips.durations_s[clip_id] for clip_id in clips.clip_ids}, self.rules)
        before_s = self._reference_s(log, 0)
        reference_s, attempt, unsteady = before_s, 1, False
        while True:
            steps = _Attempt(self, model, clips, runs, attempt_folder(folder, attempt), attempt, log).steps()
            failure = steps[-1].failure
            if failure is not None and failure.code != ModelTimeout.code:
                break
            after_s = self._reference_s(log, attempt)
            unsteady, reference_s = not is_steady(before_s, after_s), (before_s + after_s) / 2
            if not unsteady or attempt == MAX_ATTEMPTS:
                break
            before_s, attempt = after_s, attempt + 1
        scored = self._scored(clips, runs, attempt_folder(folder, attempt), failure)
        return MeasuredImage(
            tuple(step.run for step in steps if step.run is not None),
            scored,
            failure,
            unsteady,
            max(step.load_s for step in steps),
            steps[-1].log,
            reference_s,
        )

    def _reference_s(self, log: MeasurementLog, number: int) -> float:
        self.raise_if_cancelled()
        if (recorded := log.reference(number)) is not None:
            return recorded.time_s
        time_s = self.reference.time_s()
        self.raise_if_cancelled()
        log.record_reference(number, ReferenceStep(time_s))
        return time_s

    def _scored(
        self, clips: ClipSet, runs: DealtRuns, folder: Path, failure: Failure | None
    ) -> tuple[ClipResult, ...]:
        if failure is not None:
            return tuple(ClipResult(clip_id, failure=failure) for clip_id in runs.scored_ids)
        return scored_clips(clips, runs.scored_ids, folder, self.metrics, self.pool)

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if the executor stops."""
        if self.cancelled.is_set():
            raise Cancelled("stopped")


@dataclass(frozen=True)
class _Attempt:
    """All runs of one image in one process, as far as they are not recorded."""

    meter: ImageMeter
    model: FetchedModel
    clips: ClipSet
    runs: DealtRuns
    folder: Path
    attempt: int
    log: MeasurementLog

    def steps(self) -> tuple[RunStep, ...]:
        """The records of the runs in their order. If the image failed, the last one has the failure."""
        recorded: list[RunStep] = []
        for number in range(1, len(self.runs.scoring) + 1):
            step = self.log.run(self.attempt, number)
            if step is None:
                return (*recorded, *self._rest(number))
            recorded.append(step)
            if step.failure is not None:
                break
        return tuple(recorded)

    def _rest(self, first: int) -> list[RunStep]:
        """Make the runs from number `first` on, after the warm-up runs, and record each."""
        make_folder(self.folder)
        steps: list[RunStep] = []
        load_s = 0.0
        try:
            with self.meter.runner.run(self.model, limits=sandbox_limits(self.meter.rules)) as running:
                load_s = running.timing.load_s
                for clip_ids in self.runs.warmups:
                    self.meter.raise_if_cancelled()
                    self._enhanced(running, clip_ids)
                for number in range(first, len(self.runs.scoring) + 1):
                    self.meter.raise_if_cancelled()
                    step = self._scoring_run(running, number, load_s)
                    self.meter.raise_if_cancelled()
                    self._record(number, step, steps)
                    if step.failure is not None:
                        break
        except ModelFault as fault:
            # Stopping the runner ends the image too.
            self.meter.raise_if_cancelled()
            failure = Failure(fault.code, str(fault))
            self._record(first + len(steps), RunStep(failure=failure, load_s=load_s, log=fault.log), steps)
        return steps

    def _record(self, number: int, step: RunStep, steps: list[RunStep]) -> None:
        self.log.record_run(self.attempt, number, step)
        steps.append(step)
        self.meter.observe(number, len(self.runs.scoring))

    def _enhanced(self, running: RunningModel, clip_ids: Sequence[str]) -> tuple[Answer, ...]:
        return running.enhance([self.clips.degraded(clip_id) for clip_id in clip_ids])

    def _scoring_run(self, running: RunningModel, number: int, load_s: float) -> RunStep:
        """Make one run, and write its answers to the disk."""
        batch = [self.clips.degraded(clip_id) for clip_id in self.runs.scoring[number - 1]]
        if isinstance(running, MeteredModel):
            running.restart_peaks()
        before, energy = running.timing, self.meter.energy
        before_j = None if energy is None else energy.joules()
        answers = running.enhance(batch)
        after_j = None if energy is None else energy.joules()
        after = running.timing
        run = ScoringRun(
            number,
            tuple(clip.clip_id for clip in batch),
            after.enhance_s - before.enhance_s,
            sum(clip.audio.duration_s for clip in batch),
            after.peak_memory_bytes,
            after.peak_gpu_memory_bytes,
            None if before_j is None or after_j is None else after_j - before_j,
        )
        failure = self._failure_of(run, answers)
        if failure is not None:
            return RunStep(failure=failure, load_s=load_s)
        self._write(answers)
        return RunStep(run, load_s=load_s)

    def _failure_of(self, run: ScoringRun, answers: Sequence[Answer]) -> Failure | None:
        limit_s = self.meter.rules.run_timeout_s
        if run.time_s > limit_s:
            # Each step of the protocol has its own limit, so their sum can exceed that of the run.
            fault = ModelTimeout(f"run {run.number}", limit_s)
            return Failure(fault.code, str(fault))
        return next((answer.failure for answer in answers if answer.failure is not None), None)

    def _write(self, answers: Sequence[Answer]) -> None:
        paths = []
        for answer in answers:
            assert answer.audio is not None
            paths.append(self.folder / f"{answer.clip_id}.wav")
            # Scores are computed from 16-bit samples, because these are kept and anyone can score them again.
            write_wav(paths[-1], Audio(on_pcm16_grid(answer.audio.samples), answer.audio.sample_rate_hz))
        flush_files(self.folder, paths)
