"""Everything that a sampler works with: the rules, the ports, and what it may know of the other validators.

Blocks are counted, times are in seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import EntryRefused
from soundsright.core.federation import Verdict
from soundsright.core.federation_rules import FederationRules
from soundsright.core.material import Material
from soundsright.core.ports import (
    Account,
    Bucket,
    Clock,
    LiveChain,
    ModelHub,
    Pool,
    Runner,
    SandboxLimits,
    Snapshot,
    StateStore,
)
from soundsright.core.schedule import Schedule
from soundsright.core.submission import Reveal
from soundsright.services.federation.task import TaskSettings, task_id
from soundsright.services.federation.task_facts import late_block
from soundsright.services.rounds import Cancelled, material_of_round

SCOPE = "federation"
"""The scope of the state that has the tasks, so that they are not among the rounds of a validator."""


class KnownValidators(Protocol):
    """The allowlist as the sampler needs it: the validators in their order, and the digest of the list."""

    @property
    def validators(self) -> tuple[str, ...]: ...
    @property
    def digest(self) -> str: ...


Reveals = Callable[[Snapshot], Mapping[str, Reveal | EntryRefused]]
"""The reveals of the commitments in a snapshot, by hotkey, with the refusals of those that are not valid."""


class _Attempt(threading.Event):
    """An event that counts as set once another one is."""

    def __init__(self, stopped: threading.Event) -> None:
        super().__init__()
        self._stopped = stopped

    def is_set(self) -> bool:
        return super().is_set() or self._stopped.is_set()


@dataclass(frozen=True)
class SamplerContext:
    """The rules and the ports of a sampler.

    `state` is scoped already. `bucket` is this validator's own. `allowlist` gives the list that holds in a block,
    None if there is none. `shown` says whether a validator shows a valid verdict on a task; None if it is unknown.
    `slots` models run at a time, `workers` is the size of the pool. The audio and the models of `kept_tasks` tasks
    are kept; `hub` has a cache of its own, from which all others are removed. `verdicts_before` gives the valid
    verdicts on the tasks before one, as far as they are known here. `idle` is called while no task is to be judged.
    """

    rules: FederationRules
    organiser: CompetitionRules
    chain: LiveChain
    account: Account
    hub: ModelHub
    sandbox: Runner
    pool: Pool
    clock: Clock
    state: StateStore
    bucket: Bucket
    folder: Path
    allowlist: Callable[[int], KnownValidators | None]
    shown: Callable[[int, str], bool | None]
    reveals: Reveals
    material: Material = field(default_factory=Material)
    schedule: Schedule | None = None
    verdicts_before: Callable[[int], Iterable[Verdict]] = lambda _task: ()
    slots: int = 1
    workers: int = 1
    kept_tasks: int = 3
    sandbox_limits: SandboxLimits = SandboxLimits()
    retry_pauses_s: tuple[float, ...] = (15.0, 60.0)
    cancelled: threading.Event = field(default_factory=threading.Event)
    idle: Callable[[], None] = lambda: None

    def settings(self, task: int) -> TaskSettings:
        """The settings of a task.

        Raises:
            ChainUnavailable: the chain does not give the time of the task's block, which a private corpus needs.
        """
        material = self.material
        if material.is_private:
            seeded_s = self.chain.timestamp_s(task * self.rules.interval_blocks)
            material = material_of_round(material, self.schedule, seeded_s)
        return TaskSettings(
            self.rules, self.organiser, material, self.sandbox_limits, retry_pauses_s=self.retry_pauses_s
        )

    def attempt(self) -> threading.Event:
        """The event that ends one attempt at a task: a failure ends the attempt, and a stop ends every one."""
        return _Attempt(self.cancelled)

    def task_folder(self, task: int) -> Path:
        """The folder of a task's sets and audio."""
        return self.folder / "tasks" / task_id(task)

    def last_block(self, task: int) -> int:
        """The block from which on no new verdict on the task is listed: by then the task can be in a window."""
        return late_block(task, self.rules)

    def cancel(self) -> None:
        """Stop as soon as possible, and end the running models and the pool's workers. Any thread may call it."""
        self.cancelled.set()
        self.sandbox.stop()
        self.pool.stop()

    def raise_if_cancelled(self) -> None:
        """Do nothing while the sampler may continue.

        Raises:
            Cancelled: it was stopped.
        """
        if self.cancelled.is_set():
            raise Cancelled("stopped")
