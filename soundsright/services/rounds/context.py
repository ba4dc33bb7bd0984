"""The plan, the ports and the helpers that all steps of a round use. A step is done only once.

Times are in seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from soundsright.core.audio import Audio
from soundsright.core.ports import Chain, Clock, ModelHub, Pool, Runner, StateStore, TitleRow
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import read_wav
from soundsright.services.rounds.faults import Cancelled
from soundsright.services.rounds.hiding import PRIVATE_FOLDER
from soundsright.services.rounds.plan import RoundPlan
from soundsright.services.rounds.progress import BusySeconds, Event

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierEntry:
    """An earlier entry of a hotkey: its block, its marks, and the sketch of its tensors if one is recorded."""

    block: int
    marks: frozenset[str]
    sketch: str | None


Record = TypeVar("Record", bound=steps.StepRecord)

_LONGEST_SLEEP_S = 1.0


@dataclass(frozen=True)
class RoundContext:
    """One round's plan, its ports and its place on disk.

    `folder` receives the sets and the enhanced audio. `validator` is the hotkey that sets the weights. `slots`
    models run at a time. `workers` is the size of the pool. `observe` receives progress, from any thread. `read`
    gives the signal of a WAV file below `folder`. `held_before` gives those earlier entries of a hotkey that the
    state does not have.
    """

    plan: RoundPlan
    chain: Chain
    hub: ModelHub
    sandbox: Runner
    state: StateStore
    pool: Pool
    clock: Clock
    folder: Path
    validator: str
    slots: int
    workers: int
    observe: Callable[[Event], None] = lambda _event: None
    read: Callable[[Path], Audio] = read_wav
    held_before: Callable[[str], Sequence[EarlierEntry]] = lambda _hotkey: ()
    cancelled: threading.Event = field(default_factory=threading.Event)
    busy: BusySeconds = field(default_factory=BusySeconds)

    @property
    def round_id(self) -> str:
        return self.plan.round.id

    @property
    def audio_folder(self) -> Path:
        """The folder of the sets and the enhanced audio. On a private corpus, only its owner can read it."""
        return self.folder / PRIVATE_FOLDER if self.plan.measures.material.is_private else self.folder

    @property
    def enhanced(self) -> Path:
        """The folder of the enhanced audio. It has one folder per entry, named by the entry's id."""
        return self.audio_folder / "enhanced"

    def step(
        self,
        key: steps.StepKey[Record],
        compute: Callable[[], Record],
        *,
        titles_of: Callable[[Record], Iterable[TitleRow]] = lambda _record: (),
    ) -> Record:
        """The record of a step. If the step is not done, compute the record and write it with its titles.

        Raises:
            Cancelled: the round was stopped.
        """
        self.raise_if_cancelled()
        recorded = steps.read(self.state, self.round_id, key)
        if recorded is not None:
            if titles := tuple(titles_of(recorded)):
                # soundsright 0.1.0 recorded the step without its titles.
                steps.write(self.state, self.round_id, key, recorded, titles)
            return recorded
        computed = compute()
        steps.write(self.state, self.round_id, key, computed, titles_of(computed))
        _log.info("step done", extra={"action": "step_done", "round": self.round_id, "step": key.name})
        return computed

    def cancel(self) -> None:
        """Stop as soon as possible, and end the running models. Any thread may call it."""
        self.cancelled.set()
        self.sandbox.stop()

    def raise_if_cancelled(self) -> None:
        """Do nothing while the round may continue.

        Raises:
            Cancelled: the round was stopped.
        """
        if self.cancelled.is_set():
            raise Cancelled("stopped")

    def pause(self, seconds: float) -> None:
        """Sleep, and wake up early if the round is stopped.

        Raises:
            Cancelled: the round was stopped.
        """
        left_s = seconds
        while left_s > 0:
            self.raise_if_cancelled()
            self.clock.sleep(min(left_s, _LONGEST_SLEEP_S))
            left_s -= _LONGEST_SLEEP_S
