"""What the steps of a round share: its plan, its ports, and how a step is done once.

Times are in seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.errors import EntryRefused
from soundsright.core.ports import Chain, Clock, ModelHub, Pool, Runner, StateStore
from soundsright.core.results import Refusal
from soundsright.core.submission import Submission
from soundsright.services.rounds.answers import Cancelled, EntryStuck, Progress
from soundsright.services.rounds.types import Busy, Event, RoundPlan, refusal_facts, refusal_of

_log = logging.getLogger(__name__)

_SLEPT_AT_ONCE_S = 1.0


@dataclass(frozen=True)
class RoundContext:
    """One round over the ports that it is given. `observe` is told of progress, from any thread."""

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
    observe: Callable[[Event], None]
    cancelled: threading.Event = field(default_factory=threading.Event)
    busy: Busy = field(default_factory=Busy)

    @property
    def round_id(self) -> str:
        return self.plan.round.id

    @property
    def enhanced(self) -> Path:
        """The folder of the models' answers: one below it for each entry."""
        return self.folder / "enhanced"

    def step(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What the step left, doing it now if it was not done.

        Raises:
            Cancelled: the round was stopped.
        """
        self.go_on()
        facts = self.state.step_done(self.round_id, name)
        if facts is None:
            facts = compute()
            self.state.finish_step(self.round_id, name, facts)
            _log.info("step done", extra={"action": "step_done", "round": self.round_id, "step": name})
        return facts

    def refused(self, name: str, refusal: Refusal) -> Refusal:
        """The refusal that a step recorded: this one, if it was not done."""
        return Refusal(**self.step(name, lambda: {"refusal": refusal_facts(refusal)})["refusal"])

    def cancel(self) -> None:
        """Stop as soon as may be: running models are ended. Callable from any thread."""
        self.cancelled.set()
        self.sandbox.stop()

    def go_on(self) -> None:
        """Nothing, while the round is to go on.

        Raises:
            Cancelled: it was stopped.
        """
        if self.cancelled.is_set():
            raise Cancelled("stopped")

    def pause(self, seconds: float) -> None:
        """Wait, for as long as the round is to go on.

        Raises:
            Cancelled: it was stopped.
        """
        left_s = seconds
        while left_s > 0:
            self.go_on()
            self.clock.sleep(min(left_s, _SLEPT_AT_ONCE_S))
            left_s -= _SLEPT_AT_ONCE_S


@dataclass(frozen=True)
class Stuck:
    """An entry that the harness's surroundings failed, and how."""

    submission: Submission
    fault: EntryStuck


def settled(
    context: RoundContext,
    stuck: Mapping[str, Stuck],
    again: Callable[[Submission], None],
    *,
    working: Callable[[], int],
    check_others: Callable[[], None],
) -> dict[str, Refusal]:
    """Try stuck entries again, with growing pauses; by entry id, the refusals of those that alone stay so.

    `again` raises `EntryStuck` where the entry still is. `working` counts the entries that are not. Nobody is set
    aside where more are stuck than work, which is rather this machine's doing; nor where `check_others`, asked
    before and after the last try, raises because what worked for others does not work now.

    Raises:
        InfrastructureFault: it is not the entries; the round goes on from here when it is run again.
    """
    waiting = dict(stuck)
    if waiting and not working():
        raise next(iter(waiting.values())).fault
    for pause_s in context.plan.retry_pauses_s:
        if waiting:
            context.pause(pause_s)
            waiting = _still_stuck(context, waiting, again)
    if len(waiting) > working():
        raise next(iter(waiting.values())).fault
    if waiting:
        check_others()
        waiting = _still_stuck(context, waiting, again)
    if waiting:
        check_others()
    return {entry_id: _set_aside(context, one) for entry_id, one in waiting.items()}


def _still_stuck(
    context: RoundContext, waiting: Mapping[str, Stuck], again: Callable[[Submission], None]
) -> dict[str, Stuck]:
    found = {}
    for entry_id, one in waiting.items():
        context.go_on()
        try:
            again(one.submission)
        except EntryStuck as fault:
            found[entry_id] = Stuck(one.submission, fault)
    return found


def _set_aside(context: RoundContext, stuck: Stuck) -> Refusal:
    submission, fault = stuck.submission, stuck.fault
    _log.info(
        "entry set aside",
        extra={"action": "set_aside", "round": context.round_id, "entry": submission.entry_id, "fault": str(fault)},
    )
    told = Progress(0, 0, note=f"left out: {fault}")
    context.observe(Event("progress", submission, submission.competition, told))
    refused = EntryRefused(
        "not_evaluated",
        f"Could not be run here while others could, and was left out unscored: {fault.problem}",
        {"fault": fault.problem, "tries": str(2 + len(context.plan.retry_pauses_s))},
    )
    return refusal_of(submission, refused)
