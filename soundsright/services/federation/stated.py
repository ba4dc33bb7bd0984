"""The validators' statements on the chain, beside their views: whose views they have read, and who won.

Blocks are counted. A chain shows the same statements to everybody, so everything here is the same for all
validators, also for one that can read no bucket. Winners are marks (`winner_mark`), by competition. The stream
`federation:paid` has one record for each epoch in which this validator knew what to pay, under its block:

    {"marks": {"DENOISING_16000HZ": "0f…", "DEREVERBERATION_16000HZ": "1e…"}}
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from soundsright.core.errors import InfrastructureFault, RecordConflict, UsageError
from soundsright.core.federation_commitments import UNKNOWN_WINNER, ViewCommitment, validators_in, winner_mark
from soundsright.core.federation_rules import FederationRules
from soundsright.core.ports import LiveChain, Record, Records
from soundsright.core.profiles import Profile
from soundsright.ranking import (
    EPOCHS_BACK,
    EpochStatement,
    StatedEpoch,
    attested_views,
    epoch_block,
    standing_winners,
    winners_shares,
)
from soundsright.services.federation.epoch_views import listed
from soundsright.services.federation.view_commitments import commitments_to_views
from soundsright.services.federation.weights_context import FederationMemory

PAID = "federation:paid"


@dataclass(frozen=True)
class PaidWinners:
    """The marks of the winners that are paid from half an epoch after `epoch_block` on."""

    epoch_block: int
    marks: Mapping[str, str]


class RecordedPaid:
    """The winners that a validator has paid, in its state."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def last(self) -> PaidWinners | None:
        """Those of the last epoch; None before the first.

        Raises:
            StateUnavailable: the state does not answer.
            UsageError: the record is damaged.
        """
        record = self._records.latest(PAID)
        return None if record is None else _paid_of(record)

    def keep(self, paid: PaidWinners) -> None:
        """Record the winners of an epoch. Raises StateUnavailable."""
        try:
            self._records.append(PAID, str(paid.epoch_block), {"marks": dict(paid.marks)})
        except RecordConflict:
            return


class Stated:
    """Counts what the validators state. Use one thread."""

    def __init__(
        self, chain: LiveChain, rules: FederationRules, memory: FederationMemory, paid: RecordedPaid
    ) -> None:
        self._chain, self._rules, self._memory, self._paid = chain, rules, memory, paid
        self._competitions = tuple(sorted(rules.competitions))

    def attested(self, epoch: int) -> frozenset[str]:
        """The validators whose views of an epoch count.

        Raises:
            InfrastructureFault: the chain does not answer, or the epoch after it is not half over.
        """
        validators = listed(self._memory, epoch).validators
        statements = self._stated(epoch + self._rules.epoch_blocks, validators)
        return attested_views(
            validators, [EpochStatement(s.sha256, validators_in(s.read or "0", validators)) for s in statements]
        )

    def pay(self, epoch: int) -> None:
        """Find and record the winners that are paid from half an epoch after `epoch` on.

        Raises:
            InfrastructureFault: the chain does not answer, or no majority has named a winner yet.
            UsageError: the record of the last winners is damaged.
        """
        marks = self.marks(epoch)
        if not marks.keys() >= set(self._competitions):
            raise InfrastructureFault(
                f"No winner has a majority of the validators' statements by epoch {epoch}", "The last weights stay."
            )
        self._paid.keep(PaidWinners(epoch, marks))

    def marks(self, epoch: int) -> dict[str, str]:
        """The winners that stand in an epoch: the last ones that a majority has named. There are none at the start.

        Raises:
            InfrastructureFault: the chain does not answer, or no longer knows which ones these are.
            UsageError: the record of the last winners is damaged.
        """
        marks = standing_winners(self._epochs(epoch), self._competitions)
        if marks is None:
            raise InfrastructureFault(
                f"The validators name no winner together since epoch {epoch}, and the last one is not known here",
                "It is looked for in the next epoch. Until then the last weights stay.",
            )
        return marks

    def _epochs(self, newest: int) -> Iterator[StatedEpoch | Mapping[str, str]]:
        """The statements of the last epochs, newest first, as far back as the chain knows them and they are needed.

        The last one may be the record of what was paid.

        Raises:
            InfrastructureFault: the chain does not know the newest.
            UsageError: the record is damaged.
        """
        last = self._paid.last()
        oldest = max(0, newest - EPOCHS_BACK * self._rules.epoch_blocks)
        for epoch in range(newest, oldest - 1, -self._rules.epoch_blocks):
            if last is not None and last.epoch_block >= epoch:
                yield last.marks
                return
            try:
                validators = listed(self._memory, epoch).validators
                statements = self._stated(epoch, validators)
            except InfrastructureFault:
                if epoch == newest:
                    raise
                return
            yield StatedEpoch(validators, [EpochStatement(s.sha256, winners=self._winners(s)) for s in statements])

    def _winners(self, statement: ViewCommitment) -> dict[str, str]:
        if len(statement.winners) != len(self._competitions):
            return {}
        stated = zip(self._competitions, statement.winners, strict=True)
        return {competition: mark for competition, mark in stated if mark != UNKNOWN_WINNER}

    def _stated(self, epoch: int, validators: Collection[str]) -> list[ViewCommitment]:
        until = epoch + self._rules.half_epoch
        found = commitments_to_views(self._chain, validators, epoch, until)
        return [statement for statement in found.values() if statement is not None]


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


def marks_of(winners: Mapping[str, str | None]) -> dict[str, str]:
    """The marks of decided winners. None is nobody."""
    return {competition: winner_mark(competition, hotkey or "") for competition, hotkey in winners.items()}


def hotkeys_of(marks: Mapping[str, str], hotkeys: Collection[str]) -> dict[str, str]:
    """The winners among these hotkeys, by competition. One that is not among them is left out."""
    found = {}
    for competition, mark in marks.items():
        for hotkey in hotkeys:
            if winner_mark(competition, hotkey) == mark:
                found[competition] = hotkey
    return found


def payees_of_marks(
    marks: Mapping[str, str], rules: FederationRules, registered: Collection[str]
) -> dict[str, float]:
    """Each winner's part, of those that are registered. What the others won burns."""
    return winners_shares(rules, dict(hotkeys_of(marks, registered)))


def _paid_of(record: Record) -> PaidWinners:
    try:
        marks = record.facts["marks"]
        if not all(isinstance(text, str) for text in (*marks, *marks.values())):
            raise ValueError("a mark is no text")
        return PaidWinners(int(record.key), marks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"The record {record.position} of {PAID} is damaged ({type(error).__name__}: {error})",
            "Restore the last backup of the state database.",
        ) from error
