"""The executor's system inside a validator: it hands on the submissions, and pays the best image.

Blocks are counted. Every `update_blocks` the validator reads the board and gives the submissions to the executor.
Every `weight_blocks` it reads submissions, burn ratio and table, and computes whom to pay. Both happen in threads
of their own, because the services can be slow. If something cannot be read, the last payees count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from soundsright.core.errors import PeerUnavailable, RequestRefused, SoundsRightError
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.ports import Clock, Neuron, Records, ScoreTable, SubmissionBoard
from soundsright.services.executor.attempts import Repeated
from soundsright.services.executor.paying import ImageOrder, Reading
from soundsright.services.executor.seen_rounds import PayableOrder, keep_order, last_order
from soundsright.services.http import Health

EXECUTOR = "executor"
CLOSE_S = 1.0

_UPDATE = "executor.update"

T = TypeVar("T")

_log = logging.getLogger(__name__)


class ExecutorSubsystem:
    """A `Subsystem` of a validator, named `executor`. Use one thread.

    `order` ranks the table's images. If the submissions cannot be handed on, `/readyz` shows it as
    `executor.update`, and the table is paid nevertheless. What is read in a period is kept in `records`, so a
    validator that is restarted pays the same until the period ends.
    """

    name = EXECUTOR

    def __init__(
        self,
        board: SubmissionBoard,
        table: ScoreTable,
        rules: ExecutorRules,
        *,
        order: ImageOrder,
        clock: Clock,
        health: Health,
        records: Records,
    ) -> None:
        self._board = board
        self._table = table
        self._order = order
        self._health = health
        self._updates = Repeated("update", self._hand_on, every_blocks=rules.update_blocks, clock=clock)
        self._readings = Repeated("reading", self._read, every_blocks=rules.weight_blocks, clock=clock)
        self._every_blocks = rules.weight_blocks
        self._records = records
        self._resumed = False
        self._reading: Reading | None = None
        self._payable: PayableOrder | None = None
        self._is_kept = False
        self._payees: Mapping[str, float] | None = None

    def tick(self, finalized: int, neurons: Sequence[Neuron]) -> None:
        """Collect what was read since the last tick, and start what is due in this block. It does not wait.

        Raises:
            PeerUnavailable: the board or the executor could not be read at the last attempt.
            StateUnavailable: the state does not answer.
            UsageError: the record of the last order is damaged.
        """
        self._resume()
        self._tend_updates(finalized)
        self._payees = None
        reading = self._readings.tick(finalized)
        if reading is not None:
            self._take(reading)
        self._keep()
        if self._payable is not None and self._readings.is_current(finalized):
            self._payees = self._payable.payees({neuron.hotkey for neuron in neurons})

    def _resume(self) -> None:
        """Take over the order of the process before this one.

        Raises:
            StateUnavailable: the state does not answer.
            UsageError: the record is damaged.
        """
        if self._resumed:
            return
        last = last_order(self._records)
        if last is not None and last.every_blocks == self._every_blocks:
            self._payable, self._is_kept = last, True
            self._readings.resume(last.period)
        self._resumed = True

    def _take(self, reading: Reading) -> None:
        self._reading, period = reading, self._readings.done_period
        self._payable = PayableOrder(period, self._every_blocks, reading.burn_ratio, reading.hotkeys)
        self._is_kept = False

    def _keep(self) -> None:
        """Record the order before it is paid. Otherwise a restart in its period could pay otherwise."""
        if self._payable is not None and not self._is_kept:
            keep_order(self._records, self._payable)
            self._is_kept = True

    def payees(self) -> Mapping[str, float] | None:
        """The winner with its part, or nobody. None until the table of this period was read."""
        return self._payees

    @property
    def reading(self) -> Reading | None:
        """The last reading of this process; None before that."""
        return self._reading

    def settle(self, timeout_s: float) -> bool:
        """Wait for the calls that run, at most so long for each. Returns whether all have ended."""
        return self._updates.wait(timeout_s) & self._readings.wait(timeout_s)

    def close(self) -> None:
        """End. A call that still runs is not waited for longer than a second."""
        self._updates.close(CLOSE_S)
        self._readings.close(CLOSE_S)

    def _tend_updates(self, finalized: int) -> None:
        try:
            taken = self._updates.tick(finalized)
        except SoundsRightError as error:
            self._update_failed(str(error))
        except Exception as error:  # noqa: BLE001 - reported with its trace; the table is read nevertheless
            _log.exception("an update failed", extra={"action": "update_failed"})
            self._update_failed(f"{type(error).__name__}: {error}. The log has the traceback.")
        else:
            if taken is not None:
                self._health.problem(_UPDATE, None)

    def _update_failed(self, problem: str) -> None:
        self._health.problem(_UPDATE, f"The executor did not get the submissions: {problem}")

    def _hand_on(self) -> bool:
        submissions = _asked("The coordinator", self._board.submissions)
        _asked("The executor", lambda: self._table.update(submissions))
        return True

    def _read(self) -> Reading:
        submissions = _asked("The coordinator", self._board.submissions)
        burn_ratio = _asked("The coordinator", self._board.burn_ratio)
        table = _asked("The executor", self._table.table)
        return Reading(submissions, burn_ratio, table, self._order(table))


def _asked(service: str, question: Callable[[], T]) -> T:
    """The answer of a service. Its refusal becomes an error of the service, because it says nothing of payees."""
    try:
        return question()
    except RequestRefused as refused:
        raise PeerUnavailable(
            f"{service} refuses this validator ({refused.code}): {refused.sentence}",
            "Check its address, this hotkey's permit and the clock.",
            code=refused.code,
        ) from refused
