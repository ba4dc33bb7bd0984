"""A round as it stands, read from its state alone: stage, each model's progress, faults, time left, disk and GPUs.

Times in seconds, sizes in bytes. Nothing is written and nothing is asked of the round itself, so looking at one
costs it nothing but a few reads.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from soundsright.core.results import ClipResult

STAGES = ("seed", "entries", "fetch", "set", "enhanced", "decide", "weights")
STAGE_NAMES: Mapping[str, str] = {
    "seed": "Seed from the chain",
    "entries": "Screen the entries",
    "fetch": "Fetch models",
    "set": "Generate sets",
    "enhanced": "Run and score models",
    "decide": "Decide",
    "weights": "Set weights",
    "done": "Done",
}
MAX_FAULTS = 20


class RoundState(Protocol):
    """What is read of a state."""

    def rounds(self) -> tuple[str, ...]: ...
    def round_facts(self, round_id: str) -> Mapping[str, Any] | None: ...
    def steps(self, round_id: str) -> Mapping[str, Mapping[str, Any]]: ...
    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]: ...


@dataclass(frozen=True)
class GpuStatus:
    """One processor: its number, memory in use and in all, and how busy it is in percent."""

    index: int
    used_bytes: int
    total_bytes: int
    busy_percent: float


@dataclass(frozen=True)
class EntryStatus:
    """One entry: `state` is waiting, running, failing (running, with faults), done, failed (on every clip), refused
    or not run."""

    label: str
    competition: str
    state: str
    clips_done: int
    clips_failed: int
    clips: int

    @property
    def told(self) -> str:
        """The state, with how many clips failed where that is neither none nor all."""
        some = self.clips_failed and self.state != "failed"
        return f"{self.state}, {self.clips_failed} failed" if some else self.state


@dataclass(frozen=True)
class RoundStatus:
    """A round at one moment. `left_s` is None until there is a pace to go by; `quiet_s` is since the last step."""

    round_id: str
    stage: str
    entries: tuple[EntryStatus, ...]
    clips_done: int
    clips: int
    left_s: float | None
    quiet_s: float
    faults: tuple[str, ...]
    disk_free_bytes: int
    gpus: tuple[GpuStatus, ...]

    @property
    def stage_name(self) -> str:
        return STAGE_NAMES[self.stage]

    @property
    def finished(self) -> bool:
        return self.stage == "done"

    def fields(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "round": self.round_id,
            "stage": self.stage,
            "stage_name": self.stage_name,
            "finished": self.finished,
            "clips_done": self.clips_done,
            "clips": self.clips,
            "left_s": self.left_s,
            "quiet_s": round(self.quiet_s, 1),
            "entries": [{**vars(entry), "told": entry.told} for entry in self.entries],
            "faults": list(self.faults),
            "disk_free_bytes": self.disk_free_bytes,
            "gpus": [vars(gpu) for gpu in self.gpus],
        }


class RoundWatch:
    """Looks at the latest round of a state, again and again. `now` counts seconds; `gpus` reads the processors."""

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
        self._first: tuple[float, int] | None = None
        self._changed: tuple[float, int] = (0.0, -1)
        self._counted: dict[str, tuple[int, int, int]] = {}

    def look(self) -> RoundStatus | None:
        """The round now, None where none has begun.

        Raises:
            StateUnavailable: the state cannot be read.
        """
        rounds = self._state.rounds()
        if not rounds:
            return None
        if rounds[-1] != self._round_id:
            self._round_id, self._first, self._counted = rounds[-1], None, {}
        facts = self._state.round_facts(self._round_id) or {}
        steps = self._state.steps(self._round_id)
        stage = _stage(steps, facts)
        entries = self._entries(steps, int(facts.get("clips", 0)), stage)
        counted = [e for e in entries if e.state not in ("refused", "not run")]
        done = sum(entry.clips_done for entry in counted)
        total = sum(entry.clips for entry in counted)
        now = self._now()
        if self._changed[1] != len(steps):
            self._changed = (now, len(steps))
        return RoundStatus(
            round_id=self._round_id,
            stage=stage,
            entries=entries,
            clips_done=done,
            clips=total,
            left_s=self._left_s(now, stage, done, total),
            quiet_s=now - self._changed[0],
            faults=_faults(steps),
            disk_free_bytes=shutil.disk_usage(self._folder).free,
            gpus=tuple(self._gpus()),
        )

    def _left_s(self, now: float, stage: str, done: int, total: int) -> float | None:
        """What is left at the pace since the first look with models running."""
        if stage != "enhanced":
            return 0.0 if stage in ("decide", "weights", "done") else None
        if self._first is None:
            self._first = (now, done)
        started, had = self._first
        return (total - done) * (now - started) / (done - had) if done > had else None

    def _entries(self, steps: Mapping[str, Mapping[str, Any]], clips: int, stage: str) -> tuple[EntryStatus, ...]:
        submissions = steps.get("entries", {}).get("submissions", [])
        copies = _copies(steps, submissions)
        found = []
        for submission in submissions:
            entry_id = _entry_id(submission)
            batches = [facts for name, facts in steps.items() if name.startswith(f"enhanced:{entry_id}:")]
            done, failed = self._done(entry_id, len(batches))
            over = stage in ("decide", "weights", "done")
            if any("refusal" in steps.get(f"{step}:{entry_id}", {}) for step in ("fetch", "set_aside")):
                state = "refused"
            elif entry_id in copies or (not batches and over):
                state = "not run"
            elif over or (clips and done >= clips):
                state = "failed" if 0 < done == failed else "done"
            elif failed or any(facts.get("fault") for facts in batches):
                state = "failing"
            else:
                state = "running" if done else "waiting"
            namespace, name, _ = submission["model"]
            found.append(EntryStatus(f"{namespace}/{name}", submission["competition"], state, done, failed, clips))
        return tuple(found)

    def _done(self, entry_id: str, batches: int) -> tuple[int, int]:
        """The entry's clips that have a result, and those that failed, counted anew when a batch was added."""
        known, done, failed = self._counted.get(entry_id, (0, 0, 0))
        if known != batches:
            results = self._state.clip_results(self._round_id, entry_id)
            done, failed = len(results), sum(result.failure is not None for result in results)
            self._counted[entry_id] = (batches, done, failed)
        return done, failed


def _stage(steps: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """The first stage that is not done."""
    if "weights" in steps:
        return "done"
    competitions = facts.get("competitions", [])
    if "entries" not in steps:
        return "entries" if "seed" in steps else "seed"
    if "duplicates" not in steps:
        return "fetch"
    if not all(f"set:{c}" in steps for c in competitions):
        return "set"
    if all(f"decide:{c}" in steps for c in competitions):
        return "weights"
    begun = "near_copies" in steps or "flags" in steps or any(name.startswith("decide:") for name in steps)
    return "decide" if begun else "enhanced"


def _copies(steps: Mapping[str, Mapping[str, Any]], submissions: Sequence[Mapping[str, Any]]) -> set[str]:
    """Entries that will not run: an earlier one of the competition has the same content or tensors."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    order: dict[str, tuple[int, str]] = {}
    for place, one in enumerate(sorted(submissions, key=lambda s: (s["block"], s["uid"]))):
        entry_id, competition = _entry_id(one), str(one["competition"])
        order[entry_id] = (place, competition)
        content = str(steps.get(f"fetch:{entry_id}", {}).get("content_hash", entry_id))
        if (competition, content) in seen:
            found.add(entry_id)
        seen.add((competition, content))
    for pair in steps.get("duplicates", {}).get("same_tensors", []):
        both = [order[entry] for entry in (pair["first"], pair["second"]) if entry in order]
        if len(both) == 2 and both[0][1] == both[1][1]:
            found.add(max(pair["first"], pair["second"], key=lambda entry: order[entry]))
    return found


def _faults(steps: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """A sentence for each batch that failed, the first ones."""
    found = [
        f"{name.split(':')[1]}: {facts['fault']['code']}: {facts['fault']['detail']}"
        for name, facts in sorted(steps.items())
        if name.startswith("enhanced:") and facts.get("fault")
    ]
    return tuple(found[:MAX_FAULTS])


def _entry_id(submission: Mapping[str, Any]) -> str:
    return f"{submission['uid']}-{str(submission['hotkey'])[:12]}"
