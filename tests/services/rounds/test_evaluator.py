"""One model on one set: batches, failures, restarts of the model, and what a resumed evaluation does again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.errors import EngineUnavailable, ModelCrashed, ModelFault
from soundsright.core.material import Material
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits
from soundsright.core.results import Evaluation, Timing
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import ClipSet, SetRequest, finish_set, start_set
from soundsright.services.rounds.evaluator import MODEL_LOG, EntryJob, Evaluator
from soundsright.services.rounds.faults import Cancelled, EntryStuck
from soundsright.services.rounds.progress import Progress
from tests.services.rounds.subnet import CLIPS, COMPETITION, ROUND_ID, Subnet

BATCHES = 3  # Eight clips of a second, in batches of three seconds.


def crash(message: str = "The process ended", log: str = "") -> ModelCrashed:
    fault = ModelCrashed(message)
    fault.log = log
    return fault


class ScriptedSandbox:
    """Starts models that copy their input. The faults are raised at the n-th start and at the n-th batch."""

    def __init__(self, start_faults: dict[int, Exception], batch_faults: dict[int, Exception]) -> None:
        self.start_faults, self.batch_faults = start_faults, batch_faults
        self.starts = self.batches = self.running = 0

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[ScriptedSandbox]:
        self.starts += 1
        if self.starts in self.start_faults:
            raise self.start_faults[self.starts]
        self.running += 1
        self._batches_before = self.batches
        try:
            yield self
        finally:
            self.running -= 1

    @property
    def timing(self) -> Timing:
        """Two seconds of loading, and one second for each batch of this process."""
        return Timing(load_s=2.0, enhance_s=1.0 * (self.batches - self._batches_before))

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        self.batches += 1
        if self.batches in self.batch_faults:
            raise self.batch_faults[self.batches]
        return tuple(Answer(clip.clip_id, clip.audio) for clip in batch)

    def stop(self) -> None:
        """Do nothing: there are no processes."""


class Bench:
    """A set on disk and one entry. `evaluate` runs it on a new sandbox, over the same state."""

    def __init__(self, folder: Path) -> None:
        self.subnet = Subnet(folder)
        self.subnet.state.begin_round(ROUND_ID, {})
        self.context = self.subnet.service()._context
        request = SetRequest(COMPETITION, 1, CLIPS, Material(), folder / "set")
        self.clips: ClipSet = finish_set(request, start_set(request, self.subnet.pool, jobs=1))
        self.entry = Submission(2, "alice", COMPETITION, self.subnet.models["alice"], 1)
        self.folder = folder / "enhanced" / self.entry.entry_id
        self.reports: list[Progress] = []
        self.sandbox = ScriptedSandbox({}, {})

    def evaluate(
        self, *, start_faults: dict[int, Exception] | None = None, batch_faults: dict[int, Exception] | None = None
    ) -> Evaluation:
        self.sandbox = ScriptedSandbox(start_faults or {}, batch_faults or {})
        context = replace(self.context, sandbox=self.sandbox)  # type: ignore[arg-type]
        model = FetchedModel(self.entry, self.folder, "content-alice", ())
        return Evaluator(context).evaluate(
            EntryJob(model, self.clips, self.folder, self.reports.append, (self.clips.clip_ids,))
        )

    def recorded_faults(self) -> list[str | None]:
        recorded = steps.RoundSteps(ROUND_ID, self.subnet.state.steps(ROUND_ID))
        return [batch.fault.detail if batch.fault else None for batch in recorded.batches(self.entry.entry_id)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def failures(evaluation: Evaluation) -> list[str | None]:
    return [clip.failure.detail if clip.failure else None for clip in evaluation.clips]


def test_a_model_is_started_once_for_all_batches(bench: Bench) -> None:
    evaluation = bench.evaluate()
    assert failures(evaluation) == [None] * CLIPS
    assert (bench.sandbox.starts, bench.sandbox.batches, bench.sandbox.running) == (1, BATCHES, 0)
    assert (evaluation.timing.load_s, evaluation.timing.enhance_s) == (2.0, 3.0)
    assert [report.clips_done for report in bench.reports] == [3, 6, 8]
    assert {report.clips for report in bench.reports} == {CLIPS}
    assert sorted(path.stem for path in bench.folder.glob("*.wav")) == list(bench.clips.clip_ids)


def test_a_model_that_fails_a_batch_is_started_once_more(bench: Bench) -> None:
    evaluation = bench.evaluate(batch_faults={1: crash("first", log="out of memory")})
    assert failures(evaluation) == ["first"] * 3 + [None] * 5
    assert bench.sandbox.starts == 2
    assert bench.recorded_faults() == ["first", None, None]
    assert evaluation.log == "out of memory"
    assert (bench.folder / MODEL_LOG).read_text() == "out of memory"
    assert bench.reports[0].note.endswith(f"enhanced/{bench.entry.entry_id}/{MODEL_LOG}")


def test_a_model_that_fails_two_batches_is_given_up(bench: Bench) -> None:
    evaluation = bench.evaluate(batch_faults={1: crash("first"), 2: crash("second")})
    assert failures(evaluation) == ["first"] * 3 + ["second"] * 5
    assert (bench.sandbox.starts, bench.sandbox.batches, bench.sandbox.running) == (2, 2, 0)
    assert bench.recorded_faults() == ["first", "second", None]


def test_a_failed_start_counts_as_a_failed_batch(bench: Bench) -> None:
    evaluation = bench.evaluate(start_faults={1: crash("does not load"), 2: crash("does not load")})
    assert failures(evaluation) == ["does not load"] * CLIPS
    assert (bench.sandbox.starts, bench.sandbox.batches) == (2, 0)
    assert evaluation.timing == Timing()


def test_failures_that_were_recorded_before_a_restart_count(bench: Bench) -> None:
    with pytest.raises(EntryStuck):
        bench.evaluate(batch_faults={1: crash("first"), **dict.fromkeys((3, 4, 5), EngineUnavailable("down"))})
    assert bench.recorded_faults() == ["first"]
    evaluation = bench.evaluate(batch_faults={1: crash("second")})
    assert failures(evaluation) == ["first"] * 3 + ["second"] * 5
    assert bench.sandbox.starts == 1


def test_a_resumed_evaluation_runs_only_the_batches_that_are_not_recorded(bench: Bench) -> None:
    with pytest.raises(EntryStuck, match="down"):
        bench.evaluate(batch_faults=dict.fromkeys((3, 4, 5), EngineUnavailable("down")))
    done = len(bench.recorded_faults())
    bench.reports.clear()
    assert failures(bench.evaluate()) == [None] * CLIPS
    assert bench.sandbox.batches == BATCHES - done
    assert bench.reports[0].clips_done == 3 * done
    assert failures(bench.evaluate()) == [None] * CLIPS
    assert bench.sandbox.starts == 0


def test_a_fault_of_the_sandbox_is_tried_again_after_growing_pauses(bench: Bench) -> None:
    started_s = bench.subnet.clock.now()
    evaluation = bench.evaluate(start_faults=dict.fromkeys((1, 2), EngineUnavailable("down", "Start it.")))
    assert failures(evaluation) == [None] * CLIPS
    assert bench.subnet.clock.now() - started_s == 3.0
    assert [report.note for report in bench.reports[:2]] == ["down. Start it; trying again"] * 2


def test_an_unexpected_error_of_the_sandbox_is_a_fault_of_this_entry(bench: Bench) -> None:
    with pytest.raises(EntryStuck, match=r"unexpected error \(ValueError\)"):
        bench.evaluate(batch_faults=dict.fromkeys(range(1, 9), ValueError("odd")))


def test_a_model_that_the_round_itself_stopped_is_not_to_blame(bench: Bench) -> None:
    class Stopped(ModelFault):
        """A fault that a running model gets when the round is cancelled."""

        def __init__(self) -> None:
            super().__init__("killed")
            bench.context.cancelled.set()

    with pytest.raises(Cancelled):
        bench.evaluate(batch_faults=_LazyFaults(Stopped))
    assert bench.recorded_faults() == []
    with pytest.raises(Cancelled):
        bench.evaluate()


class _LazyFaults(dict[int, Exception]):
    """Makes the fault of the first batch only when it is raised."""

    def __init__(self, kind: type[Exception]) -> None:
        super().__init__({1: Exception()})
        self._kind = kind

    def __getitem__(self, number: int) -> Exception:
        return self._kind()
