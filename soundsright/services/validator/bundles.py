"""The signed record of each round, and the validator's commitment to it on the chain.

Both happen once. A validator that signed two documents for one round would have proved that it cannot be relied on.
So the document that was written first stays, whatever a restart computes. Blocks are counted, times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from soundsright.core.corpus_commitment import corpus_commitment_in
from soundsright.core.errors import BundleRefused, InfrastructureFault, UsageError
from soundsright.core.ports import Account, Clock, LiveChain, StateStore
from soundsright.core.round_commitment import RoundCommitment, reason_to_leave, round_commitment_in
from soundsright.services.http import Health
from soundsright.services.records import (
    RECORD,
    open_bundle,
    results_of,
    round_record,
    scores_of,
    write_committed,
    write_record,
)
from soundsright.services.rounds import RoundOutcome, steps

TRY_EVERY_S = 600.0
_TRIED_AGAIN = 8
"""The number of the last rounds whose records are looked for after a restart."""


class BundleKeeper:
    """Signs the record of each round with `account`, and commits to it. Problems show in `health`.

    `folder_of` gives the folder of a round.
    """

    def __init__(
        self,
        chain: LiveChain,
        account: Account,
        state: StateStore,
        folder_of: Callable[[str], Path],
        clock: Clock,
        health: Health,
    ) -> None:
        self._chain = chain
        self._account = account
        self._state = state
        self._folder_of = folder_of
        self._clock = clock
        self._health = health
        self._due_s = float("-inf")
        self._committed: str | None = None
        self._pending: RoundOutcome | None = None

    def record(self, outcome: RoundOutcome) -> None:
        """Write and sign the record of a round that has ended, unless it is done.

        If a file cannot be read, the round is decided all the same, and `tend` tries again.

        Raises:
            InfrastructureFault: the disk or the state fails.
        """
        if steps.read(self._state, outcome.plan.round.id, steps.BUNDLE) is None:
            self._pending = outcome
            self._record_pending(outcome)

    def tend(self) -> None:
        """Commit to the document of the latest round that has one, if the chain does not have the commitment.

        Raises:
            ChainUnavailable: the chain does not answer.
            StateUnavailable: the state does not answer.
        """
        now_s = self._clock.now()
        if now_s < self._due_s:
            return
        self._due_s = now_s + TRY_EVERY_S
        self._try_again()
        latest = steps.latest(self._state, steps.BUNDLE)
        if latest is None or latest[0] == self._committed:
            return
        round_id, record = latest
        if steps.read(self._state, round_id, steps.COMMITTED) is None and not self._commit(round_id, record.sha256):
            return
        self._committed = round_id

    def _record_pending(self, outcome: RoundOutcome) -> None:
        round_id = outcome.plan.round.id
        folder = self._folder_of(round_id)
        try:
            sha256 = self._written_before(folder, round_id)
        except UsageError as error:
            self._health.problem("bundle", str(error))
            return
        try:
            if sha256 is None:
                record = round_record(outcome, results_of(outcome), scores_of(outcome), self._state, folder)
                sha256 = write_record(record, folder, self._account)
        except UsageError as error:
            self._health.problem("bundle", f"Round {round_id} has no bundle: {error}")
            return
        self._pending = None
        self._recorded(round_id, sha256)

    def _recorded(self, round_id: str, sha256: str) -> None:
        steps.write(self._state, round_id, steps.BUNDLE, steps.BundleStep(sha256))
        self._health.problem("bundle", None)
        self._due_s = float("-inf")

    def _try_again(self) -> None:
        """Record a round whose files could not be read before: the last one, or one before a restart."""
        pending = self._pending
        if pending is not None:
            try:
                self._record_pending(pending)
            except InfrastructureFault as error:
                self._health.problem("bundle", f"Round {pending.plan.round.id} has no bundle: {error}")
            return
        for round_id in self._state.rounds()[-_TRIED_AGAIN:]:
            if steps.read(self._state, round_id, steps.BUNDLE) is not None:
                continue
            try:
                sha256 = self._written_before(self._folder_of(round_id), round_id)
            except UsageError as error:
                self._health.problem("bundle", str(error))
                continue
            if sha256 is not None:
                self._recorded(round_id, sha256)

    def _written_before(self, folder: Path, round_id: str) -> str | None:
        """The SHA-256 of a document that was signed before the process ended; None if there is none.

        Raises:
            UsageError: there is one that cannot be read. Then nobody knows what was signed.
        """
        path = folder / RECORD / "round.json"
        try:
            path.stat()
            with open_bundle(folder / RECORD) as bundle:
                own = bundle.opened.signer == self._account.address and bundle.document.round.id == round_id
                return bundle.opened.sha256 if own else None
        except FileNotFoundError:
            return None
        except (OSError, UsageError, BundleRefused) as error:
            raise UsageError(
                f"Round {round_id} is not signed again, because {path} cannot be read ({error})",
                f"Check the disk. The validator tries again every {TRY_EVERY_S / 60:.0f} minutes. Until then, it "
                "has not committed to the round.",
            ) from error

    def _commit(self, round_id: str, sha256: str) -> bool:
        """Commit to the document, and record the block. Returns whether the chain has the commitment."""
        own = next((c for c in self._chain.commitments() if c.hotkey == self._account.address), None)
        present = "" if own is None else own.digest
        on_chain = round_commitment_in(present)
        if own is not None and on_chain is not None and (on_chain.round_id, on_chain.sha256) == (round_id, sha256):
            return self._record(round_id, own.block)
        problem = reason_to_leave(present, round_id=round_id)
        if not problem:
            wanted = RoundCommitment(round_id, sha256, corpus_commitment_in(present))
            result = self._chain.publish(self._account.address, wanted.text)
            if result.ok and result.block is not None:
                return self._record(round_id, result.block)
            problem = (
                "" if result.ok or result.unknown else f"the chain refused it: {result.message or result.code}"
            )
            if not problem:
                self._due_s = float("-inf")  # Look again at the next tick.
        named = f"Round {round_id}: the commitment to its document {sha256[:16]} is not on the chain"
        self._health.problem("bundle", f"{named}: {problem}" if problem else None)
        return False

    def _record(self, round_id: str, block: int) -> bool:
        write_committed(self._folder_of(round_id), block)
        steps.write(self._state, round_id, steps.COMMITTED, steps.CommittedStep(block))
        self._health.problem("bundle", None)
        self._health.event("success", f"Committed to the document of round {round_id}", action="round_committed")
        return True
