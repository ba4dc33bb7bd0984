"""The federation's system inside a validator: it agrees with the other validators on the winners, and pays them.

Blocks are counted, times are in seconds. Everything that waits for a bucket or the chain runs in a thread of its
own. The winners of an epoch are recorded before they are paid, so a validator that is restarted pays the same.
Until an epoch is decided here, the last payees count.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from soundsright.core.errors import InfrastructureFault, SoundsRightError
from soundsright.core.federation_rules import FederationRules
from soundsright.core.ports import Neuron
from soundsright.core.profiles import Profile
from soundsright.ranking import epoch_block, winners_shares
from soundsright.services.federation.deciding import Deciding, NoWinners
from soundsright.services.federation.epoch_views import read_views
from soundsright.services.federation.own_view import OwnView
from soundsright.services.federation.stated import (
    PaidWinners,
    RecordedPaid,
    Stated,
    payees_of_marks,
    stated_epoch,
)
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

_VIEW, _VIEWS = "federation.view", "federation.views"
_PAID, _WINNERS = "federation.paid", "federation.winners"
_PARTS = (_PAID, _WINNERS, _VIEW, _VIEWS)
"""The parts of an epoch's work, each with pauses of its own: a decision that waits must not delay a view."""

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
        self._retries = {part: Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S) for part in _PARTS}
        self._attempted: tuple[str, ...] = ()
        self._attempt: Attempt[Mapping[str, str]] | None = None
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
                faults = self._attempt.result()
            except Exception as error:  # noqa: BLE001 - reported with its trace; the last payees count
                _log.exception("an epoch's work failed", extra={"action": "epoch_failed"})
                sentence = f"{type(error).__name__}: {str(error)[:200]}. The log has the traceback."
                faults = dict.fromkeys(self._attempted, sentence)
            self._attempt = None
            for part in self._attempted:
                self._retries[part].failed(now_s) if part in faults else self._retries[part].succeeded()
                if part != _VIEWS:
                    self._health.problem(part, faults.get(part) or self._work.told.get(part))
        if self._attempt is None:
            parts = tuple(part for part in self._work.due(finalized) if self._retries[part].is_due(now_s))
            if parts:
                self._attempted = parts
                self._attempt = Attempt(FEDERATION, lambda: self._work.run(finalized, parts))


class _EpochWork:
    """The work in a block. One thread at a time calls `run`.

    `told` says of a part what is wrong in this epoch for good.
    """

    def __init__(self, context: WeightsContext) -> None:
        self._context = context
        self._memory: FederationMemory | None = None
        self._view: OwnView | None = None
        self._decided = self._paid = self._collected = -1
        self._stopped = threading.Event()
        self.told: Mapping[str, str] = {}

    def stop(self) -> None:
        self._stopped.set()

    def due(self, finalized: int) -> tuple[str, ...]:
        """The parts that are missing in this block. Do not call it while `run` runs."""
        rules = self._context.rules
        is_stated = rules.profile is Profile.SOUNDSRIGHT
        present = stated_epoch(finalized, rules)
        missing = {
            _PAID: is_stated and present not in (None, self._paid),
            _WINNERS: decidable_epoch(finalized, rules) not in (None, self._decided),
            _VIEW: self._lacks_view(finalized),
            _VIEWS: is_stated and present not in (None, self._collected),
        }
        return tuple(part for part in _PARTS if missing[part])

    def _lacks_view(self, finalized: int) -> bool:
        rules = self._context.rules
        if rules.profile is not Profile.SOUNDSRIGHT or self._context.account is None:
            return False
        epoch = epoch_block(finalized, rules.epoch_blocks)
        is_early = finalized < epoch + rules.half_epoch
        return is_early if self._view is None else self._view.is_due(epoch, finalized)

    def run(self, finalized: int, parts: Collection[str]) -> Mapping[str, str]:
        """Do these parts. Returns the sentence of each that failed and is tried again."""
        context, rules = self._context, self._context.rules
        memory = self._memory = self._memory or FederationMemory(context)
        if context.account is not None and self._view is None:
            self._view = OwnView(context, context.account, memory)
        stated = Stated(context.chain, rules, memory, RecordedPaid(context.records))
        decidable, present = decidable_epoch(finalized, rules), stated_epoch(finalized, rules)
        works: dict[str, Callable[[], None]] = {}
        if present is not None:
            works[_PAID] = lambda: self._pay(stated, present)
            works[_VIEWS] = lambda: self._collect(memory, present)
        if decidable is not None:
            works[_WINNERS] = lambda: self._decide(memory, stated, decidable, finalized)
        view = self._view
        if view is not None:
            works[_VIEW] = lambda: view.publish(epoch_block(finalized, rules.epoch_blocks), finalized)
        faults = {}
        for part in _PARTS:
            if part in parts and part in works and not self._stopped.is_set():
                try:
                    works[part]()
                except SoundsRightError as error:
                    faults[part] = str(error)
        return faults

    def _pay(self, stated: Stated, epoch: int) -> None:
        stated.pay(epoch)
        self._paid = epoch

    def _collect(self, memory: FederationMemory, epoch: int) -> None:
        """Read the present views before they count, and serve copies.

        Raises:
            InfrastructureFault: not all of them can be read.
        """
        found = read_views(self._context, memory, epoch)
        if found.unread:
            raise InfrastructureFault(f"{len(found.unread)} views of epoch {epoch} cannot be read")
        self._collected = epoch

    def _decide(self, memory: FederationMemory, stated: Stated, epoch: int, finalized: int) -> None:
        decided = Deciding(self._context, memory, stated).decide(epoch, finalized)
        self._save_table(memory, epoch, finalized)
        self._decided = decided.epoch_block
        self.told = {_WINNERS: decided.sentence} if isinstance(decided, NoWinners) else {}

    def _save_table(self, memory: FederationMemory, epoch: int, finalized: int) -> None:
        """Save the state of the federation for pages. Nothing depends on it, so a failure is only logged."""
        try:
            table = table_of(self._context, memory, reading_of(memory, epoch, finalized))
            write_federation_table(self._context.folder / TABLE, table)
        except (SoundsRightError, OSError, ValueError) as error:
            _log.warning("the table is not saved: %s", error, extra={"action": "table_not_saved"})


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
