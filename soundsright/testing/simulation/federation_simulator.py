"""Simulates a federation over many epochs, and counts where honest validators set different weights.

Rotation, settlement and decision are the real ones. Buckets, chain and miners are imitated, and faults are planted:
see `FederationWorld` and `FaultDraw`. The same seed gives the same federation and the same faults.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from soundsright.core.competition import PUBLISHED
from soundsright.ranking import (
    EPOCHS_BACK,
    EpochStatement,
    Settled,
    StatedEpoch,
    attested_views,
    lookback_tasks,
    majority,
    standing_winners,
    winners_shares,
)
from soundsright.testing.simulation.federation_faults import EpochFaults, FaultDraw, Links
from soundsright.testing.simulation.federation_reading import (
    RULESET,
    Decided,
    Decider,
    FederationRule,
    HonestPath,
    KnownWinners,
    OwnReads,
    Seat,
    ViewReads,
    rules_of,
)
from soundsright.testing.simulation.federation_views import Lie, Statements, ViewWriter, in_time
from soundsright.testing.simulation.federation_world import FederationWorld, Paper
from soundsright.testing.simulation.invariants import Violation

FEDERATION_INVARIANTS = (
    "validators that decide an epoch count the same verdicts and find the same winner",
    "weights sum to one or are unknown",
    "no verdict counts that less than a majority of all validators has listed",
    "no verdict counts against which a majority has listed a proof of equivocation",
    "within two epochs after a partition there is an incumbent again",
    "a validator without memory decides the same from the views alone",
)
UNREACHABLE = 0.1
MOST_DISAGREEMENTS = 1 / 1000
"""The part of epochs in which honest validators may set different weights, with `UNREACHABLE` reads."""

_LEAST_VALIDATORS, _MOST_VALIDATORS = 5, 9
_FIRST_TASKS = 135
_RECOVERY_EPOCHS = 2
Tick = Callable[[], None]


@dataclass(frozen=True)
class FederationEpoch:
    """An epoch at its end.

    `paid` are the winners that the honest validators pay, each once; more than one is a disagreement. `holding` of
    the `honest` validators decided nothing and pay the last winner. `is_apart` is True if two of them that did
    decide pay different winners. `misled` are the winners among `paid` that nobody would pay if all scores were
    honest, and `favoured` those of them for which a verdict has lied.
    """

    number: int
    paid: tuple[str, ...]
    holding: int
    honest: int
    is_apart: bool
    misled: tuple[str, ...] = ()
    favoured: tuple[str, ...] = ()

    @property
    def disagrees(self) -> bool:
        """Whether honest validators pay different winners."""
        return len(self.paid) > 1


@dataclass
class SimulatedFederation:
    """The result of a simulation. `digest` covers all epochs; the same seed gives the same digest."""

    validators: int = 0
    epochs: list[FederationEpoch] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    unread: int = 0
    equivocated: int = 0
    checks: int = 0

    @property
    def disagreements(self) -> int:
        """The number of epochs in which honest validators paid different winners."""
        return sum(epoch.disagrees for epoch in self.epochs)

    @property
    def changes(self) -> int:
        """The number of changes of the winner, as the first honest validator saw them."""
        paid = [epoch.paid[0] for epoch in self.epochs if epoch.paid]
        return sum(before != after for before, after in itertools.pairwise(paid))

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps([asdict(epoch) for epoch in self.epochs]).encode()).hexdigest()


def simulate_federation(
    seed: int,
    *,
    epochs: int,
    rule: FederationRule = FederationRule.STATED,
    unreachable: float = UNREACHABLE,
    faults: bool = True,
    lies: Sequence[Lie] = tuple(Lie),
    validators: int | None = None,
    colluders: int = 0,
    plant_mistake: bool = False,
    tick: Tick = lambda: None,
) -> SimulatedFederation:
    """Simulate a federation and check the invariants after each epoch. `tick` is called after each, too.

    Without a number of `validators`, the seed draws five to nine.
    `unreachable` is the part of reads that fail because a bucket is away, `lies` are those of the lying validator.
    Without `faults` nothing else fails, and all other validators than the `colluders` are honest: these lie in all
    their verdicts for the same miner. With `plant_mistake`, a validator counts what it has read itself, not the
    views.

    Raises:
        Violation: an invariant does not hold.
    """
    federation = _Federation(
        seed,
        rule,
        unreachable,
        lies,
        validators=validators,
        faults=faults,
        colluders=colluders,
        plant_mistake=plant_mistake,
    )
    for _ in range(epochs):
        federation.play_epoch()
        tick()
    return federation.finished()


class _Federation:
    """The federation, and what has happened in it."""

    def __init__(
        self,
        seed: int,
        rule: FederationRule,
        unreachable: float,
        lies: Sequence[Lie],
        *,
        validators: int | None,
        faults: bool,
        colluders: int,
        plant_mistake: bool,
    ) -> None:
        self._seed, self._rule = seed, rule
        # Each part has its own chance, so all rules meet the same miners, links and faults.
        draws = [np.random.default_rng([seed, number]) for number in range(6)]
        count = validators or int(draws[0].integers(_LEAST_VALIDATORS, _MOST_VALIDATORS + 1))
        self._rules = rules_of(rule)
        self._world = FederationWorld(self._rules, count, draws[1], has_faults=faults, colluders=colluders)
        self._links = Links(count, unreachable, draws[2])
        self._faults = FaultDraw(count, self._world.slow, self._links, draws[3]) if faults else None
        digest = self._rules.digest_with(RULESET, PUBLISHED)
        self._writer = ViewWriter(self._world, digest, draws[4], lies)
        self._statements = Statements(self._world, draws[5])
        self._views_before: Mapping[int, Paper] = {}
        self._stated: list[StatedEpoch] = []
        self._standing = Seat(-1)
        self._honest_path = HonestPath()
        self._decider = Decider(self._world)
        self._own = OwnReads(self._world, self._decider, keeps=rule is not FederationRule.OWN)
        self._views = ViewReads(self._world, self._decider, digest)
        self._mistaken = self._world.honest[-1] if plant_mistake else None
        self._seats = [Seat(number) for number in range(count)]
        self._world.begin(_FIRST_TASKS)
        self._first_block = _FIRST_TASKS * self._rules.interval_blocks // self._rules.epoch_blocks
        self._up = [self._world.buckets.everybody] * count
        self._epochs_since_split: int | None = None
        self.result = SimulatedFederation(count)

    def finished(self) -> SimulatedFederation:
        """The result, with the sums of all epochs."""
        result = self.result
        result.reads, result.unread = self._links.reads, self._links.unread
        result.faults.update(self._writer.lies)
        if self._faults is not None:
            result.faults.update(self._faults.counts)
        result.faults["lost write"] = self._world.buckets.lost_writes
        result.faults["equivocation"] = self._world.equivocations
        return result

    def play_epoch(self) -> None:
        """Let one epoch pass: tasks, views, commitments, decisions."""
        number, expected = len(self.result.epochs) + 1, self._honest_path.winner
        block = (self._first_block + number) * self._rules.epoch_blocks
        faults = self._faults.next_epoch() if self._faults is not None else EpochFaults()
        self._world.miners.change(block)
        if faults.restarted:
            self._restart(faults.restarted)
        for seat in self._seats:
            seat.decided = None
        self._phase(block)
        if self._rule.has_views:
            self._decide_by_views(block, faults)
        else:
            self._decide_by_own_reads(block, faults)
        self._record(number, expected)
        oldest = lookback_tasks(block, self._rules)[0]
        self._world.forget_before(oldest * self._rules.interval_blocks)
        self._writer.drop_before(oldest)
        self._world.buckets.close(block - 12 * self._rules.epoch_blocks)

    def _restart(self, validators: int) -> None:
        """Let validators lose their memory; the chain keeps the weights that they set."""
        papers = [*self._world.by_digest.values()]
        self._world.buckets.forget(validators, papers)
        self._writer.forget()
        for seat in self._seats:
            if validators >> seat.number & 1:
                seat.winner = seat.known = None

    def _phase(self, until: int) -> None:
        """Let the blocks until one pass, in which validators judge and read."""
        self._up = self._links.next_phase()
        self._world.produce(until, self._up)
        self._world.buckets.read(self._up, until, self._world.liars)

    def _decide_by_own_reads(self, block: int, faults: EpochFaults) -> None:
        for part in range(1, 5):
            self._phase(block + part * self._rules.epoch_blocks // 4)
            for seat in self._undecided(faults):
                self._decided(seat, self._own.decide(seat, block, self._up[seat.number]))

    def _decide_by_views(self, block: int, faults: EpochFaults) -> None:
        """Let the validators write views, state them on the chain, and decide by those that count."""
        quarter, is_stated = self._rules.epoch_blocks // 4, self._rule is FederationRule.STATED
        winners = [seat.winner for seat in self._seats]
        views = self._writer.write(block, [None] * len(winners) if is_stated else winners)
        self._phase(block + quarter)
        views = in_time(views, faults, self._world.buckets.everybody)
        statements = self._statements.state(views, self._views_before, winners)
        self._phase(block + 2 * quarter)
        incumbents = self._pay_stated(block, statements, faults) if is_stated else None
        epoch_block, counted = block, views
        if self._rule is not FederationRule.VIEWS:
            read = attested_views(self._world.validators, statements.values())
            counted = {v: p for v, p in self._views_before.items() if self._world.validators[v] in read}
            epoch_block = block - self._rules.epoch_blocks
        self._views.begin()
        for part in (3, 4):
            self._phase(block + part * quarter)
            for seat in self._undecided(faults):
                if seat.number == self._mistaken:
                    decided = self._own.decide(seat, epoch_block, self._up[seat.number], incumbents)
                else:
                    decided = self._views.decide(seat, epoch_block, counted, incumbents)
                self._decided(seat, decided)
        self._check_views(epoch_block, counted, incumbents, faults)
        self._views_before = views

    def _pay_stated(
        self, block: int, statements: Mapping[int, EpochStatement], faults: EpochFaults
    ) -> dict[str, str]:
        """Let all that see the chain pay the winner that it names. Returns the incumbents."""
        self._stated = [StatedEpoch(self._world.validators, [*statements.values()]), *self._stated[:EPOCHS_BACK]]
        for seat in (self._standing, *self._undecided(faults)):
            standing = standing_winners(self._epochs_of(seat, block), self._rules.competitions)
            if not standing:
                continue  # Nobody has won yet, or the last winner is not known here: the last weights stay.
            seat.known = KnownWinners(block, standing)
            # It is named until the validator decides something else.
            seat.winner = seat.paid = standing[self._rules.competitions[0]]
        known = self._standing.known
        return {} if known is None else {name: winner for name, winner in known.winners.items() if winner}

    def _epochs_of(self, seat: Seat, block: int) -> Iterator[StatedEpoch | Mapping[str, str]]:
        """The statements of the last epochs, newest first, back to those that the validator has recorded."""
        for back, epoch in enumerate(self._stated):
            if seat.known is not None and seat.known.epoch_block >= block - back * self._rules.epoch_blocks:
                yield seat.known.winners
                return
            yield epoch

    def _undecided(self, faults: EpochFaults) -> list[Seat]:
        """The validators that see the chain and have not decided yet."""
        return [seat for seat in self._seats if seat.decided is None and not faults.asleep >> seat.number & 1]

    def _decided(self, seat: Seat, decided: Decided | None) -> None:
        if decided is not None:
            seat.decided, seat.winner = decided, decided.winner
            if self._rule is not FederationRule.STATED:
                seat.paid = decided.winner

    def _check(self, invariant: int, is_true: bool, *problem: object) -> None:
        self.result.checks += 1
        if not is_true:
            where = f"seed {self._seed}, epoch {len(self.result.epochs) + 1}"
            raise Violation(FEDERATION_INVARIANTS[invariant], where, ", ".join(map(str, problem)))

    def _check_views(
        self, block: int, views: Mapping[int, Paper], incumbents: Mapping[str, str] | None, faults: EpochFaults
    ) -> None:
        """Count again what a validator without memory finds, which reads all views that can still be read."""
        honest = [self._seats[v] for v in self._world.honest]
        readable = sum(1 << author for author, p in views.items() if p.served or p.held & ~(1 << p.author))
        settled = self._views.settled(block, views, readable)
        if not isinstance(settled, Settled):
            self._check_recovery(faults, None, incumbents)
            return
        decided = self._views.decided(settled, incumbents)
        if incumbents is not None:
            self._honest_path.follow(self._views, settled, incumbents)
        for seat in honest:
            self._check(5, seat.decided in (None, decided), seat.decided, decided)
        listing = [p.view for author, p in views.items() if readable >> author & 1 and p.view is not None]
        least = majority(len(self._seats))
        for task, verdict in settled.window.items():
            if verdict.digest is None:
                continue
            votes = sum(v.verdicts.get(task, {}).get(verdict.validator) == verdict.digest for v in listing)
            proofs = sum(verdict.validator in v.evidence.get(task, {}) for v in listing)
            self._check(2, votes >= least, f"task {task}", votes, least)
            self._check(3, proofs < least, f"task {task}", proofs, least)
            self.result.equivocated += self._is_known_twice(task, verdict.validator)
        self._check_recovery(faults, settled, incumbents)

    def _is_known_twice(self, task: int, validator: str) -> bool:
        """Whether an honest validator has read two verdicts of one task from this validator."""
        author = self._world.validators.index(validator)
        twice = [paper.held for paper in self._world.by_task[task] if paper.author == author]
        return len(twice) > 1 and any(all(held >> v & 1 for held in twice) for v in self._world.honest)

    def _check_recovery(
        self, faults: EpochFaults, settled: Settled | None, incumbents: Mapping[str, str] | None
    ) -> None:
        if faults.is_split:
            self._epochs_since_split = 0
        elif self._epochs_since_split is not None:
            self._epochs_since_split += 1
            if settled is not None and (settled.incumbents if incumbents is None else incumbents):
                self._epochs_since_split = None
            else:
                late = self._epochs_since_split > _RECOVERY_EPOCHS
                self._check(4, not late, f"{self._epochs_since_split} epochs")

    def _record(self, number: int, expected: str | None) -> None:
        """Check the weights at the end of the epoch, and keep them. `expected` is the honest winner, if known."""
        honest = [self._seats[v] for v in self._world.honest]
        decided = {seat.decided for seat in honest if seat.decided is not None}
        if self._rule.has_views:
            self._check(0, len(decided) <= 1, *sorted(map(str, decided)))
        for seat in honest:
            if seat.paid:
                shares = winners_shares(self._rules, {self._rules.competitions[0]: seat.paid})
                self._check(1, sum(shares.values()) == 1.0, seat.paid, shares)
        paid = tuple(sorted({seat.paid for seat in honest if seat.paid is not None}))
        holding = sum(seat.decided is None for seat in honest)
        is_apart = len({each.winner for each in decided}) > 1
        misled = tuple(winner for winner in paid if winner and expected is not None and winner != expected)
        favoured = tuple(winner for winner in misled if winner in self._world.favourites)
        self.result.epochs.append(FederationEpoch(number, paid, holding, len(honest), is_apart, misled, favoured))
