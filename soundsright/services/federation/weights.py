"""The federation's system inside a validator: it agrees with the other validators on the winners, and pays them.

Blocks are counted, times are in seconds. Everything that waits for a bucket or the chain runs in a thread of its
own. The winners of an epoch are recorded before they are paid, so a validator that is restarted pays the same.
Until an epoch is decided here, the last payees count.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from soundsright.core.errors import SoundsRightError
from soundsright.core.federation_rules import FederationRules
from soundsright.core.ports import Neuron
from soundsright.core.profiles import Profile
from soundsright.ranking import epoch_block, winners_shares
from soundsright.services.federation.deciding import Deciding
from soundsright.services.federation.epoch_views import read_views
from soundsright.services.federation.own_view import OwnView
from soundsright.services.federation.stated import PaidWinners, RecordedPaid, Stated, payees_of_marks
from soundsright.services.federation.table_making import reading_of, table_of
from soundsright.services.federation.weights_context import FederationMemory, WeightsContext
from soundsright.services.federation.winners import EpochWinners, RecordedWinners
from soundsright.services.http import Health
from soundsright.services.records import write_federation_table
from soundsright.services.validator import Attempt, Backoff

FEDERATION = "federation"
FIRST_PAUSE_S = 6.0
LONGEST_PAUSE_S = 60.0
CLOSE_S = 1.0

TABLE = "federation-table"
"""The folder of the table for pages, in that of the service."""

_VIEW, _PAID, _WINNERS = "federation.view", "federation.paid", "federation.winners"

_log = logging.getLogger(__name__)


class FederationSubsystem:
    """A `Subsystem` of a validator, named `federation`. Use one thread.

    `/readyz` shows as `federation.view` why the own view is not published, as `federation.paid` why it is unknown
    whom to pay, and as `federation.winners` why an epoch is not decided.
    """

    name = FEDERATION

    def __init__(self, context: WeightsContext, *, health: Health) -> None:
        self._context = context
        self._health = health
        self._winners = RecordedWinners(context.records)
        self._work = _EpochWork(context)
        self._retry = Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
        self._attempt: Attempt[bool] | None = None
        self._paid: EpochWinners | PaidWinners | None = None
        self._stated = RecordedPaid(context.records)
        self._payees: Mapping[str, float] | None = None

    def tick(self, finalized: int, neurons: Sequence[Neuron]) -> None:
        """Collect what was done since the last tick, and start what is due in this block. It does not wait.

        Raises:
            StateUnavailable: the state does not answer.
            UsageError: the record of the last winners is damaged.
        """
        self._tend(finalized)
        epoch = stated_epoch(finalized, self._context.rules)
        if epoch is not None and (self._paid is None or self._paid.epoch_block != epoch):
            is_stated = self._context.rules.profile is Profile.SOUNDSRIGHT
            self._paid = self._stated.last() if is_stated else self._winners.of_epoch(epoch)
        self._payees = None
        if self._paid is not None and self._paid.epoch_block == epoch:
            self._payees = payees_of(self._paid, self._context.rules, {neuron.hotkey for neuron in neurons})

    def payees(self) -> Mapping[str, float] | None:
        """The winners with their parts, or nobody. None while those of the last epoch are not known here."""
        return self._payees

    def settle(self, timeout_s: float) -> bool:
        """Wait for the work that runs, for a time at most. Returns whether none runs any more."""
        return self._attempt is None or self._attempt.wait(timeout_s)

    def close(self) -> None:
        """End. Work that still runs is not waited for longer than a second."""
        self._work.stop()
        self.settle(CLOSE_S)

    def _tend(self, finalized: int) -> None:
        now_s = self._context.clock.now()
        if self._attempt is not None and self._attempt.wait(0):
            try:
                is_done = self._attempt.result()
            except Exception as error:  # noqa: BLE001 - reported with its trace; the last payees count
                _log.exception("an epoch's work failed", extra={"action": "epoch_failed"})
                self._work.problems = {
                    _WINNERS: f"{type(error).__name__}: {str(error)[:200]}. The log has the traceback."
                }
                is_done = False
            self._attempt = None
            self._retry.succeeded() if is_done else self._retry.failed(now_s)
            for name in (_VIEW, _PAID, _WINNERS):
                self._health.problem(name, self._work.problems.get(name))
        if self._attempt is None and self._retry.is_due(now_s) and self._work.is_due(finalized):
            self._attempt = Attempt(FEDERATION, lambda: self._work.run(finalized))


class _EpochWork:
    """The work in a block. One thread at a time calls `run`; `problems` are those of the last run."""

    def __init__(self, context: WeightsContext) -> None:
        self._context = context
        self._memory: FederationMemory | None = None
        self._view: OwnView | None = None
        self._decided = self._paid = self._collected = -1
        self._stopped = threading.Event()
        self.problems: Mapping[str, str] = {}

    def stop(self) -> None:
        self._stopped.set()

    def is_due(self, finalized: int) -> bool:
        """Whether a view or a decision is missing in this block. Do not call it while `run` runs."""
        rules = self._context.rules
        is_undecided = decidable_epoch(finalized, rules) not in (None, self._decided)
        return is_undecided or self._lacks_views(finalized) or self._lacks_view(finalized)

    def _lacks_views(self, finalized: int) -> bool:
        """Whether statements of the present epoch are on the chain, and those views or winners are not read yet."""
        rules = self._context.rules
        if rules.profile is not Profile.SOUNDSRIGHT:
            return False
        return stated_epoch(finalized, rules) not in (None, self._paid) or (
            stated_epoch(finalized, rules) not in (None, self._collected)
        )

    def _lacks_view(self, finalized: int) -> bool:
        rules = self._context.rules
        if rules.profile is not Profile.SOUNDSRIGHT or self._context.account is None:
            return False
        epoch = epoch_block(finalized, rules.epoch_blocks)
        is_early = finalized < epoch + rules.half_epoch
        return is_early if self._view is None else self._view.is_due(epoch, finalized)

    def run(self, finalized: int) -> bool:
        """Do what is due. Returns whether all of it is done."""
        context, rules = self._context, self._context.rules
        memory = self._memory = self._memory or FederationMemory(context)
        if context.account is not None and self._view is None:
            self._view = OwnView(context, context.account, memory)
        problems: dict[str, str] = {}

        def attempt(name: str, work: Callable[[], object]) -> None:
            try:
                work()
            except SoundsRightError as error:
                problems[name] = str(error)

        stated = Stated(context.chain, rules, memory, RecordedPaid(context.records))
        epoch, present = decidable_epoch(finalized, rules), stated_epoch(finalized, rules)
        if self._lacks_views(finalized) and present is not None and present != self._paid:
            attempt(_PAID, lambda: self._pay(stated, present))
        if epoch is not None and epoch != self._decided:
            attempt(_WINNERS, lambda: self._decide(memory, stated, epoch, finalized))
        view = self._view
        if view is not None and self._lacks_view(finalized) and not self._stopped.is_set():
            attempt(_VIEW, lambda: view.publish(epoch_block(finalized, rules.epoch_blocks), finalized))
        is_collected = True
        if self._lacks_views(finalized) and present is not None and present != self._collected:
            is_collected = self._collect(memory, present)
        self.problems = problems
        return not problems and is_collected

    def _pay(self, stated: Stated, epoch: int) -> None:
        stated.pay(epoch)
        self._paid = epoch

    def _collect(self, memory: FederationMemory, epoch: int) -> bool:
        """Read the present views before they count, and serve copies. Returns whether all of them are read."""
        try:
            found = read_views(self._context, memory, epoch)
        except SoundsRightError as error:
            _log.info("views cannot be read: %s", error, extra={"action": "views_unread", "epoch": epoch})
            return False
        if found.unread:
            return False
        self._collected = epoch
        return True

    def _decide(self, memory: FederationMemory, stated: Stated, epoch: int, finalized: int) -> None:
        decided = Deciding(self._context, memory, stated).decide(epoch, finalized)
        self._save_table(memory, epoch, finalized)
        self._decided = decided.epoch_block

    def _save_table(self, memory: FederationMemory, epoch: int, finalized: int) -> None:
        """Save the state of the federation for pages. Nothing depends on it, so a failure is only told."""
        try:
            table = table_of(self._context, memory, reading_of(memory, epoch, finalized))
            write_federation_table(self._context.folder / TABLE, table)
        except (SoundsRightError, OSError, ValueError) as error:
            _log.warning("the table is not saved: %s", error, extra={"action": "table_not_saved"})


def stated_epoch(finalized: int, rules: FederationRules) -> int | None:
    """The last epoch whose winners are paid in a final block; None before the first.

    In the profile `soundsright` the statements of its first half have to be on the chain.

    >>> [stated_epoch(block, FederationRules()) for block in (89, 90, 269, 270)]
    [None, 0, 0, 180]
    """
    epoch = epoch_block(finalized, rules.epoch_blocks)
    if rules.profile is Profile.SOUNDSRIGHT and finalized < epoch + rules.half_epoch:
        epoch -= rules.epoch_blocks
    return epoch if epoch >= 0 else None


def decidable_epoch(finalized: int, rules: FederationRules) -> int | None:
    """The last epoch that can be decided in a final block; None before the first.

    In the profile `soundsright` the statements of the epoch after it say which of its views count.

    >>> [decidable_epoch(block, FederationRules()) for block in (90, 269, 270, 450)]
    [None, None, 0, 180]
    """
    epoch = stated_epoch(finalized, rules)
    if epoch is None or rules.profile is not Profile.SOUNDSRIGHT:
        return epoch
    return epoch - rules.epoch_blocks if epoch >= rules.epoch_blocks else None


def payees_of(
    paid: EpochWinners | PaidWinners, rules: FederationRules, registered: Collection[str]
) -> dict[str, float]:
    """Each winner's part, of those that are registered. What the others won burns."""
    if isinstance(paid, PaidWinners):
        return payees_of_marks(paid.marks, rules, registered)
    shares = winners_shares(rules, paid.winners)
    return {hotkey: part for hotkey, part in shares.items() if hotkey in registered}
