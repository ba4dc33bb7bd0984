"""One image: its runs, its failures, the machine's speed, and what is done again after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.errors import EngineUnavailable, ModelCrashed, ModelTimeout, UsageError
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.images import MeasuredImage
from soundsright.core.results import Failure
from soundsright.services.executor import ImageMeter, StepLog, sandbox_limits, unprocessed_results
from soundsright.services.rounds import Cancelled, ClipSet
from soundsright.testing.fakes import InlinePool
from tests.services.executor.sets import (
    CLIPS,
    RULES,
    Counter,
    ScriptedRunner,
    SteadyReference,
    fetched_image,
    meter,
    small_set,
    step_log,
)

SCORED = tuple(f"clip-{number}" for number in range(2, CLIPS))


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    return small_set(tmp_path / "set")


class Killed(BaseException):
    """The process was killed here."""


def measure(
    clips: ClipSet, runner: ScriptedRunner, log: StepLog | None = None, *, by: ImageMeter | None = None
) -> MeasuredImage:
    folder = clips.folder.parent / "enhanced"
    return (by or meter(runner)).measure(fetched_image(folder), clips, folder, log or step_log())


def test_only_the_scoring_runs_count_and_each_has_its_own_time_and_peak(clips: ClipSet) -> None:
    runner = ScriptedRunner()
    measured = measure(clips, runner)
    assert measured.failure is None
    # The scripted model takes n seconds and n megabytes for its n-th batch, and the first one is a warm-up.
    assert [(run.number, run.time_s, run.memory_bytes) for run in measured.runs] == [
        (1, 2.0, 2_000_000),
        (2, 3.0, 3_000_000),
        (3, 4.0, 4_000_000),
    ]
    assert [run.audio_s for run in measured.runs] == [1.0] * 3
    assert runner.heard == [("clip-0", "clip-1"), *(run.clip_ids for run in measured.runs)]
    assert tuple(clip.clip_id for clip in measured.clips) == SCORED
    assert (measured.load_s, measured.unsteady, measured.runs[0].energy_j) == (2.0, False, None)


def test_an_image_that_changes_nothing_scores_as_the_input_does(clips: ClipSet) -> None:
    measured = measure(clips, ScriptedRunner())
    assert measured.clips == unprocessed_results(clips, SCORED, ("SI_SDR",), InlinePool())
    assert all(clip.scores for clip in measured.clips)


def test_a_run_has_the_same_limit_whatever_its_audio() -> None:
    limits = sandbox_limits(ExecutorRules())
    assert limits.enhance_fixed_s + limits.enhance_factor * 24.0 == 120.0
    assert (limits.load_timeout_s, limits.cpus, limits.memory_bytes, limits.pids) == (600, 8, 16_000_000_000, 256)


def test_energy_is_the_difference_of_two_readings_of_a_run(clips: ClipSet) -> None:
    runner = ScriptedRunner()
    measured = measure(clips, runner, by=replace(meter(runner), energy=Counter(5.0)))
    assert [run.energy_j for run in measured.runs] == [5.0] * 3
    measured = measure(clips, runner, by=replace(meter(runner), energy=Counter(5.0, readings=3)))
    assert [run.energy_j for run in measured.runs] == [5.0, None, None]


def test_bad_audio_in_one_run_fails_the_image_and_ends_it(clips: ClipSet) -> None:
    bad = Failure("not_finite", "clip-4.wav has NaN")
    runner = ScriptedRunner(failures={3: bad})
    measured = measure(clips, runner)
    assert measured.failure == bad
    assert [run.number for run in measured.runs] == [1]
    assert [(clip.clip_id, clip.failure) for clip in measured.clips] == [(clip_id, bad) for clip_id in SCORED]
    assert len(runner.heard) == 3


def test_bad_audio_in_a_warm_up_run_is_not_scored(clips: ClipSet) -> None:
    assert measure(clips, ScriptedRunner(failures={1: Failure("length", "short")})).failure is None


@pytest.mark.parametrize("batch", [1, 3])
def test_a_crash_fails_the_image_with_the_end_of_its_log(clips: ClipSet, batch: int) -> None:
    def crash(number: int) -> None:
        if number == batch:
            fault = ModelCrashed("ended", 1)
            fault.log = "out of memory"
            raise fault

    measured = measure(clips, ScriptedRunner(at_batch=crash))
    assert measured.failure == Failure("crashed", "ended (exit status 1)")
    assert measured.log == "out of memory"
    assert len(measured.runs) == max(0, batch - 2)
    assert len(measured.clips) == len(SCORED)


def test_an_image_that_never_becomes_ready_fails(clips: ClipSet) -> None:
    def never(_number: int) -> None:
        raise ModelTimeout("loading", 600)

    measured = measure(clips, ScriptedRunner(at_start=never))
    assert measured.failure == Failure("timeout", "loading took longer than 600 s")
    assert (measured.runs, len(measured.clips)) == ((), len(SCORED))


def test_a_run_whose_steps_together_take_too_long_fails(clips: ClipSet) -> None:
    measured = measure(clips, ScriptedRunner(seconds=lambda number: 121.0 if number == 4 else 120.0))
    assert measured.failure == Failure("timeout", "run 3 took longer than 120 s")


def test_an_engine_that_fails_is_not_charged_and_keeps_what_was_measured(clips: ClipSet) -> None:
    def fail_once(number: int) -> None:
        if number == 3 and runner.starts == 1:
            raise EngineUnavailable("The engine ended", "Start it.")

    log, runner = step_log(), ScriptedRunner(at_batch=fail_once)
    with pytest.raises(EngineUnavailable):
        measure(clips, runner, log)
    measured = measure(clips, runner, log)
    assert measured.failure is None
    assert [run.number for run in measured.runs] == [1, 2, 3]
    assert runner.heard.count(("clip-2", "clip-3")) == 1


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4])
def test_after_a_kill_at_most_one_scoring_run_is_repeated(clips: ClipSet, killed_at: int) -> None:
    def kill(number: int) -> None:
        if number == killed_at and runner.starts == 1:
            raise Killed

    log, runner = step_log(), ScriptedRunner(at_batch=kill)
    with pytest.raises(Killed):
        measure(clips, runner, log)
    measured = measure(clips, runner, log)
    assert [run.clip_ids for run in measured.runs] == [SCORED[:2], SCORED[2:4], SCORED[4:]]
    times = [runner.heard.count(run.clip_ids) for run in measured.runs]
    assert sorted(times) == [1, 1, 1 if killed_at == 1 else 2]
    assert all(clip.scores for clip in measured.clips)


def test_a_finished_image_is_read_from_the_log(clips: ClipSet) -> None:
    log, runner, reference = step_log(), ScriptedRunner(), SteadyReference()
    first = measure(clips, runner, log, by=meter(runner, reference=reference))
    assert measure(clips, runner, log, by=meter(runner, reference=reference)) == first
    assert (runner.starts, reference.timed) == (1, 2)


def test_a_failure_is_recorded_too(clips: ClipSet) -> None:
    log, runner = step_log(), ScriptedRunner(failures={2: Failure("rate", "8000 Hz")})
    first = measure(clips, runner, log)
    assert measure(clips, runner, log) == first
    assert runner.starts == 1


@pytest.mark.parametrize(
    ("reference_s", "starts", "unsteady"),
    [
        ((1.0, 1.05), 1, False),
        ((1.0, 1.06), 2, False),
        ((1.0, 1.06, 1.0), 3, False),
        ((1.0, 1.06, 1.0, 1.06), 3, True),
        ((1.06, 1.0, 1.06, 1.0), 3, True),
    ],
)
def test_an_image_is_timed_again_while_the_machine_is_unsteady(
    clips: ClipSet, reference_s: tuple[float, ...], starts: int, unsteady: bool
) -> None:
    reference, runner = SteadyReference(*reference_s), ScriptedRunner()
    measured = measure(clips, runner, by=meter(runner, reference=reference))
    assert (runner.starts, measured.unsteady, reference.timed) == (starts, unsteady, starts + 1)
    assert [run.number for run in measured.runs] == [1, 2, 3]
    assert measured.reference_s == pytest.approx(sum((*reference_s, reference_s[-1])[starts - 1 : starts + 1]) / 2)


def test_a_timeout_on_an_unsteady_machine_is_tried_again_and_a_crash_is_not(clips: ClipSet) -> None:
    def slow_at_first(number: int) -> None:
        if runner.starts == 1 and number == 2:
            raise fault

    fault: Exception = ModelTimeout("enhance", 120)
    runner = ScriptedRunner(at_batch=slow_at_first)
    assert measure(clips, runner, by=meter(runner, reference=SteadyReference(1.0, 2.0))).failure is None
    fault, runner = ModelCrashed("ended"), ScriptedRunner(at_batch=slow_at_first)
    measured = measure(clips, runner, by=meter(runner, reference=SteadyReference(1.0, 2.0)))
    assert measured.failure == Failure("crashed", "ended")


def test_a_stopped_executor_blames_no_image(clips: ClipSet) -> None:
    def stop(number: int) -> None:
        if number == 3 and runner.starts == 1:
            stopping.cancelled.set()
            raise ModelCrashed("stopped")

    log, runner = step_log(), ScriptedRunner(at_batch=stop)
    stopping = meter(runner)
    with pytest.raises(Cancelled):
        measure(clips, runner, log, by=stopping)
    assert measure(clips, runner, log).failure is None


def test_a_set_that_is_too_small_is_refused_before_anything_runs(tmp_path: Path) -> None:
    runner = ScriptedRunner()
    with pytest.raises(UsageError, match=r"3 clips .* fills 1 of 4 runs"):
        measure(small_set(tmp_path / "set", clips=3), runner)
    assert runner.starts == 0


def test_progress_names_the_run(clips: ClipSet) -> None:
    seen: list[tuple[int, int]] = []
    runner = ScriptedRunner()
    measure(clips, runner, by=replace(meter(runner), observe=lambda *progress: seen.append(progress)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert RULES.scoring_runs == 3
