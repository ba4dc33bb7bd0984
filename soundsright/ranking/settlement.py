"""The verdicts that count in an epoch of a federation, decided from what the validators say they have read.

Two validators that each count what they can read themselves differ as soon as one bucket is away for one of them.
So each validator commits to a view: the verdicts that it has read, found valid and mirrored. A verdict is settled
if a strict majority of the allowlist lists its digest. The same goes for proofs of equivocation, and the incumbent
is the winner that a strict majority of the committed views names. Commitments are on the chain, so every validator
knows how many views there are. If it cannot read one, it computes which results the unread view could bring about,
and decides only if there is just one.

A proof of equivocation counts with a majority only, although each proof shows by itself that it is right. If one
listing were enough, every unread view could change the result: a validator that commits to a view and shows it to
nobody could stop all others for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from soundsright.core.federation import View, allowlist_digest
from soundsright.core.federation_rules import FederationRules
from soundsright.ranking.rotation import failover_order, lookback_tasks


class Unusable(StrEnum):
    """The stand-in for a view that was committed on the chain and does not count here."""

    MISSING = "missing"
    """It could not be read, here and until now."""
    MALFORMED = "malformed"
    """It was read, has the committed digest, and is no signed view of its validator. So it is for everybody."""


@dataclass(frozen=True)
class CanonicalVerdict:
    """The verdict of a task that counts. `digest` is None if its validator published two: then it has no rows."""

    validator: str
    digest: str | None


@dataclass(frozen=True)
class Settled:
    """The result of an epoch's views, the same for all validators that have one.

    `window` has the canonical verdict of each task that counts, oldest first. `incumbents` are by competition;
    a competition without a majority for one winner has none.
    """

    epoch_block: int
    window: Mapping[int, CanonicalVerdict]
    incumbents: Mapping[str, str]

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of the verdicts that count. All of them must be read before a winner is decided."""
        return tuple(verdict.digest for verdict in self.window.values() if verdict.digest is not None)


class UndecidedReason(StrEnum):
    """The reason why an epoch has no result here."""

    FEW_VIEWS = "few_views"
    """Too few validators committed to a usable view. Nobody decides this epoch."""
    UNREAD_VIEWS = "unread_views"
    """A view that was not read here could change the result. Read on."""


@dataclass(frozen=True)
class Undecided:
    """An epoch without a result here. `needed` usable views are a majority, `usable` were read.

    `unread` are the validators whose views are missing here.
    """

    epoch_block: int
    reason: UndecidedReason
    needed: int
    usable: int
    unread: tuple[str, ...]


def majority(count: int) -> int:
    """The least number that is a strict majority.

    >>> majority(4), majority(5)
    (3, 3)
    """
    return count // 2 + 1


def has_majority(validators: Collection[str], voters: Iterable[str]) -> bool:
    """Whether a strict majority of all validators is among the voters.

    A window decides nothing before that many have a verdict in it, or the first verdicts would crown anybody.

    >>> has_majority("abc", "aab"), has_majority("abc", "aax")
    (True, False)
    """
    return len(set(validators) & set(voters)) >= majority(len(validators))


def settle(
    rules: FederationRules,
    rules_digest: str,
    allowlist: Sequence[str],
    epoch_block: int,
    views: Mapping[str, View | Unusable | None],
    orders: Mapping[int, Sequence[str]] | None = None,
) -> Settled | Undecided:
    """The result of an epoch, or why there is none here.

    `views` are by validator: None, or no key, for a validator without a commitment within half an epoch of
    `epoch_block`. A view of another epoch, allowlist, rules or validator counts as malformed. `rules_digest` comes
    from `FederationRules.digest_with`. The order of validators and views does not matter. `orders` have by task
    the validators in the order of turns that the list of its first block gave. Without it, the allowlist gives it.

    Raises:
        ValueError: the allowlist is empty or has a validator twice.
    """
    validators = tuple(sorted(allowlist))
    if not validators or len(set(validators)) < len(validators):
        raise ValueError("an allowlist has one validator or more, each once")
    given = {hotkey: views.get(hotkey) for hotkey in validators}
    expected = (epoch_block, allowlist_digest(validators, rules.interval_blocks), rules_digest)
    usable = [
        view for hotkey, view in given.items() if isinstance(view, View) and _facts(view) == (hotkey, *expected)
    ]
    unread = tuple(hotkey for hotkey, view in given.items() if view is Unusable.MISSING)
    needed = majority(len(validators))
    if len(usable) < needed:
        could_suffice = len(usable) + len(unread) >= needed
        reason = UndecidedReason.UNREAD_VIEWS if could_suffice else UndecidedReason.FEW_VIEWS
        return Undecided(epoch_block, reason, needed, len(usable), unread)
    count = _Count(validators, needed, len(unread), usable, orders or {})
    committed = sum(view is not None for view in given.values())
    tasks, incumbents = _window(count, epoch_block, rules), _incumbents(count, committed, rules.competitions)
    if tasks is None or incumbents is None:
        return Undecided(epoch_block, UndecidedReason.UNREAD_VIEWS, needed, len(usable), unread)
    return Settled(epoch_block, tasks, incumbents)


def _facts(view: View) -> tuple[str, int, str, str]:
    return view.validator, view.epoch_block, view.allowlist, view.rules


class _Count:
    """The number of views that list each verdict and each proof, and the number that unread views could add."""

    def __init__(
        self,
        validators: Sequence[str],
        needed: int,
        unread: int,
        views: Sequence[View],
        orders: Mapping[int, Sequence[str]],
    ) -> None:
        self.validators, self.views, self._orders = validators, views, orders
        self._needed, self._unread = needed, unread
        self._verdicts = _listed(view.verdicts for view in views)
        # Proofs differ between observers of one equivocation, so count against whom they are.
        self._evidence = Counter(
            (task, hotkey) for view in views for task, proofs in view.evidence.items() for hotkey in proofs
        )

    def tasks(self, possible: range) -> list[int]:
        """The tasks that any view lists, newest first."""
        return sorted({task for task, _ in self._verdicts if task in possible}, reverse=True)

    def outcomes(self, task: int) -> set[CanonicalVerdict | None]:
        """Every canonical verdict that the task could have; None stands for no verdict.

        A digest that no view lists cannot be settled by the unread ones, because they are no majority.
        """
        outcomes: set[CanonicalVerdict | None] = set()
        for hotkey in self._order(task):
            against = self._evidence[task, hotkey]
            for digest, listed in self._verdicts.get((task, hotkey), {}).items():
                if listed + self._unread < self._needed:
                    continue
                if against < self._needed:
                    outcomes.add(CanonicalVerdict(hotkey, digest))
                if against + self._unread >= self._needed:
                    outcomes.add(CanonicalVerdict(hotkey, None))
                if listed >= self._needed:
                    return outcomes
        return outcomes | {None}

    def _order(self, task: int) -> Sequence[str]:
        order = self._orders.get(task)
        if order is not None:
            return order
        return [self.validators[number] for number in failover_order(task, len(self.validators))]

    def winners(self, competition: str, needed: int) -> set[str | None]:
        """Every incumbent that the competition could have; None stands for nobody."""
        named = Counter(view.winners[competition] for view in self.views if competition in view.winners)
        sure = [hotkey for hotkey, votes in named.items() if votes >= needed]
        if sure:
            return {*sure}
        return {None, *(hotkey for hotkey, votes in named.items() if votes + self._unread >= needed)}


def _listed(views: Iterable[Mapping[int, Mapping[str, str]]]) -> dict[tuple[int, str], Counter[str]]:
    """The number of views that list each digest, by task and validator."""
    listed: dict[tuple[int, str], Counter[str]] = {}
    for verdicts in views:
        for task, digests in verdicts.items():
            for hotkey, digest in digests.items():
                listed.setdefault((task, hotkey), Counter())[digest] += 1
    return listed


def _window(count: _Count, epoch_block: int, rules: FederationRules) -> dict[int, CanonicalVerdict] | None:
    """The canonical verdict of each task in the window, oldest first; None if unread views could change it.

    A task whose validator published two verdicts keeps its place in the window. Otherwise the validator could move
    the window, and with it the tasks of others.
    """
    first, end = rules.settle_margin, rules.settle_margin + rules.window_tasks
    newer, newer_is_open = 0, False
    found: dict[int, CanonicalVerdict] = {}
    for task in count.tasks(lookback_tasks(epoch_block, rules)):
        if newer >= end:
            break
        outcomes = count.outcomes(task)
        verdicts = [verdict for verdict in outcomes if verdict is not None]
        if not verdicts:
            continue
        if newer >= first:
            # A newer task that may or may not be produced decides whether this one is in the window.
            if newer_is_open or len(outcomes) > 1:
                return None
            found[task] = verdicts[0]
        newer, newer_is_open = newer + 1, newer_is_open or None in outcomes
    return dict(sorted(found.items()))


def _incumbents(count: _Count, committed: int, competitions: Sequence[str]) -> dict[str, str] | None:
    """The incumbent of each competition that has one; None if unread views could change it."""
    incumbents: dict[str, str] = {}
    for competition in sorted(competitions):
        first, *others = count.winners(competition, majority(committed))
        if others:
            return None
        if first is not None:
            incumbents[competition] = first
    return incumbents
