"""The records of a measurement while it is made, so that a killed executor repeats at most one run.

An image is run in attempts, from 1: a second and a third one if the machine's speed changed. The scoring runs of
an attempt are counted from 1 too, and the timings of the reference from 0: number 0 comes before the first attempt,
and number n after attempt n. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from soundsright.core.errors import InfrastructureFault
from soundsright.core.images import ScoringRun
from soundsright.core.ports import StateStore
from soundsright.core.results import Failure
from soundsright.services.rounds import steps


@dataclass(frozen=True)
class RunStep(steps.StepRecord):
    """One scoring run that was measured, or the failure that ended the image there.

    `load_s` is the time until the image was ready, and `log` the end of a failing model's output.

    Raises:
        ValueError: if both or neither of run and failure are given.
    """

    run: ScoringRun | None = None
    failure: Failure | None = None
    load_s: float = 0.0
    log: str = ""

    def __post_init__(self) -> None:
        if (self.run is None) == (self.failure is None):
            raise ValueError("exactly one of run and failure must be given")

    def facts(self) -> dict[str, Any]:
        run = {} if self.run is None else {"run": asdict(self.run)}
        failure = {} if self.failure is None else {"failure": asdict(self.failure)}
        return {**run, **failure, "load_s": self.load_s, "log": self.log}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        run, failure = facts.get("run"), facts.get("failure")
        return cls(
            None if run is None else ScoringRun(**{**run, "clip_ids": tuple(run["clip_ids"])}),
            None if failure is None else Failure(**failure),
            facts["load_s"],
            facts["log"],
        )


@dataclass(frozen=True)
class ReferenceStep(steps.StepRecord):
    """One timing of the reference."""

    time_s: float

    def facts(self) -> dict[str, Any]:
        return {"time_s": self.time_s}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        return cls(float(facts["time_s"]))


class MeasurementLog(Protocol):
    """Keeps the records of one image in one round. A record is on the disk when `record_…` returns."""

    def run(self, attempt: int, number: int) -> RunStep | None: ...
    def record_run(self, attempt: int, number: int, step: RunStep) -> None: ...
    def reference(self, number: int) -> ReferenceStep | None: ...
    def record_reference(self, number: int, step: ReferenceStep) -> None: ...


@dataclass(frozen=True)
class StepLog:
    """The `MeasurementLog` in a state: steps `run:ENTRY:ATTEMPT:NUMBER` and `reference:ENTRY:NUMBER` of a round."""

    state: StateStore
    round_id: str
    entry_id: str

    def run(self, attempt: int, number: int) -> RunStep | None:
        return steps.read(self.state, self.round_id, self._run(attempt, number))

    def record_run(self, attempt: int, number: int, step: RunStep) -> None:
        steps.write(self.state, self.round_id, self._run(attempt, number), step)

    def reference(self, number: int) -> ReferenceStep | None:
        return steps.read(self.state, self.round_id, self._reference(number))

    def record_reference(self, number: int, step: ReferenceStep) -> None:
        steps.write(self.state, self.round_id, self._reference(number), step)

    def _run(self, attempt: int, number: int) -> steps.StepKey[RunStep]:
        return steps.StepKey(f"run:{self.entry_id}:{attempt}:{number}", RunStep)

    def _reference(self, number: int) -> steps.StepKey[ReferenceStep]:
        return steps.StepKey(f"reference:{self.entry_id}:{number}", ReferenceStep)


def attempt_folder(folder: Path, attempt: int) -> Path:
    """The folder of an image's enhanced audio in one attempt, below the image's folder of the round."""
    return folder / f"attempt-{attempt}"


def last_attempt(folder: Path) -> Path:
    """The folder of the attempt whose audio was scored: the last one, because earlier ones were unsteady.

    Raises:
        InfrastructureFault: there is none.
    """
    numbers = [path.name.rpartition("-")[2] for path in folder.glob("attempt-*")]
    if not (known := [int(number) for number in numbers if number.isdecimal()]):
        raise InfrastructureFault(f"{folder} has no enhanced audio", "Do not change the files of a running round.")
    return attempt_folder(folder, max(known))
