"""Decides as a validator of a simulated federation does: by its own reads, or by views.

Validators are numbered from 0, and a set of them is an integer whose bit v stands for validator v.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from soundsright.core.competition import PUBLISHED
from soundsright.core.federation import Verdict, View
from soundsright.core.federation_rules import FederationRules, federation_rules
from soundsright.core.profiles import Profile
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.metrics import floors
from soundsright.ranking import (
    NO_WINNER,
    Settled,
    Undecided,
    Unusable,
    canonical_sampler,
    federation_decisions,
    has_majority,
    keeps_last_winner,
    lookback_tasks,
    settle,
    window,
)
from soundsright.testing.simulation.federation_world import FederationWorld, Paper

RULESET = SOUNDSRIGHT_V5
_MOST_DECISIONS = 2_000


class FederationRule(StrEnum):
    """The rule by which validators come to pay a winner.

    `own`: each counts what it can read now, and pays the last winner if it cannot read too many buckets. `kept`:
    the same, and what it has read before counts too. `views`: each decides by the views that were committed, if it
    can read them. `attested`: by those that a majority has read. `stated`: the same, and it pays the winner that a
    majority states on the chain.
    """

    OWN = "own"
    KEPT = "kept"
    VIEWS = "views"
    ATTESTED = "attested"
    STATED = "stated"

    @property
    def has_views(self) -> bool:
        """Whether validators decide by views."""
        return self not in (FederationRule.OWN, FederationRule.KEPT)


def rules_of(rule: FederationRule) -> FederationRules:
    """The federation's rules in a simulation: one competition, and a short lookback, which is faster."""
    profile = Profile.SOUNDSRIGHT if rule.has_views else Profile.DOC
    return federation_rules(profile, lookback_blocks=13_000, competitions=(PUBLISHED[0].id,))


@dataclass(frozen=True)
class Decided:
    """A decision: the winner, empty if nobody is eligible, and the digests of the verdicts that counted."""

    winner: str
    counted: tuple[str, ...]

    def __str__(self) -> str:
        digest = hashlib.sha256("".join(self.counted).encode()).hexdigest()
        return f"{self.winner or 'nobody'} by {len(self.counted)} verdicts with the digest {digest[:16]}"


@dataclass(frozen=True)
class KnownWinners:
    """The winners that stand in an epoch, by competition, as a validator has recorded them."""

    epoch_block: int
    winners: Mapping[str, str]


@dataclass
class Seat:
    """A validator: the winner that it pays, the one that it names, its decision in this epoch, and its record.

    A winner is empty for nobody, and None if the validator knows none.
    """

    number: int
    paid: str | None = None
    winner: str | None = None
    decided: Decided | None = None
    known: KnownWinners | None = None


class Decider:
    """Decides on the verdicts that count. Equal verdicts are decided once."""

    def __init__(self, world: FederationWorld) -> None:
        self._world = world
        self._decisions: dict[object, Decided] = {}

    def decided(
        self, papers: Sequence[Paper], incumbents: Mapping[str, str], epoch_block: int, *, honest: bool = False
    ) -> Decided | None:
        """The decision on these verdicts; None if the verdicts of too few validators count.

        With `honest`, it is the decision that would be if nobody had lied about a score.
        """
        world = self._world
        if not has_majority(world.validators, [world.validators[paper.author] for paper in papers]):
            return None
        counted = tuple(paper.digest for paper in papers)
        key = (epoch_block, counted, tuple(incumbents.items()), honest)
        if key not in self._decisions:
            if len(self._decisions) >= _MOST_DECISIONS:
                self._decisions.clear()
            verdicts = [paper.honest if honest else paper.verdict for paper in papers]
            winner = self._winner([each for each in verdicts if each is not None], incumbents, epoch_block)
            self._decisions[key] = Decided(winner, counted)
        return self._decisions[key]

    def _winner(self, verdicts: Sequence[Verdict], incumbents: Mapping[str, str], epoch_block: int) -> str:
        decisions = federation_decisions(
            self._world.rules,
            RULESET,
            PUBLISHED,
            verdicts,
            incumbents,
            epoch_block=epoch_block,
            floors=floors(sorted(PUBLISHED[0].metric_weights)),
        )
        return decisions[self._world.rules.competitions[0]].winner or NO_WINNER


class OwnReads:
    """The rule as it was written: each validator counts what it can read itself.

    With `keeps`, what it has read in an earlier epoch counts too.
    """

    def __init__(self, world: FederationWorld, decider: Decider, *, keeps: bool) -> None:
        self._world, self._decider, self._keeps = world, decider, keeps

    def decide(
        self, seat: Seat, epoch_block: int, up: int, incumbents: Mapping[str, str] | None = None
    ) -> Decided | None:
        """The decision of a validator that can read the buckets `up`; None if the last winner stays."""
        world, count = self._world, len(self._world.validators)
        if keeps_last_winner(world.rules, count - up.bit_count(), count):
            return None
        canonical: dict[int, Paper] = {}
        for task in lookback_tasks(epoch_block, world.rules):
            read = {p.author: p for p in world.by_task.get(task, ()) if self._has(seat, p, epoch_block, up)}
            sampler = canonical_sampler(task, read, count)
            if sampler is not None:
                canonical[task] = read[sampler]
        papers = [canonical[task] for task in window(canonical, epoch_block, world.rules)]
        return self._decider.decided(papers, incumbents or {}, epoch_block)

    def _has(self, seat: Seat, paper: Paper, epoch_block: int, up: int) -> bool:
        if paper.block > epoch_block:
            return False
        if paper.author == seat.number or (self._keeps and paper.held >> seat.number & 1):
            return True
        return bool(up & paper.served & 1 << paper.author and paper.shown >> seat.number & 1)


class ViewReads:
    """The rule of views: each validator decides by the same views, or not at all."""

    def __init__(self, world: FederationWorld, decider: Decider, rules_digest: str) -> None:
        self._world, self._decider, self._rules_digest = world, decider, rules_digest
        self._settled: dict[int, Settled | Undecided] = {}

    def begin(self) -> None:
        """Begin an epoch."""
        self._settled.clear()

    def settled(self, epoch_block: int, views: Mapping[int, Paper], held: int) -> Settled | Undecided:
        """The result of the views that count, for one that holds those of the validators in `held`."""
        if held not in self._settled:
            by_name: dict[str, View | Unusable | None] = {}
            for author, paper in views.items():
                view = paper.view if held >> author & 1 else None
                by_name[self._world.validators[author]] = view or Unusable.MISSING
            self._settled[held] = settle(
                self._world.rules, self._rules_digest, self._world.validators, epoch_block, by_name
            )
        return self._settled[held]

    def decide(
        self, seat: Seat, epoch_block: int, views: Mapping[int, Paper], incumbents: Mapping[str, str] | None
    ) -> Decided | None:
        """The decision of a validator; None if it cannot decide. Without `incumbents`, the views name them."""
        bit = 1 << seat.number
        held = sum(1 << author for author, paper in views.items() if paper.held & bit)
        settled = self.settled(epoch_block, views, held)
        if isinstance(settled, Undecided):
            return None
        papers = [self._world.by_digest[digest] for digest in settled.digests]
        for paper in papers:
            paper.known |= bit
        return self.decided(settled, incumbents) if all(paper.held & bit for paper in papers) else None

    def decided(
        self, settled: Settled, incumbents: Mapping[str, str] | None, *, honest: bool = False
    ) -> Decided | None:
        """The decision on the verdicts that the views have settled, as by `Decider.decided`."""
        papers = [self._world.by_digest[digest] for digest in settled.digests]
        defending = settled.incumbents if incumbents is None else incumbents
        return self._decider.decided(papers, defending, settled.epoch_block, honest=honest)


class HonestPath:
    """The winner that would stand if nobody had lied about a score, by the same views and verdicts.

    `winner` is None while lies have changed nothing: then it is the one that stands.
    """

    def __init__(self) -> None:
        self.winner: str | None = None

    def follow(self, views: ViewReads, settled: Settled, incumbents: Mapping[str, str]) -> None:
        """Decide an epoch by the scores that the validators have measured. `incumbents` are those that stand."""
        decided = views.decided(settled, incumbents)
        if decided is None:
            return
        (competition,) = PUBLISHED[:1]
        standing = incumbents.get(competition.id, NO_WINNER)
        own = standing if self.winner is None else self.winner
        honest = views.decided(settled, {competition.id: own} if own else {}, honest=True)
        assert honest is not None
        has_no_effect = own == standing and honest.winner == decided.winner
        self.winner = None if has_no_effect else honest.winner
