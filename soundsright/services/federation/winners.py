"""The winners of each epoch as a validator has decided them: recorded once, and paid until the next decision.

Blocks are counted. The stream `federation:winners` has one record for each decided epoch, under its block:

    {"winners": {"DENOISING_16000HZ": "5F…", "DEREVERBERATION_16000HZ": null}, "tasks": 100,
     "incumbents": {"DENOISING_16000HZ": "5F…", "DEREVERBERATION_16000HZ": "5G…"}}

An incumbent is the winner of the last epoch in which its competition had one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from soundsright.core.errors import RecordConflict, UsageError
from soundsright.core.federation import Verdict
from soundsright.core.ports import Record, Records
from soundsright.services.federation.private_corpora import PrivateCorpora, SourceOfSets, source_of_sets

WINNERS = "federation:winners"


@dataclass(frozen=True)
class EpochWinners:
    """The winners by competition, None where nobody won; the number of tasks that decided; and the last winners."""

    epoch_block: int
    winners: Mapping[str, str | None]
    tasks: int
    incumbents: Mapping[str, str] = field(default_factory=dict)


class RecordedWinners:
    """The decisions of a validator in its state."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def of_epoch(self, epoch_block: int) -> EpochWinners | None:
        """The decision of an epoch; None if there is none.

        Raises:
            StateUnavailable: the state does not answer.
            UsageError: the record is damaged.
        """
        record = self._records.latest(WINNERS, str(epoch_block))
        return None if record is None else _winners_of(record)

    def last(self) -> EpochWinners | None:
        """The last decision; None before the first. Raises as `of_epoch`."""
        record = self._records.latest(WINNERS)
        return None if record is None else _winners_of(record)

    def keep(self, decided: EpochWinners) -> EpochWinners:
        """Record a decision with its incumbents. The first one of an epoch stays, and is returned.

        Raises as `of_epoch`.
        """
        last = self.last()
        won = {name: hotkey for name, hotkey in decided.winners.items() if hotkey is not None}
        decided = replace(decided, incumbents={**({} if last is None else last.incumbents), **won})
        facts = {
            "winners": dict(decided.winners),
            "tasks": decided.tasks,
            "incumbents": dict(decided.incumbents),
        }
        try:
            self._records.append(WINNERS, str(decided.epoch_block), facts)
        except RecordConflict:
            return self.of_epoch(decided.epoch_block) or decided
        return decided


def payable(
    verdict: Verdict,
    corpora: PrivateCorpora,
    *,
    pays_on_public: bool,
    agreed: Collection[SourceOfSets] = (),
) -> Verdict:
    """The verdict without the rows on recordings that anybody may have heard, or that nobody committed to.

    A verdict that does not say what its sets were drawn from keeps none. With `pays_on_public` it stays whole if a
    majority states its recordings, which are among `agreed`, or its validator was committed to them: else it could
    state recordings that nobody has, and choose its clips. The task stays in the window, so few validators with
    private recordings do not decide for all.

    Raises:
        ChainUnavailable: it is not known whether the validator had committed to its recordings.
        StateUnavailable: the state does not answer.
    """
    if pays_on_public:
        is_known = source_of_sets(verdict) in agreed or corpora.is_committed(verdict)
        return verdict if is_known else verdict.without_rows
    return verdict.private if corpora.may_pay(verdict, agreed) else verdict.without_rows


def _winners_of(record: Record) -> EpochWinners:
    try:
        winners, incumbents, tasks = (record.facts[name] for name in ("winners", "incumbents", "tasks"))
        hotkeys = [hotkey for hotkey in winners.values() if hotkey is not None] + list(incumbents.values())
        if type(tasks) is not int or not all(isinstance(text, str) for text in (*winners, *incumbents, *hotkeys)):
            raise ValueError("a value has another type")
        return EpochWinners(int(record.key), winners, tasks, incumbents)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"The record {record.position} of {WINNERS} is damaged ({type(error).__name__}: {error})",
            "Restore the last backup of the state database.",
        ) from error
