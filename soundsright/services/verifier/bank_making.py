"""Makes the banks of an interval one after another, in a thread of its own, because running models takes minutes.

Times are in seconds. A bank that fails by this machine's fault is tried again after growing pauses.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from soundsright.core.errors import EntryRefused, InfrastructureFault, SoundsRightError
from soundsright.services.validator import Attempt, Backoff
from soundsright.services.verifier.bank import Bank, Entrant, made_bank, recorded_bank
from soundsright.services.verifier.context import VerifierContext
from soundsright.services.verifier.moves import recorded_banks
from soundsright.services.verifier.verifier_steps import BankStep

FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 300.0

_log = logging.getLogger(__name__)


class BankMaking:
    """The banks of one interval. `made` has what is recorded of each, by hotkey. Use one thread.

    `to_blame` are the provers that cannot be asked now by their own doing: the hub has not what they committed, the
    model does not run or repeat itself, or they committed to another one.

    Raises:
        UsageError: a record is damaged.
        StateUnavailable: the state does not answer.
    """

    def __init__(self, context: VerifierContext, interval: int) -> None:
        self.interval = interval
        self.made = recorded_banks(context.state, interval)
        self.to_blame: frozenset[str] = frozenset()
        self.problems: dict[str, str] = {}
        self._context = context
        self._refused: set[str] = set()
        self._pauses: dict[str, Backoff] = {}
        self._running: tuple[Entrant, Attempt[BankStep]] | None = None

    def tend(self, entrants: Sequence[Entrant], banks: dict[str, Bank]) -> None:
        """Collect what is done into `banks`, and start the next bank that is missing. It does not wait."""
        self._collect()
        for entrant in entrants:
            hotkey = entrant.hotkey
            if hotkey in banks:
                self._keep_place(entrant, banks)
            elif hotkey in self.made:
                self._open(entrant, banks)
            elif self._running is None and self._is_due(hotkey):
                self._start(entrant)
        present = {entrant.hotkey for entrant in entrants}
        for hotkey in [hotkey for hotkey in banks if hotkey not in present]:
            del banks[hotkey]
        self.to_blame = frozenset(each.hotkey for each in entrants if self._is_to_blame(each))

    def _is_to_blame(self, entrant: Entrant) -> bool:
        made = self.made.get(entrant.hotkey)
        if made is None:
            return entrant.hotkey in self._refused
        return bool(made.code) or made.content_hash != entrant.entry.content_hash

    def wait(self, timeout_s: float) -> bool:
        """Wait for the bank that is being made, for a time at most. Returns whether none is."""
        return self._running is None or self._running[1].wait(timeout_s)

    @property
    def is_running(self) -> bool:
        """Whether a bank is being made."""
        return self._running is not None

    def _start(self, entrant: Entrant) -> None:
        work = Attempt("tiers-bank", lambda: made_bank(self._context, self.interval, entrant))
        self._running = entrant, work

    def _collect(self) -> None:
        if self._running is None or not self._running[1].wait(0):
            return
        entrant, attempt = self._running
        self._running = None
        try:
            self.made[entrant.hotkey] = attempt.result()
            self.problems.pop(entrant.hotkey, None)
        except EntryRefused as refused:
            self._refused.add(entrant.hotkey)
            self._failed(entrant.hotkey, str(refused))
        except SoundsRightError as error:
            self._failed(entrant.hotkey, str(error))
        except Exception as error:  # noqa: BLE001 - one bank must not stop the others
            _log.exception("a bank failed", extra={"action": "bank_failed", "hotkey": entrant.hotkey})
            self._failed(entrant.hotkey, f"{type(error).__name__}: {error}. The log has the traceback")

    def _open(self, entrant: Entrant, banks: dict[str, Bank]) -> None:
        made = self.made[entrant.hotkey]
        if made.content_hash != entrant.entry.content_hash or not self._is_due(entrant.hotkey):
            return
        try:
            bank = recorded_bank(self._context, self.interval, entrant, made)
        except InfrastructureFault as error:
            self._failed(entrant.hotkey, str(error))
            return
        if bank is not None:
            banks[entrant.hotkey] = bank

    def _keep_place(self, entrant: Entrant, banks: dict[str, Bank]) -> None:
        """Take over a new endpoint or uid. With another model, the prover is not asked until the next interval."""
        bank = banks[entrant.hotkey]
        if bank.entrant.entry != entrant.entry:
            del banks[entrant.hotkey]
        elif bank.entrant != entrant:
            banks[entrant.hotkey] = Bank(entrant, bank.folder, bank.clip_ids, bank.repeat_db)

    def _is_due(self, hotkey: str) -> bool:
        pause = self._pauses.get(hotkey)
        return pause is None or pause.is_due(self._context.clock.now())

    def _failed(self, hotkey: str, problem: str) -> None:
        self.problems[hotkey] = problem
        pause = self._pauses.setdefault(hotkey, Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S))
        pause.failed(self._context.clock.now())
        _log.warning("no bank for %s: %s", hotkey, problem, extra={"action": "no_bank", "hotkey": hotkey})
