"""Entries for which the hub or the sandbox fails: they are tried again, and the hopeless ones are left out.

Times are in seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from soundsright.core.errors import EntryRefused
from soundsright.core.results import Refusal
from soundsright.core.submission import Submission
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.faults import EntryStuck
from soundsright.services.rounds.outcome import refusal_of
from soundsright.services.rounds.progress import Event, Progress

MAX_INFRASTRUCTURE_TRIES = 3
FIRST_PAUSE_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StuckEntry:
    """An entry for which the hub or the sandbox failed, and the fault."""

    submission: Submission
    fault: EntryStuck


def retry_stuck_entries(
    context: RoundContext,
    stuck: Mapping[str, StuckEntry],
    retry: Callable[[Submission], None],
    *,
    count_working: Callable[[], int],
    check_others: Callable[[], None],
) -> dict[str, Refusal]:
    """Try stuck entries again after growing pauses. Returns the refusals of those that stay stuck, by entry id.

    `retry` raises `EntryStuck` if the entry still fails. `count_working` counts the entries that do not fail.
    No entry is refused if more entries are stuck than work, because then this machine is the likely cause.
    `check_others` runs before and after the last try. It raises if the entries that worked no longer work.

    Raises:
        InfrastructureFault: the entries are not to blame. Run the round again to continue from here.
    """
    waiting = dict(stuck)
    if waiting and not count_working():
        raise next(iter(waiting.values())).fault
    for pause_s in context.plan.retry_pauses_s:
        if waiting:
            context.pause(pause_s)
            waiting = _still_stuck(context, waiting, retry)
    if len(waiting) > count_working():
        raise next(iter(waiting.values())).fault
    if waiting:
        check_others()
        waiting = _still_stuck(context, waiting, retry)
    if waiting:
        check_others()
    return {entry_id: refusal_of_stuck(context, entry) for entry_id, entry in waiting.items()}


def _still_stuck(
    context: RoundContext, waiting: Mapping[str, StuckEntry], retry: Callable[[Submission], None]
) -> dict[str, StuckEntry]:
    still_stuck = {}
    for entry_id, entry in waiting.items():
        context.raise_if_cancelled()
        try:
            retry(entry.submission)
        except EntryStuck as fault:
            still_stuck[entry_id] = StuckEntry(entry.submission, fault)
    return still_stuck


def refusal_of_stuck(context: RoundContext, stuck: StuckEntry) -> Refusal:
    """The refusal of an entry that is left out, which is also logged and reported."""
    submission, fault = stuck.submission, stuck.fault
    _log.info(
        "entry set aside",
        extra={"action": "set_aside", "round": context.round_id, "entry": submission.entry_id, "fault": str(fault)},
    )
    progress = Progress(0, 0, note=f"left out: {fault}")
    context.observe(Event("progress", submission, submission.competition, progress))
    refused = EntryRefused(
        "not_evaluated",
        f"This entry could not be run here while others could, so it has no score: {fault.problem}",
        {"fault": fault.problem, "tries": str(2 + len(context.plan.retry_pauses_s))},
    )
    return refusal_of(submission, refused)
