"""Verify one model: run it the way a validator does, step by step, and say what to fix.

Signals are float32 arrays of shape `(n,)`, full scale ±1. Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundsright.core.audio import Clip, pcm16
from soundsright.core.content import files_below
from soundsright.core.dockerfile import Instruction, command_of, protocol_of
from soundsright.core.entry_rules import NO_RULES, EntryRules, remedy_of
from soundsright.core.errors import EntryRefused, ModelCrashed, ModelFault, ModelTimeout, ProtocolViolation
from soundsright.core.ports import Answer, DegradedClip, RunningModel, Sandbox, SandboxLimits
from soundsright.core.results import Failure, Timing
from soundsright.core.submission import FetchedModel
from soundsright.core.tiers_rules import TiersRules
from soundsright.metrics import floors, metric, score_clip
from soundsright.ranking import MAX_AGREEMENT_DB, is_repeatable, not_repeatable_sentence, repeat_agreement_db
from soundsright.services.local import streaming
from soundsright.services.local.answer_hints import answer_hints
from soundsright.services.local.model_errors import missing_server_package, model_error
from soundsright.services.local.sandbox_causes import Cause, cause_in_files, cause_in_log
from soundsright.services.rounds import check_fetched, checked_dockerfile

METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")

_REMEDIES = {
    "missing": "Return every uploaded file in the archive, under its original name and not in a folder.",
    "rate": "Write each WAV file at the sample rate of its upload. Resample inside your model if needed.",
    "shape": "Write one channel: samples of shape (n,).",
    "length": "Return exactly as many samples as the upload had. If your model delays audio, remove the delay and "
    "keep the end of the clip.",
    "not_finite": "Find where NaN or infinity arises. Common causes are a division by a level of zero and the "
    "logarithm of zero.",
    "format": "Write WAV files with linear PCM of 16, 24 or 32 bits or floats of 32 or 64 bits, for example with "
    "soundfile.write.",
    "crashed": "Read the log above. Then start your model by hand, with the command in the Dockerfile.",
    "protocol": "Compare your model's reply with docs/reference/protocol.md, which gives the exact JSON.",
}
_FIX_SEEDS = (
    "It can be ranked but not served: no verifier would ask it. Fix every seed, and carry nothing over from one "
    "clip to the next."
)
_RAISED = re.compile(r"^(?:\w+\.)*(\w+(?:Error|Exception))\b", re.MULTILINE)
_MISSING_MODULE = (
    "Add the package to requirements.txt. If the sandbox builds no image, also install the package for the "
    "interpreter that --python names."
)
_TIMEOUT_REMEDIES = {
    "loading": "Load faster: use smaller weights and fewer imports. A model has no network, so it cannot download "
    "anything.",
    "enhance": "Enhance faster: use all threads that your model gets, and avoid work that grows with the square of "
    "the clip's length.",
    "build": "Make the build faster, or publish the image and name it by digest.",
}


@dataclass(frozen=True)
class Step:
    """One step of a verification: its name, whether it passed, and a sentence about the outcome."""

    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class Comparison:
    """A metric's mean over the clips, enhanced and unprocessed. A failed clip counts as the metric's floor."""

    metric: str
    enhanced: float
    unprocessed: float

    @property
    def better(self) -> bool | None:
        """Whether the model improves the metric. None if both means are equal."""
        if self.enhanced == self.unprocessed:
            return None
        return metric(self.metric).at_least_as_good(self.enhanced, self.unprocessed)


@dataclass(frozen=True)
class Verification:
    """The outcome. If `passed`, a validator would rank the model; otherwise `reason` and `remedy` say what to fix.

    `log` is the end of what the model wrote. `hints` name what costs a valid answer points.
    """

    steps: tuple[Step, ...]
    comparisons: tuple[Comparison, ...] = ()
    timing: Timing = field(default_factory=Timing)
    reason: str = ""
    remedy: str = ""
    log: str = ""
    hints: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.reason


def verify(
    model: FetchedModel,
    clips: Sequence[Clip],
    *,
    sandbox: Sandbox,
    limits: SandboxLimits,
    metrics: Sequence[str] = METRICS,
    rules: EntryRules = NO_RULES,
    tiers: TiersRules | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Verification:
    """Take the model through every step of an evaluation, under an organiser's rules of entry and of served models.

    `on_step` is called after each step.

    Raises:
        InfrastructureFault: the sandbox failed. This says nothing about the model.
    """
    check = _Verifying(model, clips, sandbox, limits, tuple(metrics), on_step)
    try:
        check.files(rules)
        check.dockerfile()
        if (cause := check.cause_in_files()) is not None:
            return check.failed(cause.reason, cause.remedy)
        check.prepare()
        check.run()
        if check.stream_problem:
            return check.failed(check.stream_problem, streaming.REMEDY)
        check.repeat(tiers or TiersRules())
    except EntryRefused as e:
        sentence = "The folder has no Dockerfile" if e.code == "no_dockerfile" else e.sentence
        return check.failed(sentence, remedy_of(e.code))
    except ModelTimeout as e:
        remedy = cause_in_log(e, e.log) or _TIMEOUT_REMEDIES.get(e.step, _TIMEOUT_REMEDIES["loading"])
        return check.failed(str(e), remedy, e.log)
    except ModelFault as e:
        return check.failed_by(e)
    return check.verdict()


def _remedy_of_fault(fault: ModelFault, log: str) -> str:
    broke_down = isinstance(fault, ModelCrashed) or (getattr(fault, "status", None) or 0) >= 500
    if broke_down and (remedy := cause_in_log(fault, log)) is not None:
        return remedy
    # Look at the last exception in the log: the model caught the earlier ones, so they did not end it.
    if _RAISED.findall(fault.log)[-1:] == ["ModuleNotFoundError"] or "ModuleNotFoundError" in str(fault):
        return _MISSING_MODULE
    if isinstance(fault, ProtocolViolation) and (fault.status or 0) >= 500:
        return _REMEDIES["crashed"]
    return _REMEDIES.get(fault.code, _REMEDIES["protocol"])


class _Verifying:
    """A verification in progress. Each method is one step, in the order in which `verify` calls them."""

    def __init__(
        self,
        model: FetchedModel,
        clips: Sequence[Clip],
        sandbox: Sandbox,
        limits: SandboxLimits,
        metrics: tuple[str, ...],
        on_step: Callable[[Step], None],
    ) -> None:
        self._model = model
        self._clips = clips
        self._sandbox = sandbox
        self._limits = limits
        self._metrics = metrics
        self._on_step = on_step
        self._steps: list[Step] = []
        self._current = "files"
        self._instructions: tuple[Instruction, ...] = ()
        self._answers: tuple[Answer, ...] = ()
        self._timing = Timing()
        self._log = ""
        self._repeat_hints: tuple[str, ...] = ()
        self.stream_problem = ""

    def files(self, rules: EntryRules) -> None:
        self._current = "files"
        check_fetched(self._model, rules)
        files = files_below(self._model.path)
        size = sum(path.stat().st_size for path in files)
        self._end_step(f"{len(files)} files, {size / 1e6:.1f} MB, content hash {self._model.content_hash[:12]}")

    def dockerfile(self) -> None:
        self._current = "Dockerfile"
        instructions = checked_dockerfile(self._model)
        command, protocol = command_of(instructions), protocol_of(instructions)
        self._instructions = instructions
        self._end_step(f"starts with `{' '.join(command)[:80]}`, uses the protocol {protocol}")

    def cause_in_files(self) -> Cause | None:
        """Why this model cannot start in this sandbox, as far as its files show it."""
        self._current = "start"
        builds_image = getattr(self._sandbox, "interpreter", None) is None
        return cause_in_files(self._model.path, self._instructions, builds_image=builds_image)

    def prepare(self) -> None:
        self._current = "prepare"
        started = time.monotonic()
        self._sandbox.prepare(self._model)
        self._end_step(f"the {self._sandbox.name} sandbox is ready after {time.monotonic() - started:.1f} s")

    def run(self) -> None:
        self._current = "start"
        with self._sandbox.run(self._model, limits=self._limits) as running:
            try:
                isolation = "isolated" if self._sandbox.isolated else "not isolated"
                self._end_step(f"ready after {running.timing.load_s:.1f} s, {isolation}")
                self._current = "enhance"
                batch = [DegradedClip(clip.id, clip.degraded) for clip in self._clips]
                self._answers = running.enhance(batch)
                self._timing = running.timing
                self._end_step(self._enhance_message(), passed=not self._failures())
                self._current = "again after a reset"
                repeated = running.enhance(batch[:1])[0]
                passed = repeated.failure is None or bool(self._failures())
                self._end_step(self._message_after_reset(repeated), passed=passed)
                if repeated.failure is not None and not self._failures():
                    self._answers = (repeated, *self._answers[1:])
                if not self._failures():
                    self._stream(running)
            finally:
                self._log = str(getattr(running, "log", str)())

    def _stream(self, running: RunningModel) -> None:
        """Compare the model's stream with its clips, if it says that it streams."""
        self._current = "stream"
        check = streaming.checked_stream(running, self._clips[0].degraded)
        if check is not None:
            self.stream_problem = check.problem
            if not check.problem:
                self._end_step(check.message)

    def repeat(self, tiers: TiersRules) -> None:
        """Run the first clips again, after a new start and in the other order, as a verifier of served models does.

        A model that does not repeat itself can be ranked, but nobody could tell its answers from another model's.
        """
        self._current = "again after a new start"
        if self._failures():
            return
        again = self._clips[: tiers.repeat_clips][::-1]
        with self._sandbox.run(self._model, limits=self._limits) as running:
            answers = running.enhance([DegradedClip(clip.id, clip.degraded) for clip in again])
        first = {answer.clip_id: answer.audio for answer in self._answers}
        repeat_db = repeat_agreement_db(
            (pcm16(clip.clean.samples), pcm16(one.samples), pcm16(other.audio.samples))
            for clip, other in zip(again, answers, strict=True)
            if (one := first[clip.id]) is not None and other.audio is not None
        )
        message = "same output" if repeat_db == MAX_AGREEMENT_DB else f"both runs agree by {repeat_db:.1f} dB"
        if not is_repeatable(tiers, repeat_db):
            message += ": not_repeatable"
            self._repeat_hints = (f"not_repeatable: {not_repeatable_sentence(tiers, repeat_db)}. {_FIX_SEEDS}",)
        self._end_step(message)

    def _enhance_message(self) -> str:
        failures = self._failures()
        if failures:
            clip_id, first = next(iter(failures.items()))
            return f"{len(failures)} of {len(self._answers)} clips failed. Clip {clip_id}: {first.detail}"
        timing, count = self._timing, len(self._answers)
        clips = "1 clip" if count == 1 else f"{count} clips"
        message = (
            f"{clips}, {timing.audio_s:.1f} s of audio in {timing.enhance_s:.2f} s: "
            f"real-time factor {timing.real_time_factor or 0.0:.3f}, "
            f"peak memory {timing.peak_memory_bytes / 1e6:.0f} MB"
        )
        if timing.peak_gpu_memory_bytes is not None:
            busy = timing.gpu_utilisation or 0.0
            message += f", GPU memory {timing.peak_gpu_memory_bytes / 1e6:.0f} MB, GPU {busy:.0%} busy"
        return message

    def _message_after_reset(self, repeated: Answer) -> str:
        first = self._answers[0]
        if repeated.failure is not None and self._failures():
            return f"the model still answers after a reset; clip {repeated.clip_id} failed"
        if repeated.failure is not None:
            return f"Clip {repeated.clip_id} failed after a reset: {repeated.failure.detail}"
        if first.audio is None or repeated.audio is None:
            return "the model returned a clip"
        same = np.array_equal(first.audio.samples, repeated.audio.samples)
        return "same output for the same clip" if same else "different output for the same clip, which is allowed"

    def _failures(self) -> dict[str, Failure]:
        """The failed clips, by clip id."""
        return {answer.clip_id: answer.failure for answer in self._answers if answer.failure is not None}

    def _end_step(self, message: str, *, passed: bool = True) -> None:
        step = Step(self._current, passed, message)
        self._steps.append(step)
        self._on_step(step)

    def failed_by(self, fault: ModelFault) -> Verification:
        """End here, and lead with the model's own error if it has one."""
        log = fault.log or self._log
        interpreter = getattr(self._sandbox, "interpreter", None)
        package = missing_server_package(log)
        if package is not None and interpreter is not None:
            reason = f"{package} is missing for the interpreter that runs models ({interpreter})."
            return self.failed(reason, f"Run: {interpreter} -m pip install {package}", log)
        failed_itself = isinstance(fault, ModelCrashed) or (getattr(fault, "status", None) or 0) >= 500
        own_error = model_error(log, self._model.path) if failed_itself else ""
        return self.failed(f"{own_error} ({fault})" if own_error else str(fault), _remedy_of_fault(fault, log), log)

    def failed(self, reason: str, remedy: str, log: str = "") -> Verification:
        """End here. `log` is the fault's own log: a model that fails while it starts has no session with a log."""
        self._end_step(reason, passed=False)
        return Verification(tuple(self._steps), (), self._timing, reason, remedy, self._log or log)

    def verdict(self) -> Verification:
        """Compare the scores with those of the unprocessed input, and say whether the model would be ranked."""
        self._current = "scores"
        comparisons = self._compared()
        reason = remedy = ""
        failures = list(self._failures().values())
        if failures:
            reason = next(step.message for step in self._steps if not step.passed)
            remedy = _REMEDIES.get(failures[0].code, _REMEDIES["protocol"])
        elif all(c.enhanced == floors([c.metric])[c.metric] for c in comparisons):
            reason = "Every clip scores the floor, the lowest value, of every metric."
            remedy = "Listen to the enhanced clips: they are silent or contain none of the speech."
        better = sum(c.better is True for c in comparisons)
        message = f"better than the unprocessed input in {better} of {len(comparisons)} metrics"
        if failures:
            message += ", with each failed clip at the floor"
        self._end_step(message, passed=not reason)
        hints = (*answer_hints(self._clips, self._answers), *self._repeat_hints)
        return Verification(tuple(self._steps), comparisons, self._timing, reason, remedy, self._log, hints)

    def _compared(self) -> tuple[Comparison, ...]:
        floor = floors(self._metrics)
        enhanced: list[dict[str, float]] = []
        unprocessed: list[dict[str, float]] = []
        for clip, answer in zip(self._clips, self._answers, strict=True):
            unprocessed.append(score_clip(clip.clean, clip.degraded, clip.degraded, self._metrics))
            enhanced.append(
                floor
                if answer.audio is None
                else score_clip(clip.clean, answer.audio, clip.degraded, self._metrics)
            )
        return tuple(Comparison(name, _mean(enhanced, name), _mean(unprocessed, name)) for name in self._metrics)


def _mean(scores: Sequence[dict[str, float]], name: str) -> float:
    return float(np.mean([clip[name] for clip in scores]))
