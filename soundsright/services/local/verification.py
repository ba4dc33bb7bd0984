"""One model, run as a validator runs it, and explained step by step: what works, what does not, and what to do.

Signals are float32, shape `(n,)`, full scale ±1; times in seconds, sizes in bytes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundsright.core.audio import Clip
from soundsright.core.content import files_below
from soundsright.core.dockerfile import command_of, protocol_of
from soundsright.core.entry_rules import NO_RULES, EntryRules, remedy_of
from soundsright.core.errors import EntryRefused, ModelFault, ModelTimeout, ProtocolViolation
from soundsright.core.ports import Answer, DegradedClip, Sandbox, SandboxLimits
from soundsright.core.results import Failure, Timing
from soundsright.core.submission import FetchedModel
from soundsright.metrics import floors, metric, score_clip
from soundsright.services.rounds import check_fetched, checked_dockerfile

METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")

_REMEDIES = {
    "missing": "Return every uploaded file in the archive, under the name that it came with and in no folder.",
    "rate": "Write each WAV at the rate of its upload; resample inside the model if it works at another.",
    "shape": "Write one channel: samples of shape (n,).",
    "length": "Return exactly as many samples as came; a model that delays must remove its delay and keep the end.",
    "not_finite": "Find where NaN or infinity arises, often a division by a level or a logarithm of zero.",
    "format": "Write linear PCM of 16, 24 or 32 bits or float of 32 or 64, such as by soundfile.write.",
    "crashed": "Read the log above, and start the model by hand with the Dockerfile's command.",
    "protocol": "Compare the answer with docs/reference/protocol.md, which gives the exact JSON.",
}
_RAISED = re.compile(r"^(?:\w+\.)*(\w+(?:Error|Exception))\b", re.MULTILINE)
_MISSING_MODULE = "Name it in requirements.txt; where no image is built, the interpreter of --python must have it."
_TIMEOUT_REMEDIES = {
    "loading": "Load faster: smaller weights, fewer imports, nothing fetched at the start (there is no network).",
    "enhance": "Enhance faster: use the granted threads, and avoid work that grows with the square of the length.",
    "build": "Build faster, or publish the image and name it by digest.",
}


@dataclass(frozen=True)
class Step:
    """One thing that was tried: its name, whether it went well, and in a sentence what was found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Comparison:
    """A metric's mean over the clips, enhanced and unprocessed; failed clips count at the floor."""

    metric: str
    enhanced: float
    unprocessed: float

    @property
    def better(self) -> bool | None:
        """Whether the model helps; None where the two are equal."""
        if self.enhanced == self.unprocessed:
            return None
        return metric(self.metric).at_least_as_good(self.enhanced, self.unprocessed)


@dataclass(frozen=True)
class Verification:
    """`passed` means that a validator would rank the model. Otherwise `reason` and `remedy` say what to mend."""

    steps: tuple[Step, ...]
    comparisons: tuple[Comparison, ...] = ()
    timing: Timing = field(default_factory=Timing)
    reason: str = ""
    remedy: str = ""
    log: str = ""

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
    tell: Callable[[Step], None] = lambda step: None,
) -> Verification:
    """Take the model through every step of an evaluation under an organiser's rules; `tell` hears of each step.

    Raises:
        InfrastructureFault: the sandbox failed, which says nothing about the model.
    """
    check = _Verifying(model, clips, sandbox, limits, tuple(metrics), tell)
    try:
        check.files(rules)
        check.dockerfile()
        check.prepare()
        check.run()
    except EntryRefused as e:
        return check.failed(e.sentence, remedy_of(e.code))
    except ModelTimeout as e:
        return check.failed(str(e), _TIMEOUT_REMEDIES.get(e.step, _TIMEOUT_REMEDIES["loading"]), e.log)
    except ModelFault as e:
        return check.failed(str(e), _remedy_of_fault(e), e.log)
    return check.verdict()


def _remedy_of_fault(fault: ModelFault) -> str:
    # The last one raised: what a model caught and printed before is not what ended it.
    if _RAISED.findall(fault.log)[-1:] == ["ModuleNotFoundError"] or "ModuleNotFoundError" in str(fault):
        return _MISSING_MODULE
    if isinstance(fault, ProtocolViolation) and (fault.status or 0) >= 500:
        return _REMEDIES["crashed"]
    return _REMEDIES.get(fault.code, _REMEDIES["protocol"])


class _Verifying:
    def __init__(
        self,
        model: FetchedModel,
        clips: Sequence[Clip],
        sandbox: Sandbox,
        limits: SandboxLimits,
        metrics: tuple[str, ...],
        tell: Callable[[Step], None],
    ) -> None:
        self._model = model
        self._clips = clips
        self._sandbox = sandbox
        self._limits = limits
        self._metrics = metrics
        self._tell = tell
        self._steps: list[Step] = []
        self._current = "files"
        self._answers: tuple[Answer, ...] = ()
        self._timing = Timing()
        self._log = ""

    def files(self, rules: EntryRules) -> None:
        self._current = "files"
        check_fetched(self._model, rules)
        files = files_below(self._model.path)
        size = sum(path.stat().st_size for path in files)
        self._passed(f"{len(files)} files, {size / 1e6:.1f} MB, content {self._model.content_hash[:12]}")

    def dockerfile(self) -> None:
        self._current = "Dockerfile"
        instructions = checked_dockerfile(self._model)
        command, protocol = command_of(instructions), protocol_of(instructions)
        self._passed(f"runs {' '.join(command)[:80]}, speaks by {protocol}")

    def prepare(self) -> None:
        self._current = "prepare"
        started = time.monotonic()
        self._sandbox.prepare(self._model)
        self._passed(
            f"can be started in the {self._sandbox.name} sandbox, after {time.monotonic() - started:.1f} s"
        )

    def run(self) -> None:
        self._current = "start"
        with self._sandbox.run(self._model, limits=self._limits) as running:
            try:
                held = "isolated" if self._sandbox.isolated else "not isolated"
                self._passed(f"ready after {running.timing.load_s:.1f} s, {held}")
                self._current = "enhance"
                batch = [DegradedClip(clip.id, clip.degraded) for clip in self._clips]
                self._answers = running.enhance(batch)
                self._timing = running.timing
                self._passed(self._spent(), passed=not self._failures())
                self._current = "again after a reset"
                again = running.enhance(batch[:1])[0]
                self._passed(self._repeated(again), passed=again.failure is None or bool(self._failures()))
                if again.failure is not None and not self._failures():
                    self._answers = (again, *self._answers[1:])
            finally:
                self._log = str(getattr(running, "log", str)())

    def _spent(self) -> str:
        failures = self._failures()
        factor = self._timing.real_time_factor or 0.0
        spent = (
            f"{len(self._answers)} clips, {self._timing.audio_s:.1f} s of audio in {self._timing.enhance_s:.2f} s: "
            f"real-time factor {factor:.3f}, peak memory {self._timing.peak_memory_bytes / 1e6:.0f} MB"
        )
        if self._timing.peak_gpu_memory_bytes is not None:
            worked = self._timing.gpu_utilisation or 0.0
            spent += f", GPU {self._timing.peak_gpu_memory_bytes / 1e6:.0f} MB and {worked:.0%} busy"
        if not failures:
            return spent
        return f"{len(failures)} of {len(self._answers)} clips failed: {failures[0].detail}"

    def _repeated(self, again: Answer) -> str:
        first = self._answers[0]
        if again.failure is not None:
            return again.failure.detail
        if first.audio is None or again.audio is None:
            return "answered"
        same = np.array_equal(first.audio.samples, again.audio.samples)
        return "the same answer to the same clip" if same else "another answer to the same clip, which is allowed"

    def _failures(self) -> list[Failure]:
        return [answer.failure for answer in self._answers if answer.failure is not None]

    def _passed(self, found: str, *, passed: bool = True) -> None:
        step = Step(self._current, passed, found)
        self._steps.append(step)
        self._tell(step)

    def failed(self, reason: str, remedy: str, log: str = "") -> Verification:
        """`log` is the fault's own: a model that fails as it starts has no session whose log could be read."""
        self._passed(reason, passed=False)
        return Verification(tuple(self._steps), (), self._timing, reason, remedy, self._log or log)

    def verdict(self) -> Verification:
        """Scores beside the unprocessed input, and whether the model would be ranked."""
        self._current = "scores"
        comparisons = self._compared()
        reason = remedy = ""
        failures = self._failures()
        if failures:
            reason, remedy = self._steps[-2].found, _REMEDIES.get(failures[0].code, _REMEDIES["protocol"])
            if self._steps[-2].passed:
                reason = self._steps[-1].found
        elif all(c.enhanced == floors([c.metric])[c.metric] for c in comparisons):
            reason = "every clip scores the floor of every metric"
            remedy = "Listen to the answers: they are silent or hold nothing of the speech."
        better = sum(c.better is True for c in comparisons)
        self._passed(
            f"better than the unprocessed input in {better} of {len(comparisons)} metrics", passed=not reason
        )
        return Verification(tuple(self._steps), comparisons, self._timing, reason, remedy, self._log)

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
