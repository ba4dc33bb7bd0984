"""The statements of a federation's validators on the chain, and their consequences, without reading any bucket.

In each epoch a validator states the digest of its view, the validators whose views of the epoch before it has
read and mirrored, and its winners. A chain shows the same statements to everybody. So all validators count the same
views and pay the same winners, also those that can read no bucket.

A view counts if a strict majority of all validators has read it. Then at least one honest validator serves it, if
less than half of them lie. Without this, a validator could commit to a view and show it to nobody, or to a few, and
the others would wait for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from soundsright.ranking.settlement import majority

NO_WINNER = ""
"""The winner of a competition whose share burns."""
EPOCHS_BACK = 4
"""Without a majority for a winner, so many epochs before are looked through for the last one."""


@dataclass(frozen=True)
class EpochStatement:
    """The statement of one validator on the chain in an epoch.

    `view` is the digest of its view of this epoch. `has_read` are the validators whose views of the epoch before
    it has read and mirrored, with exactly the digests that they stated. `winners` are by competition, or
    `NO_WINNER`. A competition that is not there is one whose winner it does not know.
    """

    view: str
    has_read: frozenset[str] = frozenset()
    winners: Mapping[str, str] = field(default_factory=dict)


def attested_views(validators: Collection[str], statements: Iterable[EpochStatement]) -> frozenset[str]:
    """The validators whose views of an epoch count, by the statements of the epoch after it.

    >>> attested_views("abc", [EpochStatement("", frozenset("ab")), EpochStatement("", frozenset("a"))])
    frozenset({'a'})
    """
    read = Counter(validator for statement in statements for validator in statement.has_read)
    return frozenset(validator for validator in validators if read[validator] >= majority(len(validators)))


def stated_winners(
    validators: Collection[str], statements: Iterable[EpochStatement], competitions: Iterable[str]
) -> dict[str, str]:
    """The winner of each competition that a strict majority of all validators names.

    All validators pay these from the block on as of which statements are read, and they defend their places next.
    Where there is no majority, the competition is left out: its last winner stays.

    >>> stated_winners("123", [EpochStatement("", winners={"a": "x", "b": x}) for x in ("x", "")], "ab")
    {'a': 'x'}
    """
    winners = {}
    given = list(statements)
    for competition in competitions:
        named = Counter(s.winners[competition] for s in given if competition in s.winners)
        for hotkey, votes in named.items():
            if votes >= majority(len(validators)):
                winners[competition] = hotkey
    return winners


@dataclass(frozen=True)
class StatedEpoch:
    """The statements of an epoch, and the validators that were on the list in it."""

    validators: Collection[str]
    statements: Sequence[EpochStatement]


def standing_winners(
    epochs: Iterable[StatedEpoch | Mapping[str, str]], competitions: Collection[str]
) -> dict[str, str] | None:
    """The winners that stand after some epochs, newest first: the last ones that a majority has named.

    In place of an epoch's statements, the winners that stood in it can be given, if they are known. Then no older
    epoch is needed. Give at most `EPOCHS_BACK` epochs before the newest.

    The result is None if the last winners are not known: most validators name one, and no majority the same. Once
    there is a winner, every honest validator names one, so if few do, there has been none yet.

    >>> named = [EpochStatement("", winners={"a": winner}) for winner in "xxy"]
    >>> standing_winners([StatedEpoch("123", named[1:]), StatedEpoch("123", named)], "a")
    {'a': 'x'}
    """
    found: dict[str, str] = {}
    have_named = False
    for epoch in epochs:
        if not isinstance(epoch, StatedEpoch):
            return {**epoch, **found}
        found = {**stated_winners(epoch.validators, epoch.statements, competitions), **found}
        if found.keys() >= set(competitions):
            return found
        naming = sum(bool(statement.winners) for statement in epoch.statements)
        have_named = have_named or naming >= majority(len(epoch.statements))
    return None if have_named else found
