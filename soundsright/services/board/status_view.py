"""The status of a running round: stage, progress of each model, failures, time left, disk and GPUs.

It is read from the state of the round and writes nothing, so watching a round does not disturb it. Times are in
seconds, sizes in bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from soundsright.core.results import ClipResult
from soundsright.services.records import WITHHELD
from soundsright.services.rounds import BegunRound, steps


class Stage(StrEnum):
    """The stages of a round in their order."""

    SEED = "seed"
    ENTRIES = "entries"
    FETCH = "fetch"
    SET = "set"
    ENHANCED = "enhanced"
    DECIDE = "decide"
    WEIGHTS = "weights"
    DONE = "done"


STAGE_NAMES: Mapping[Stage, str] = {
    Stage.SEED: "Wait for the seed",
    Stage.ENTRIES: "Check the entries",
    Stage.FETCH: "Download models",
    Stage.SET: "Generate clips",
    Stage.ENHANCED: "Run and score models",
    Stage.DECIDE: "Decide the prizes",
    Stage.WEIGHTS: "Set weights",
    Stage.DONE: "Done",
}
_AFTER_MODELS = (Stage.DECIDE, Stage.WEIGHTS, Stage.DONE)
MAX_FAULTS = 20


class RoundState(Protocol):
    """The part of a validator's state that this module reads."""

    def rounds(self) -> tuple[str, ...]: ...
    def round_facts(self, round_id: str) -> Mapping[str, Any] | None: ...
    def steps(self, round_id: str) -> Mapping[str, Mapping[str, Any]]: ...
    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]: ...


@dataclass(frozen=True)
class GpuStatus:
    """One GPU: its number, used and total memory, and utilisation in percent."""

    index: int
    used_bytes: int
    total_bytes: int
    busy_percent: float


@dataclass(frozen=True)
class EntryStatus:
    """One entry of a round.

    `state` is `waiting`, `running`, `failing` (running, with failures), `done`, `failed` (on every clip),
    `refused`, or `not run` (a copy of an earlier entry, or the round ended before it ran).
    """

    label: str
    competition: str
    state: str
    clips_done: int
    clips_failed: int
    clips: int

    @property
    def summary(self) -> str:
        """The state, with the number of failed clips if some but not all failed."""
        some_failed = self.clips_failed and self.state != "failed"
        return f"{self.state}, {self.clips_failed} failed" if some_failed else self.state


@dataclass(frozen=True)
class RoundStatus:
    """A round at one moment. `left_s` is None until it can be estimated; `quiet_s` counts from the last step.

    The models wrote parts of `faults`, so `shown_fields` withholds these lines while a round is private.
    """

    round_id: str
    stage: Stage
    entries: tuple[EntryStatus, ...]
    clips_done: int
    clips: int
    left_s: float | None
    quiet_s: float
    faults: tuple[str, ...]
    disk_free_bytes: int
    gpus: tuple[GpuStatus, ...]
    is_private: bool = False

    @property
    def stage_name(self) -> str:
        return STAGE_NAMES[self.stage]

    @property
    def finished(self) -> bool:
        return self.stage is Stage.DONE

    def fields(self) -> dict[str, Any]:
        """The status as JSON values, for the operator."""
        return {
            "round": self.round_id,
            "stage": self.stage,
            "stage_name": self.stage_name,
            "finished": self.finished,
            "clips_done": self.clips_done,
            "clips": self.clips,
            "left_s": self.left_s,
            "quiet_s": round(self.quiet_s, 1),
            "entries": [{**vars(entry), "summary": entry.summary} for entry in self.entries],
            "faults": list(self.faults),
            "disk_free_bytes": self.disk_free_bytes,
            "gpus": [vars(gpu) for gpu in self.gpus],
        }

    def shown_fields(self) -> dict[str, Any]:
        """The status as JSON values, for everybody."""
        if not self.is_private:
            return self.fields()
        # The entry and the code are ours, and the rest can be the model's.
        shown = [": ".join([*fault.split(": ", 2)[:2], WITHHELD]) for fault in self.faults]
        return {**self.fields(), "faults": shown}


@dataclass(frozen=True)
class _ClipCounts:
    """The clips of an entry with a result and those that failed, counted after this many batches."""

    batches: int
    done: int
    failed: int


class RoundWatch:
    """Reads the status of the latest round of a state. `now` is a clock in seconds; `gpus` reads the GPUs."""

    def __init__(
        self,
        state: RoundState,
        folder: Path,
        *,
        now: Callable[[], float],
        gpus: Callable[[], Sequence[GpuStatus]] = tuple,
    ) -> None:
        self._state = state
        self._folder = folder
        self._now = now
        self._gpus = gpus
        self._round_id = ""
        self._pace_start: tuple[float, int] | None = None
        self._last_step: tuple[float, int] = (0.0, -1)
        self._counts: dict[str, _ClipCounts] = {}

    def look(self) -> RoundStatus | None:
        """The current status, or None if no round has started.

        Raises:
            StateUnavailable: the state cannot be read.
        """
        rounds = self._state.rounds()
        if not rounds:
            return None
        if rounds[-1] != self._round_id:
            self._round_id, self._pace_start, self._counts = rounds[-1], None, {}
        plan = BegunRound.from_facts(self._state.round_facts(self._round_id) or {})
        recorded = steps.RoundSteps(self._round_id, self._state.steps(self._round_id))
        stage = _stage(recorded, plan)
        entries = self._entries(recorded, plan.clips, stage)
        running = [e for e in entries if e.state not in ("refused", "not run")]
        done = sum(entry.clips_done for entry in running)
        total = sum(entry.clips for entry in running)
        now = self._now()
        if self._last_step[1] != len(recorded):
            self._last_step = (now, len(recorded))
        return RoundStatus(
            round_id=self._round_id,
            stage=stage,
            entries=entries,
            clips_done=done,
            clips=total,
            left_s=self._left_s(now, stage, done, total),
            quiet_s=now - self._last_step[0],
            faults=_faults(recorded),
            disk_free_bytes=shutil.disk_usage(self._folder).free,
            gpus=tuple(self._gpus()),
            is_private=plan.is_private,
        )

    def _left_s(self, now: float, stage: Stage, done: int, total: int) -> float | None:
        """The time left, at the pace since this watch first saw models running."""
        if stage is not Stage.ENHANCED:
            return 0.0 if stage in _AFTER_MODELS else None
        if self._pace_start is None:
            self._pace_start = (now, done)
        started, done_at_start = self._pace_start
        if done <= done_at_start:
            return None
        return (total - done) * (now - started) / (done - done_at_start)

    def _entries(self, recorded: steps.RoundSteps, clips: int, stage: Stage) -> tuple[EntryStatus, ...]:
        submissions = _submissions(recorded)
        copies = _copies(recorded, submissions)
        entries = []
        for entry in submissions:
            batches = tuple(recorded.batches(entry.entry_id))
            counts = self._clip_counts(entry.entry_id, len(batches))
            is_over = stage in _AFTER_MODELS
            if _is_refused(recorded, entry.entry_id):
                state = "refused"
            elif entry.entry_id in copies or (not batches and is_over):
                state = "not run"
            elif is_over or (clips and counts.done >= clips):
                state = "failed" if 0 < counts.done == counts.failed else "done"
            elif counts.failed or any(batch.fault for batch in batches):
                state = "failing"
            else:
                state = "running" if counts.done else "waiting"
            label = entry.source.repository
            entries.append(EntryStatus(label, entry.competition_id, state, counts.done, counts.failed, clips))
        return tuple(entries)

    def _clip_counts(self, entry_id: str, batches: int) -> _ClipCounts:
        """The entry's clips with a result and those that failed. They are read again only after a new batch."""
        counts = self._counts.get(entry_id, _ClipCounts(0, 0, 0))
        if counts.batches != batches:
            results = self._state.clip_results(self._round_id, entry_id)
            counts = _ClipCounts(batches, len(results), sum(result.failure is not None for result in results))
            self._counts[entry_id] = counts
        return counts


def _stage(recorded: steps.RoundSteps, plan: BegunRound) -> Stage:
    """The first stage that is not finished."""
    if steps.WEIGHTS in recorded:
        return Stage.DONE
    if steps.ENTRIES not in recorded:
        return Stage.ENTRIES if steps.SEED in recorded else Stage.SEED
    if steps.DUPLICATES not in recorded:
        return Stage.FETCH
    if not all(steps.set_of(competition_id) in recorded for competition_id in plan.competition_ids):
        return Stage.SET
    if all(steps.decide(competition_id) in recorded for competition_id in plan.competition_ids):
        return Stage.WEIGHTS
    decides = steps.NEAR_COPIES in recorded or steps.FLAGS in recorded or recorded.any_decided()
    return Stage.DECIDE if decides else Stage.ENHANCED


def _submissions(recorded: steps.RoundSteps) -> tuple[steps.RecordedEntry, ...]:
    record = recorded.get(steps.ENTRIES)
    return record.submissions if record else ()


def _is_refused(recorded: steps.RoundSteps, entry_id: str) -> bool:
    fetched = recorded.get(steps.fetch(entry_id))
    return (fetched is not None and fetched.refusal is not None) or steps.set_aside(entry_id) in recorded


def _copies(recorded: steps.RoundSteps, entries: Sequence[steps.RecordedEntry]) -> set[str]:
    """The entries that will not run, because an earlier one of the competition has the same content or tensors."""
    copies: set[str] = set()
    contents: set[tuple[str, str]] = set()
    order: dict[str, tuple[int, str]] = {}
    for index, entry in enumerate(sorted(entries, key=lambda e: (e.block, e.uid))):
        order[entry.entry_id] = (index, entry.competition_id)
        fetched = recorded.get(steps.fetch(entry.entry_id))
        content = (fetched and fetched.content_hash) or entry.entry_id
        if (entry.competition_id, content) in contents:
            copies.add(entry.entry_id)
        contents.add((entry.competition_id, content))
    duplicates = recorded.get(steps.DUPLICATES)
    for pair in duplicates.same_tensors if duplicates else ():
        both = [order[entry_id] for entry_id in (pair.first, pair.second) if entry_id in order]
        if len(both) == 2 and both[0][1] == both[1][1]:
            copies.add(max(pair.first, pair.second, key=lambda entry_id: order[entry_id]))
    return copies


def _faults(recorded: steps.RoundSteps) -> tuple[str, ...]:
    """One line for each failed batch, at most `MAX_FAULTS`."""
    faults = [
        f"{entry_id}: {batch.fault.code}: {batch.fault.detail}"
        for entry_id, batch in recorded.all_batches()
        if batch.fault is not None
    ]
    return tuple(faults[:MAX_FAULTS])
