"""One entry on one set: batches go to the sandbox, answers to the scorers, and every clip gets a result.

Times in seconds. Who is to blame is decided here: a `ModelFault` becomes the failure of each clip of its batch, an
`InfrastructureFault` is retried and then raised, as `EntryStuck` where it came from the sandbox. A model that fails
a batch is started once more; a second failed batch ends its part, and the clips that are left share that failure.
Each batch is recorded when it is done and its answers are on the disk, so that an interrupted evaluation goes on
with the first batch that is not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.errors import InfrastructureFault, ModelFault, SoundsRightError
from soundsright.core.ports import Answer, Clock, Pool, Runner, RunningModel, SandboxLimits, StateStore
from soundsright.core.results import ClipResult, Evaluation, Failure, Timing
from soundsright.core.submission import FetchedModel
from soundsright.metrics import ClipEvidence, scoring_deadline_s
from soundsright.services.rounds.clipset import (
    ClipSet,
    flush_files,
    make_folder,
    read_wav,
    write_text,
    write_wav,
)
from soundsright.services.rounds.jobs import result_on

_log = logging.getLogger(__name__)

MAX_FAILED_BATCHES = 2
MAX_INFRASTRUCTURE_TRIES = 3
MODEL_LOG = "model.log"
FIRST_PAUSE_S = 1.0


@dataclass(frozen=True)
class Scored:
    """A worker's answer for one clip: its scores, and the seconds that they took."""

    scores: dict[str, float]
    busy_s: float


@dataclass(frozen=True)
class Progress:
    """What an evaluation reports as it goes: clips done, of how many, and a note when something happened."""

    clips_done: int
    clips: int
    enhance_s: float = 0.0
    load_s: float = 0.0
    score_s: float = 0.0
    note: str = ""


def score_files(clean: Path, degraded: Path, enhanced: Path, names: tuple[str, ...]) -> Scored:
    """Read one clip's three signals and score it: a worker's job."""
    from soundsright.metrics import score_clip

    started = time.perf_counter()
    scores = score_clip(read_wav(clean), read_wav(enhanced), read_wav(degraded), names)
    return Scored(scores, time.perf_counter() - started)


class Cancelled(SoundsRightError):
    """The round was stopped; what was recorded stays."""


class EntryStuck(InfrastructureFault):
    """The harness's surroundings fail for one entry. Whether they do for all, only another entry can tell."""

    @classmethod
    def of(cls, fault: InfrastructureFault) -> EntryStuck:
        return cls(fault.problem, fault.remedy)


@contextmanager
def _sandbox_faults() -> Iterator[None]:
    try:
        yield
    except InfrastructureFault as fault:
        raise EntryStuck.of(fault) from fault
    except SoundsRightError:
        raise
    except Exception as error:
        # What nobody foresaw may be one model's doing, and must not stop the others' round.
        _log.exception("sandbox failed", extra={"action": "sandbox_failed"})
        raise EntryStuck(
            f"The sandbox failed in a way that nobody foresaw ({type(error).__name__}: {error})",
            "Report it with the trace in the log.",
        ) from error


@dataclass(frozen=True)
class Evaluator:
    """What every evaluation of a round shares.

    `cancelled` is asked between batches, `report` told after each.
    """

    round_id: str
    metrics: tuple[str, ...]
    sandbox: Runner
    limits: SandboxLimits
    state: StateStore
    pool: Pool
    clock: Clock
    batch_audio_s: float
    cancelled: Callable[[], bool]

    def evaluate(
        self, model: FetchedModel, clips: ClipSet, folder: Path, report: Callable[[Progress], None]
    ) -> Evaluation:
        """All clips of the set under one model; enhanced audio is kept in `folder` as 16-bit WAV.

        Raises:
            EntryStuck: the sandbox failed, in each of several tries.
            InfrastructureFault: anything else around the harness did.
            Cancelled: the round was stopped.
        """
        make_folder(folder)
        tries = 0
        while True:
            try:
                self._run_batches(model, clips, folder, report, first_try=tries == 0)
                break
            except InfrastructureFault as fault:
                tries += 1
                if tries >= MAX_INFRASTRUCTURE_TRIES or self.cancelled():
                    raise
                report(Progress(0, 0, note=f"{fault}; trying again"))
                self.clock.sleep(FIRST_PAUSE_S * 2 ** (tries - 1))
        return self._recorded(model, clips)

    def _run_batches(
        self,
        model: FetchedModel,
        clips: ClipSet,
        folder: Path,
        report: Callable[[Progress], None],
        *,
        first_try: bool,
    ) -> None:
        entry = model.submission.entry_id
        batches = list(_batches(clips, self.batch_audio_s))
        recorded = [self.state.step_done(self.round_id, _batch_step(entry, batch)) for batch in batches]
        failed = sum(1 for facts in recorded if facts and facts.get("fault"))
        last_fault = next((f["fault"] for f in reversed(recorded) if f and f.get("fault")), None)
        done = sum(len(batch) for batch, facts in zip(batches, recorded, strict=True) if facts is not None)
        if done and first_try:
            known = [facts for facts in recorded if facts is not None]
            report(
                Progress(
                    done,
                    len(clips.digests),
                    enhance_s=sum(float(facts["enhance_s"]) for facts in known),
                    load_s=sum(float(facts["load_s"]) for facts in known),
                    score_s=sum(float(facts["score_s"]) for facts in known),
                )
            )
        scoring: list[_Scoring] = []
        with ExitStack() as stack:
            running: RunningModel | None = None
            before = Timing()
            for batch, facts in zip(batches, recorded, strict=True):
                if facts is not None:
                    continue
                if self.cancelled():
                    raise Cancelled("stopped")
                fault: ModelFault | None = None
                answers: tuple[Answer, ...] = ()
                if failed < MAX_FAILED_BATCHES:
                    try:
                        if running is None:
                            before = Timing()
                            with _sandbox_faults():
                                running = stack.enter_context(self.sandbox.run(model, limits=self.limits))
                            if self.cancelled():
                                raise Cancelled("stopped")
                        degraded = [clips.degraded(clip_id) for clip_id in batch]
                        with _sandbox_faults():
                            answers = running.enhance(degraded)
                    except ModelFault as error:
                        if self.cancelled():
                            # A model that we ended ourselves is not to blame.
                            raise Cancelled("stopped") from error
                        fault = error
                        failed += 1
                        last_fault = {"code": error.code, "detail": str(error)}
                        if error.log:
                            write_text(folder / MODEL_LOG, error.log)
                timing = _spent(running, before)
                before = running.timing if running is not None else before
                if fault is not None:
                    running = None
                    with _sandbox_faults():
                        stack.close()
                if not answers:
                    assert last_fault is not None
                    failure = Failure(last_fault["code"], last_fault["detail"])
                    answers = tuple(Answer(clip_id, failure=failure) for clip_id in batch)
                scoring.append(self._start_scoring(answers, clips, folder, batch, timing, fault))
                # Scores of the last batch are reaped while the next one is enhanced.
                while len(scoring) > 1:
                    done += self._finish_scoring(entry, scoring.pop(0), folder, report, done, len(clips.digests))
            while scoring:
                done += self._finish_scoring(entry, scoring.pop(0), folder, report, done, len(clips.digests))

    def _start_scoring(
        self,
        answers: Sequence[Answer],
        clips: ClipSet,
        folder: Path,
        batch: tuple[str, ...],
        timing: Timing,
        fault: ModelFault | None,
    ) -> _Scoring:
        jobs: dict[str, Future[Scored] | Failure] = {}
        for answer in answers:
            if answer.audio is None:
                assert answer.failure is not None
                jobs[answer.clip_id] = answer.failure
                continue
            path = folder / f"{answer.clip_id}.wav"
            # On the 16-bit grid, so that what is scored is what is kept, and anyone can score it again.
            write_wav(path, Audio(on_pcm16_grid(answer.audio.samples), answer.audio.sample_rate_hz))
            jobs[answer.clip_id] = self.pool.submit(
                score_files,
                clips.folder / "clean" / path.name,
                clips.folder / "degraded" / path.name,
                path,
                self.metrics,
                deadline_s=scoring_deadline_s(clips.durations_s[answer.clip_id]),
            )
        return _Scoring(batch, jobs, timing, fault)

    def _finish_scoring(
        self,
        entry: str,
        scoring: _Scoring,
        folder: Path,
        report: Callable[[Progress], None],
        done: int,
        total: int,
    ) -> int:
        results = []
        busy_s = 0.0
        for clip_id, job in scoring.jobs.items():
            if isinstance(job, Failure):
                results.append(ClipResult(clip_id, failure=job))
            else:
                try:
                    scored = result_on(job)
                except ModelFault as fault_of_answer:
                    results.append(ClipResult(clip_id, failure=Failure(fault_of_answer.code, str(fault_of_answer))))
                    continue
                busy_s += scored.busy_s
                results.append(ClipResult(clip_id, scores=scored.scores))
        # Before a row says that they are there.
        flush_files(folder, (folder / f"{result.clip_id}.wav" for result in results if result.scores is not None))
        self.state.add_clip_results(self.round_id, entry, results)
        timing = scoring.timing
        facts: dict[str, object] = {
            **asdict(timing),
            "score_s": busy_s,
        }
        if scoring.fault is not None:
            facts["fault"] = {"code": scoring.fault.code, "detail": str(scoring.fault), "log": scoring.fault.log}
        self.state.finish_step(self.round_id, _batch_step(entry, scoring.batch), facts)
        report(
            Progress(
                done + len(results),
                total,
                timing.enhance_s,
                timing.load_s,
                busy_s,
                note=_told(scoring.fault, folder) if scoring.fault else "",
            )
        )
        return len(results)

    def _recorded(self, model: FetchedModel, clips: ClipSet) -> Evaluation:
        entry = model.submission.entry_id
        facts = [
            self.state.step_done(self.round_id, _batch_step(entry, b)) for b in _batches(clips, self.batch_audio_s)
        ]
        known = [f for f in facts if f is not None]
        on_gpu = [f for f in known if f.get("gpu_utilisation") is not None]
        timing = Timing(
            load_s=max((float(f["load_s"]) for f in known), default=0.0),
            enhance_s=sum(float(f["enhance_s"]) for f in known),
            audio_s=sum(float(f["audio_s"]) for f in known),
            peak_memory_bytes=max((int(f["peak_memory_bytes"]) for f in known), default=0),
            build_s=max((float(f.get("build_s", 0.0)) for f in known), default=0.0),
            peak_gpu_memory_bytes=max((int(f["peak_gpu_memory_bytes"]) for f in on_gpu), default=None),
            gpu_utilisation=float(on_gpu[-1]["gpu_utilisation"]) if on_gpu else None,
        )
        by_id = {result.clip_id: result for result in self.state.clip_results(self.round_id, entry)}
        log = next((f["fault"]["log"] for f in reversed(known) if f.get("fault")), "")
        return Evaluation(model.submission, self.round_id, tuple(by_id[i] for i in clips.clip_ids), timing, log)


@dataclass(frozen=True)
class _Scoring:
    """A batch whose clips are being scored."""

    batch: tuple[str, ...]
    jobs: Mapping[str, Future[Scored] | Failure]
    timing: Timing
    fault: ModelFault | None


def evidence_of_files(clean: Path, degraded: Path, enhanced: Path) -> ClipEvidence:
    """What one clip's signals show of tampering with a measure: a worker's job."""
    from soundsright.metrics import clip_evidence

    return clip_evidence(read_wav(clean), read_wav(enhanced), read_wav(degraded))


def start_evidence(
    clips: ClipSet, evaluation: Evaluation, folder: Path, pool: Pool
) -> tuple[tuple[str, ...], list[Future[ClipEvidence]]]:
    """The clips of an entry that did not fail, and the jobs that look at them."""
    answered = tuple(clip.clip_id for clip in evaluation.clips if clip.scores is not None)
    return answered, [
        pool.submit(
            evidence_of_files,
            clips.folder / "clean" / f"{clip_id}.wav",
            clips.folder / "degraded" / f"{clip_id}.wav",
            folder / f"{clip_id}.wav",
            deadline_s=scoring_deadline_s(clips.durations_s[clip_id]),
        )
        for clip_id in answered
    ]


def unprocessed_results(clips: ClipSet, metrics: tuple[str, ...], pool: Pool) -> list[Future[Scored]]:
    """The degraded input scored as if it were an answer: the row that every entry must beat."""
    return [
        pool.submit(
            score_files,
            clips.folder / "clean" / f"{clip_id}.wav",
            clips.folder / "degraded" / f"{clip_id}.wav",
            clips.folder / "degraded" / f"{clip_id}.wav",
            metrics,
            deadline_s=scoring_deadline_s(clips.durations_s[clip_id]),
        )
        for clip_id in clips.clip_ids
    ]


def _told(fault: ModelFault, folder: Path) -> str:
    """The fault, and where in the run's folder its log lies."""
    log = Path(folder.parent.name, folder.name, MODEL_LOG)
    return f"{fault}; what it wrote is in {log}" if fault.log else str(fault)


def _spent(running: RunningModel | None, before: Timing) -> Timing:
    """What the last batch took: the session's totals less what they were before it."""
    if running is None:
        return Timing()
    now = running.timing
    return Timing(
        load_s=now.load_s - before.load_s,
        enhance_s=now.enhance_s - before.enhance_s,
        audio_s=now.audio_s - before.audio_s,
        peak_memory_bytes=now.peak_memory_bytes,
        build_s=now.build_s - before.build_s,
        peak_gpu_memory_bytes=now.peak_gpu_memory_bytes,
        gpu_utilisation=now.gpu_utilisation,
    )


def _batch_step(entry_id: str, batch: Sequence[str]) -> str:
    return f"enhanced:{entry_id}:{batch[0]}"


def _batches(clips: ClipSet, batch_audio_s: float) -> Iterator[tuple[str, ...]]:
    """The clips in the order of their ids, in batches of at least `batch_audio_s` of audio: always the same."""
    batch: list[str] = []
    seconds = 0.0
    for clip_id in clips.clip_ids:
        batch.append(clip_id)
        seconds += clips.durations_s[clip_id]
        if seconds >= batch_audio_s:
            yield tuple(batch)
            batch, seconds = [], 0.0
    if batch:
        yield tuple(batch)
