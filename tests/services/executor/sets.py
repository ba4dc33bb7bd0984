"""A small set on disk, references, and a runner whose models do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.competition import PUBLISHED
from soundsright.core.executor_rules import ExecutorRules, executor_rules
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits
from soundsright.core.results import Failure, Timing
from soundsright.core.sources import ImageRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.executor import ImageMeter, StepLog
from soundsright.services.rounds import ClipSet, make_folder, write_wav
from soundsright.testing.fakes import InlinePool
from soundsright.testing.state import MemoryState

ROUND_ID = "7"
RULES = executor_rules(warmup_runs=1, scoring_runs=3, run_audio_s=1)
"""Runs of two clips of half a second."""
CLIPS = 8
RATE_HZ = 16_000


def small_set(folder: Path, clips: int = CLIPS) -> ClipSet:
    """Clips of half a second of noise, of which half is speech for the test's purposes."""
    ids = [f"clip-{number}" for number in range(clips)]
    for name in ("clean", "degraded"):
        make_folder(folder / name)
    for number, clip_id in enumerate(ids):
        rng = np.random.default_rng(number)
        clean = 0.1 * rng.standard_normal(RATE_HZ // 2)
        write_wav(folder / "clean" / f"{clip_id}.wav", Audio(on_pcm16_grid(clean), RATE_HZ))
        noisy = clean + 0.1 * rng.standard_normal(RATE_HZ // 2)
        write_wav(folder / "degraded" / f"{clip_id}.wav", Audio(on_pcm16_grid(noisy), RATE_HZ))
    return ClipSet(PUBLISHED[0], 1, folder, dict.fromkeys(ids, "0" * 64), {}, dict.fromkeys(ids, 0.5))


class SteadyReference:
    """A `Reference` with these times, the last of them for ever."""

    def __init__(self, *times_s: float) -> None:
        self.times_s = list(times_s or (1.0,))
        self.timed = 0

    def time_s(self) -> float:
        self.timed += 1
        return self.times_s[min(self.timed, len(self.times_s)) - 1]


@dataclass
class ScriptedRunner:
    """Models copy their input. `at_batch` is called with the number of each batch of a process, before its answer.

    With an `error`, they add noise of their own to it, which follows from that number and the clip. `seconds` gives
    the time of each batch, `failures` the failure of the first clip of a batch. `heard` has the
    clips of every batch of all processes.
    """

    at_batch: Callable[[int], None] = lambda _number: None
    at_start: Callable[[int], None] = lambda _number: None
    seconds: Callable[[int], float] = float
    failures: dict[int, Failure] = field(default_factory=dict)
    error: int | None = None
    starts: int = 0
    heard: list[tuple[str, ...]] = field(default_factory=list)
    limits: list[SandboxLimits] = field(default_factory=list)
    name: str = "scripted"

    def prepare(self, model: FetchedModel) -> None:
        """Do nothing: no image is built."""

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[_ScriptedModel]:
        self.starts += 1
        self.limits.append(limits)
        self.at_start(self.starts)
        yield _ScriptedModel(self)

    def stop(self) -> None:
        """Do nothing: there are no processes."""


class _ScriptedModel:
    def __init__(self, runner: ScriptedRunner) -> None:
        self._runner = runner
        self._batches = 0
        self.timing = Timing(load_s=2.0, peak_memory_bytes=1_000)

    def restart_peaks(self) -> bool:
        self.timing = replace(self.timing, peak_memory_bytes=0)
        return True

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        self._batches += 1
        self._runner.heard.append(tuple(clip.clip_id for clip in batch))
        self._runner.at_batch(self._batches)
        self.timing = replace(
            self.timing,
            enhance_s=self.timing.enhance_s + self._runner.seconds(self._batches),
            peak_memory_bytes=max(self.timing.peak_memory_bytes, 1_000_000 * self._batches),
        )
        answers = [Answer(clip.clip_id, self._enhanced(clip)) for clip in batch]
        if failure := self._runner.failures.get(self._batches):
            answers[0] = Answer(batch[0].clip_id, failure=failure)
        return tuple(answers)

    def _enhanced(self, clip: DegradedClip) -> Audio:
        if self._runner.error is None:
            return clip.audio
        rng = np.random.default_rng([self._runner.error, *clip.clip_id.encode()])
        noise = 0.03 * rng.standard_normal(len(clip.audio.samples))
        return replace(clip.audio, samples=on_pcm16_grid(clip.audio.samples + noise))


@dataclass
class Counter:
    """An `EnergyMeter` that has used so many joules more at each reading; None after `readings` of them."""

    step_j: float
    readings: int = 1_000
    read: int = 0

    def joules(self) -> float | None:
        self.read += 1
        return None if self.read > self.readings else self.step_j * self.read


def meter(runner: object, rules: ExecutorRules = RULES, reference: object | None = None) -> ImageMeter:
    """A meter that scores SI-SDR in this process."""
    return ImageMeter(
        runner,  # type: ignore[arg-type]
        InlinePool(),
        rules,
        ("SI_SDR",),
        reference or SteadyReference(),  # type: ignore[arg-type]
    )


def step_log(state: MemoryState | None = None) -> StepLog:
    """The log of one image in a state that has begun a round."""
    state = state or MemoryState()
    state.begin_round(ROUND_ID, {})
    return StepLog(state, ROUND_ID, "5F-7")


def fetched_image(folder: Path) -> FetchedModel:
    """An image in a folder, as a hub returns it."""
    submission = Submission(1, "5F", PUBLISHED[0], ImageRef("lab/gate", "0" * 64), 1)
    return FetchedModel(submission, folder, "content", ())
