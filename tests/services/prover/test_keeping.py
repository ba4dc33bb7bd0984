"""A prover keeps its model running: it restarts it after a crash, with growing pauses, and loses no recording."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.core.errors import EngineUnavailable, ModelCrashed, RequestRefused, UsageError
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits
from soundsright.core.results import Failure, Timing
from soundsright.core.submission import FetchedModel
from soundsright.services.prover import keeping
from soundsright.services.prover.keeping import KeptModel, QueueLimits
from soundsright.testing.provers import fetched_reference
from tests.services.prover.callers import noise

MODEL = fetched_reference(Hotkey.of_seed("p"))


class Script:
    """A runner whose starts and recordings follow a script: an error is raised, a word says what happens."""

    name = "script"

    def __init__(self, starts: Sequence[Any] = (), clips: Sequence[Any] = ()) -> None:
        self.starts, self.clips = list(starts), list(clips)
        self.started: list[float] = []
        self.gate = threading.Event()
        self.gate.set()

    def prepare(self, model: FetchedModel) -> None: ...

    @contextlib.contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[Script]:
        self.started.append(time.monotonic())
        step = self.starts.pop(0) if self.starts else None
        if step is not None:
            raise step
        yield self

    timing = Timing()

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        self.gate.wait(10)
        step = self.clips.pop(0) if self.clips else None
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Failure):
            return (Answer(batch[0].clip_id, failure=step),)
        return (Answer(batch[0].clip_id, batch[0].audio),)

    def stop(self) -> None:
        self.gate.set()


@contextlib.contextmanager
def kept(script: Script, slots: int = 1, **queue: Any) -> Iterator[KeptModel]:
    model = KeptModel(script, MODEL, SandboxLimits(), slots=slots, queue=QueueLimits(**queue))
    model.start()
    try:
        yield model
    finally:
        model.close()


def wait_until_running(model: KeptModel) -> None:
    deadline = time.monotonic() + 10
    while model.problem is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "FIRST_PAUSE_S", 0.05)


def test_a_recording_whose_model_crashed_goes_to_the_restarted_model() -> None:
    script = Script(clips=[ModelCrashed("killed")])
    with kept(script) as model:
        wait_until_running(model)
        assert len(model.submit(noise(), "v").result(10).audio) == 8_000
    assert len(script.started) == 2


def test_a_recording_that_crashes_the_model_twice_is_given_up() -> None:
    script = Script(clips=[ModelCrashed("one"), ModelCrashed("two")])
    with kept(script) as model:
        wait_until_running(model)
        with pytest.raises(RequestRefused) as refused:
            model.submit(noise(), "v").result(10)
        assert (refused.value.code, refused.value.status) == ("model_failed", 500)
        wait_until_running(model)
        model.submit(noise(), "v").result(10)


def test_an_answer_that_breaks_a_rule_costs_the_model_no_restart() -> None:
    script = Script(clips=[Failure("length", "too short")])
    with kept(script) as model:
        wait_until_running(model)
        with pytest.raises(RequestRefused):
            model.submit(noise(), "v").result(10)
        model.submit(noise(), "v").result(10)
    assert len(script.started) == 1


def test_the_pauses_between_starts_grow_and_the_refusal_says_loading() -> None:
    fault = EngineUnavailable("no engine")
    script = Script(starts=[fault] * 4)
    with kept(script) as model:
        with pytest.raises(RequestRefused) as refused:
            model.submit(noise(), "v")
        assert (refused.value.code, refused.value.status, refused.value.retry_after_s) == ("loading", 503, 5)
        wait_until_running(model)
    pauses = [later - earlier for earlier, later in itertools.pairwise(script.started)]
    assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(pauses))


def test_an_error_that_nobody_foresaw_does_not_end_the_slot() -> None:
    with kept(Script(starts=[ZeroDivisionError()])) as model:
        wait_until_running(model)
        model.submit(noise(), "v").result(10)


def test_one_sender_cannot_fill_the_queue() -> None:
    script = Script()
    script.gate.clear()
    with kept(script, waiting=4, per_sender=2) as model:
        wait_until_running(model)
        model.submit(noise(), "greedy")
        deadline = time.monotonic() + 10
        while model._waiting and time.monotonic() < deadline:
            time.sleep(0.005)
        futures = [model.submit(noise(), "greedy") for _ in range(2)]
        with pytest.raises(RequestRefused, match="queue"):
            model.submit(noise(), "greedy")
        futures.append(model.submit(noise(), "other"))
        script.gate.set()
        for future in futures:
            future.result(10)


def test_a_recording_that_waited_too_long_is_refused_as_busy() -> None:
    script = Script()
    script.gate.clear()
    with kept(script, longest_s=0.05) as model:
        wait_until_running(model)
        first = model.submit(noise(), "v")
        late = model.submit(noise(), "v")
        time.sleep(0.2)
        script.gate.set()
        first.result(10)
        with pytest.raises(RequestRefused) as refused:
            late.result(10)
        assert refused.value.status == 429


def test_closing_refuses_what_waits() -> None:
    script = Script()
    script.gate.clear()
    with kept(script) as model:
        wait_until_running(model)
        model.submit(noise(), "v")
        time.sleep(0.05)
        waiting = model.submit(noise(), "v")
    with pytest.raises(RequestRefused):
        waiting.result(10)


def test_a_queue_without_places_is_refused() -> None:
    with pytest.raises(UsageError):
        QueueLimits(waiting=0)
