"""The views of a simulated federation: what each validator writes in an epoch, and which of the views count.

Validators are numbered from 0, and a set of them is an integer whose bit v stands for validator v.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np

from soundsright.core.federation import View, allowlist_digest
from soundsright.ranking import EpochStatement, lookback_tasks
from soundsright.testing.simulation.federation_faults import EpochFaults
from soundsright.testing.simulation.federation_world import FederationWorld, Paper, digest_of

FALSE_WINNER = "miner00001"
_FALSE_TASKS = 6
_SHOWN_TO_FEW = 0.3
Listed = dict[int, dict[str, str]]


class Lie(StrEnum):
    """The behaviour of the lying validator with its view. It always names another winner."""

    SILENT = "no view"
    WITHHELD = "view withheld"
    FALSE_DIGESTS = "false digests"
    OMITS = "verdicts left out"
    FALSE_PROOFS = "false proofs"


class ViewWriter:
    """Writes the views of all validators, epoch by epoch. `lies` counts the lies."""

    def __init__(
        self, world: FederationWorld, rules_digest: str, rng: np.random.Generator, lies: Sequence[Lie]
    ) -> None:
        self._world, self._rules_digest, self._rng, self._possible = world, rules_digest, rng, lies
        self._allowlist = allowlist_digest(world.validators, world.rules.interval_blocks)
        self._common: Listed = {}
        self._first: dict[tuple[int, int, int], str] = {}
        self.lies: Counter[str] = Counter()

    def write(self, epoch_block: int, winners: Sequence[str | None]) -> dict[int, Paper]:
        """Publish a view of each validator. `winners` are what they recorded last. One may write none."""
        views = {}
        for validator, winner in enumerate(winners):
            paper = self._paper(epoch_block, validator, winner)
            if paper is not None:
                self._world.buckets.publish(paper)
                views[validator] = paper
        return views

    def forget(self) -> None:
        """Look again at what everybody holds, because a validator has lost its memory."""
        self._common.clear()

    def _paper(self, epoch_block: int, validator: int, winner: str | None) -> Paper | None:
        world, rng = self._world, self._rng
        everybody = shown = world.buckets.everybody
        verdicts, proofs = self._listed(epoch_block, validator)
        if validator == world.liar:
            lie = self._possible[int(rng.integers(len(self._possible)))]
            self.lies[lie] += 1
            if lie is Lie.SILENT:
                return None
            if lie is Lie.WITHHELD:
                shown = int(rng.integers(everybody + 1)) if rng.random() < 0.5 else 0
            verdicts, proofs = self._falsified(lie, verdicts, proofs)
            winner = FALSE_WINNER
        elif validator == world.equivocator:
            proofs = {}
            if rng.random() < _SHOWN_TO_FEW:
                shown = int(rng.integers(everybody + 1))
        view = View(
            epoch_block,
            world.validators[validator],
            self._allowlist,
            self._rules_digest,
            verdicts,
            proofs,
            {world.rules.competitions[0]: winner} if winner else {},
        )
        lists = frozenset(
            paper.digest
            for paper in world.buckets.open
            if paper.verdict is not None and _mentions(view, paper, world.validators[paper.author])
        )
        digest = digest_of(f"view {epoch_block} {validator}")
        return Paper(digest, validator, epoch_block, shown, view=view, lists=lists)

    def _listed(self, epoch_block: int, validator: int) -> tuple[Listed, Listed]:
        """The verdicts that a validator has read, and its proofs of equivocation, by task and author."""
        verdicts: Listed = {}
        proofs: Listed = {}
        for task in lookback_tasks(epoch_block, self._world.rules):
            common = self._common.get(task)
            if common is not None:
                verdicts[task] = common
                continue
            papers = self._world.by_task.get(task, ())
            held = [p for p in papers if p.held >> validator & 1 and p.block <= epoch_block]
            own: dict[str, str] = {}
            for paper in held:
                author = self._world.validators[paper.author]
                if author in own:
                    proofs[task] = {author: digest_of(f"proof {task} {author}")}
                else:
                    # The first digest that was read stays listed. If both came at once, it is the first by name.
                    least = min(p.digest for p in held if p.author == paper.author)
                    own[author] = self._first.setdefault((validator, task, paper.author), least)
            if own:
                verdicts[task] = own
            everybody = self._world.buckets.everybody
            if own and task not in proofs and all(p.held == everybody for p in papers):
                self._common[task] = own
        return verdicts, proofs

    def _falsified(self, lie: Lie, verdicts: Listed, proofs: Listed) -> tuple[Listed, Listed]:
        newest = sorted(verdicts)[-_FALSE_TASKS:]
        if lie is Lie.OMITS:
            return {task: own for task, own in verdicts.items() if task not in newest}, proofs
        if lie is Lie.FALSE_DIGESTS:
            false = {t: {author: digest_of(f"false {t} {author}") for author in verdicts[t]} for t in newest}
            return {**verdicts, **false}, proofs
        if lie is Lie.FALSE_PROOFS:
            false = {t: {author: digest_of(f"false proof {t}") for author in verdicts[t]} for t in newest}
            return verdicts, {**proofs, **false}
        return verdicts, proofs

    def drop_before(self, task: int) -> None:
        """Forget the tasks before one."""
        self._common = {number: own for number, own in self._common.items() if number >= task}
        self._first = {key: digest for key, digest in self._first.items() if key[1] >= task}


def _mentions(view: View, paper: Paper, author: str) -> bool:
    assert paper.verdict is not None
    task = paper.verdict.task
    return view.verdicts.get(task, {}).get(author) == paper.digest or author in view.evidence.get(task, {})


def in_time(views: Mapping[int, Paper], faults: EpochFaults, everybody: int) -> dict[int, Paper]:
    """The views that their validators committed to in time. Their digests are known to everybody."""
    silent = faults.late | faults.asleep | faults.undone
    found = {v: paper for v, paper in views.items() if not silent >> v & 1}
    for paper in found.values():
        paper.known = everybody
    return found


class Statements:
    """The validators' statements on the chain besides their views: the views that they have read, and winners."""

    def __init__(self, world: FederationWorld, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng

    def state(
        self, views: Mapping[int, Paper], before: Mapping[int, Paper], winners: Sequence[str | None]
    ) -> dict[int, EpochStatement]:
        """The statement of each validator that commits to one of `views`. `before` are the views before these.

        The lying validator has read views at random, and the equivocating one all of them.
        """
        world, competition = self._world, self._world.rules.competitions[0]
        statements = {}
        for validator, paper in views.items():
            if validator == world.liar:
                read = [author for author in before if self._rng.random() < 0.5]
            else:
                bit = 1 << validator
                read = [a for a, p in before.items() if validator == world.equivocator or p.held & bit]
            winner = FALSE_WINNER if validator == world.liar else winners[validator]
            statements[validator] = EpochStatement(
                paper.digest,
                frozenset(world.validators[author] for author in read),
                {} if winner is None else {competition: winner},
            )
        return statements
