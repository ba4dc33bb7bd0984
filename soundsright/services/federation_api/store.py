"""The contents of the owner's API: samples by task, the latest report of each validator, and the owner's lists.

Samples are rows of the state: a task is a round, and each sample is a step of it, so the first write stays. The
oldest tasks are removed. A report is a round in a scope of its validator, and replaces the one before it. Times are
in seconds since the epoch.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import RequestRefused
from soundsright.core.ports import Clock, Records
from soundsright.services.federation_api.lists import Blacklist, ValidatorList
from soundsright.services.federation_api.samples import Report, Sample, report_of, sample_of

KEPT_TASKS = 160
"""The number of tasks whose samples are shown. A window of 100 tasks, and what came after it."""
MAX_OF_TASK = 1_024
"""The highest number of samples of one validator on one task: 512 miners in each of two competitions."""
_RECORDED = 3
"""The database keeps so many times the tasks that are shown. It removes those that began first, so late samples of
old tasks remove none that are shown."""
_TASK = "task-"


class ApiState(Protocol):
    """The part of a state that this store needs. `SqlState` and `MemoryState` have it."""

    def scoped(self, scope: str) -> Any: ...
    def begin_round(self, round_id: str, facts: Mapping[str, Any]) -> Mapping[str, Any]: ...
    def round_facts(self, round_id: str) -> Mapping[str, Any] | None: ...
    def rounds(self) -> tuple[str, ...]: ...
    def steps(self, round_id: str) -> Mapping[str, Mapping[str, Any]]: ...
    def finish_step(self, round_id: str, step: str, facts: Mapping[str, Any]) -> None: ...
    def forget_rounds(self, *, keep: int) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class StoredSample:
    """A sample, the validator that sent it, and its place in the order of arrival."""

    number: int
    validator: str
    sample: Sample


@dataclass(frozen=True)
class StoredReport:
    """The latest report of a validator."""

    validator: str
    received_s: float
    report: Report


class FederationStore:
    """The API's rows in a database, with a copy in memory. Any thread may call it.

    The newest `kept_tasks` tasks are shown. A validator has at most `max_of_task` samples on a task.

    Every method raises `StateUnavailable` if the database does not answer.
    """

    def __init__(
        self,
        state: ApiState,
        records: Records,
        clock: Clock,
        *,
        kept_tasks: int = KEPT_TASKS,
        max_of_task: int = MAX_OF_TASK,
    ) -> None:
        self.validators = ValidatorList(records)
        self.blacklist = Blacklist(records)
        self.clock = clock
        self._state = state
        self._kept_tasks = kept_tasks
        self._max_of_task = max_of_task
        self._writing = threading.Lock()
        self._lock = threading.Lock()  # Of the copy in memory, so that readers do not wait for the disk.
        self._tasks: dict[int, dict[tuple[str, str, str], StoredSample]] = {}
        self._arrived: dict[int, StoredSample] = {}
        self._seen_s: dict[str, float] = {}
        self._reports: dict[str, StoredReport | None] = {}
        self._number = 0
        self.version = 0
        self._load()

    def ping(self) -> None:
        """Check that the database answers."""
        self.validators.members()

    def add_samples(self, validator: str, samples: Iterable[Sample]) -> int:
        """Record samples of one task, and return how many of them are new. A repeated one changes nothing.

        Raises:
            RequestRefused: `other_sample`, if the validator sent another one for the same task and entry;
                `too_many`, if it sent too many for the task; `wrong_task`, if the task is older than those that are
                shown. Then none is recorded.
        """
        samples = tuple(samples)
        with self._writing:
            with self._lock:
                new = [sample for sample in samples if not self._has(validator, sample)]
                self._check_room(validator, new)
            for sample in new:
                number, round_id = self._number + 1, f"{_TASK}{sample.task}"
                self._state.begin_round(round_id, {"task": sample.task})
                self._state.finish_step(round_id, _step(validator, sample), sample.facts() | {"number": number})
                with self._lock:
                    self._keep(validator, sample, number)
            if new:
                self._forget_old()
            self._seen_s[validator] = self.clock.now()
        return len(new)

    def _has(self, validator: str, sample: Sample) -> bool:
        kept = self._tasks.get(sample.task, {}).get((validator, sample.competition, sample.miner))
        if kept is None:
            return False
        if canonical_json(kept.sample.facts()) != canonical_json(sample.facts()):
            sentence = (
                f"You sent another sample of {sample.miner} in {sample.competition} for the task {sample.task}; the"
                " first one stays, as a verdict does in your bucket"
            )
            raise RequestRefused("other_sample", sentence, status=409)
        return True

    def _check_room(self, validator: str, new: Sequence[Sample]) -> None:
        if not new:
            return
        task = new[0].task
        if task not in self._tasks and len(self._tasks) >= self._kept_tasks and task < min(self._tasks):
            sentence = f"The task {task} is older than the {self._kept_tasks} tasks that are shown"
            raise RequestRefused("wrong_task", sentence, status=422)
        own = sum(sender == validator for sender, _, _ in self._tasks.get(task, {}))
        if own + len(new) > self._max_of_task:
            sentence = f"You have {own} samples on the task {task}; at most {self._max_of_task} are taken"
            raise RequestRefused("too_many", sentence, status=413)

    def _keep(self, validator: str, sample: Sample, number: int) -> None:
        key = (validator, sample.competition, sample.miner)
        stored = StoredSample(number, validator, sample)
        self._tasks.setdefault(sample.task, {})[key] = self._arrived[number] = stored
        self._number = max(self._number, number)
        self.version += 1

    def _forget_old(self) -> None:
        """Remove the oldest tasks from memory, and from the database those that began first."""
        with self._lock:
            for task in sorted(self._tasks)[: -self._kept_tasks]:
                for stored in self._tasks.pop(task).values():
                    del self._arrived[stored.number]
                self.version += 1
        self._state.forget_rounds(keep=_RECORDED * self._kept_tasks)

    def _load(self) -> None:
        tasks = sorted(int(round_id.removeprefix(_TASK)) for round_id in self._state.rounds())
        for task in tasks:
            for step, facts in self._state.steps(f"{_TASK}{task}").items():
                values = dict(facts)
                number = values.pop("number")
                self._number = max(self._number, number)
                if task in tasks[-self._kept_tasks :]:
                    self._keep(step.partition("/")[0], sample_of(values), number)
        self._arrived = dict(sorted(self._arrived.items()))

    def tasks(self) -> tuple[int, ...]:
        """The tasks of which there are samples, in ascending order."""
        with self._lock:
            return tuple(sorted(task for task, samples in self._tasks.items() if samples))

    def of_task(self, task: int) -> tuple[StoredSample, ...]:
        """The samples of a task, in the order of arrival."""
        with self._lock:
            return tuple(sorted(self._tasks.get(task, {}).values(), key=lambda stored: stored.number))

    @property
    def count(self) -> int:
        """The number of samples that are kept."""
        return len(self._arrived)

    def sampled_by(self, tasks: Iterable[int]) -> dict[str, int]:
        """By validator, of how many of these tasks it sent samples. A validator without any is absent."""
        counts: Counter[str] = Counter()
        with self._lock:
            for task in tasks:
                counts.update({validator for validator, _, _ in self._tasks.get(task, {})})
        return dict(counts)

    def of_tasks(self, tasks: Iterable[int]) -> tuple[StoredSample, ...]:
        """The samples of some tasks."""
        with self._lock:
            return tuple(stored for task in tasks for stored in self._tasks.get(task, {}).values())

    def of_miner(self, hotkey: str, limit: int) -> tuple[StoredSample, ...]:
        """The samples of a miner that arrived last, newest first."""
        with self._lock:
            own = (each for each in reversed(self._arrived.values()) if each.sample.miner == hotkey)
            return tuple(itertools.islice(own, limit))

    def newest(self, limit: int, *, before: int | None = None) -> tuple[StoredSample, ...]:
        """The samples that arrived last, newest first, or those before the number `before`."""
        with self._lock:
            older = (each for each in reversed(self._arrived.values()) if before is None or each.number < before)
            return tuple(itertools.islice(older, limit))

    def replace_report(self, validator: str, report: Report) -> None:
        """Record the validator's report in place of the one before."""
        now_s = self.clock.now()
        scope = self._state.scoped(_scope(validator))
        with self._writing:
            facts = {"received_s": now_s, "report": report.facts()}
            # The number of milliseconds names the report. One of the same moment gets the next number.
            name = max([int(now_s * 1_000), *(int(each) + 1 for each in scope.rounds())])
            scope.begin_round(str(name), facts)
            scope.forget_rounds(keep=1)
            with self._lock:
                self._reports[validator] = StoredReport(validator, now_s, report)
            self._seen_s[validator] = now_s

    def report(self, validator: str) -> StoredReport | None:
        """The latest report of a validator, or None if it sent none."""
        with self._lock:
            if validator not in self._reports:
                self._reports[validator] = self._recorded_report(validator)
            return self._reports[validator]

    def _recorded_report(self, validator: str) -> StoredReport | None:
        scope = self._state.scoped(_scope(validator))
        rounds = scope.rounds()
        facts = scope.round_facts(rounds[-1]) if rounds else None
        if facts is None:
            return None
        return StoredReport(validator, facts["received_s"], report_of(facts["report"]))

    def seen_s(self, validator: str) -> float | None:
        """The time at which the validator sent something last, or None. After a restart, reports count only."""
        report = self.report(validator)
        times = [self._seen_s.get(validator), report.received_s if report is not None else None]
        return max((time for time in times if time is not None), default=None)


def _step(validator: str, sample: Sample) -> str:
    return f"{validator}/{sample.competition}/{sample.miner}"


def _scope(validator: str) -> str:
    return f"api-report/{validator}"
