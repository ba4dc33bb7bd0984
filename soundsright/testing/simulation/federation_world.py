"""A made-up federation: miners whose models have a drawn quality, tasks in turn, and buckets with papers in them.

Validators are numbered from 0, and a set of them is an integer whose bit v stands for validator v. One validator is
slow, one lies and one equivocates; the others are honest, and so is the slow one. A paper is a verdict or a view.
Blocks are counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundsright.core.federation import JudgedRow, Verdict, View, allowlist_digest, rounded_means
from soundsright.core.federation_rules import FederationRules
from soundsright.core.sources import ModelRef
from soundsright.ranking import failover_order, own_turn_blocks
from soundsright.testing.simulation.federation_faults import FAILED_READS, LOST_WRITES

_MINERS = 12
_JOINS, _LEAVES, _IMPROVES = 0.12, 0.012, 0.06
_OFFLINE, _SLOW_IS_LATE = 0.03, 0.5
_NOBODY = -1
_EQUIVOCATES, _FAVOURS = 0.4, 0.5
UNPROCESSED = {"ESTOI": 0.6, "PESQ_WB": 1.8}


@dataclass(eq=False)
class Paper:
    """A verdict or a view in buckets.

    `honest` is the verdict with the scores that its validator has measured. `shown` are the validators to which the
    author's bucket shows it, `held` those that have read it, `served` those whose bucket has it, and `known` those
    that have read its digest in a view or on the chain. `lists` has the digests of the verdicts that a view lists.
    """

    digest: str
    author: int
    block: int
    shown: int
    verdict: Verdict | None = None
    honest: Verdict | None = None
    view: View | None = None
    lists: frozenset[str] = frozenset()
    held: int = 0
    served: int = 0
    known: int = 0


@dataclass(frozen=True)
class Miner:
    """A miner's hotkey, the block of its commitment, its model, and the model's quality from about 0 to 1."""

    hotkey: str
    uid: int
    block: int
    model: ModelRef
    quality: float


class Miners:
    """The miners, who join, improve their models and leave."""

    def __init__(self, competition: str, rng: np.random.Generator) -> None:
        self._competition, self._rng = competition, rng
        self._joined = self._models = 0
        self._miners: list[Miner] = []
        while len(self._miners) < _MINERS // 2:
            self._join(0)

    def _join(self, block: int) -> None:
        self._joined += 1
        hotkey, quality = f"miner{self._joined:05}", float(self._rng.normal(0.5, 0.15))
        self._miners.append(Miner(hotkey, self._joined % 256, block, self._new_model(hotkey), quality))

    def _new_model(self, hotkey: str) -> ModelRef:
        self._models += 1
        return ModelRef(hotkey, "model", f"{self._models:040x}")

    def change(self, block: int) -> None:
        """Let miners join, improve and leave, each by chance."""
        rng = self._rng
        self._miners = [miner for miner in self._miners if rng.random() >= _LEAVES]
        if rng.random() < _IMPROVES and self._miners:
            place = int(rng.integers(len(self._miners)))
            old = self._miners[place]
            quality = min(old.quality + abs(float(rng.normal(0, 0.1))), 1.0)
            self._miners[place] = replace(old, block=block, model=self._new_model(old.hotkey), quality=quality)
        if len(self._miners) < 3 or (len(self._miners) < _MINERS and rng.random() < _JOINS):
            self._join(block)

    def judged(self, clips: int) -> tuple[JudgedRow, ...]:
        """The result of each miner in a new task, by hotkey. Tasks differ more than miners do."""
        rng, rows = self._rng, []
        ease = float(rng.normal(0, 0.2))
        for miner in sorted(self._miners, key=lambda miner: miner.hotkey):
            own = miner.quality + float(rng.normal(0, 0.05))
            means = {"ESTOI": min(0.6 + 0.2 * own + 0.1 * ease, 0.999), "PESQ_WB": 1.8 + 1.2 * own + 0.6 * ease}
            failures = int(rng.binomial(clips, 0.002))
            passed = failures == 0 and own + 0.4 * float(rng.normal(0, 1)) > 0
            row = JudgedRow(
                self._competition, miner.hotkey, miner.uid, miner.model, miner.block, passed, failures,
                rounded_means(means), digest_of("answers"),
            )  # fmt: skip
            rows.append(row)
        return tuple(rows)


def favoured(rows: Sequence[JudgedRow]) -> tuple[JudgedRow, ...]:
    """The rows as the lying validator writes them: the first miner is much better than it is."""
    first = [replace(row, passed=True, failures=0, means={"ESTOI": 0.999, "PESQ_WB": 4.0}) for row in rows[:1]]
    return (*first, *rows[1:])


class Buckets:
    """The buckets of all validators, and the papers that not everybody has read yet."""

    def __init__(self, validators: int, rng: np.random.Generator, lost_writes: float, failed_reads: float) -> None:
        self.everybody = (1 << validators) - 1
        self._rng, self._lost_writes, self._failed_reads = rng, lost_writes, failed_reads
        self._open: list[Paper] = []
        self.lost_writes = 0

    def publish(self, paper: Paper) -> None:
        """Write a paper to its author's bucket. The write may be lost without the author noticing."""
        own = 1 << paper.author
        paper.held |= own
        self._write(paper, own)
        self._open.append(paper)

    def _write(self, paper: Paper, bucket: int) -> None:
        if self._rng.random() < self._lost_writes:
            self.lost_writes += 1
        else:
            paper.served |= bucket

    def read(self, up: Sequence[int], until: int, liars: int) -> None:
        """Let every validator read in one phase what it lacks, from those buckets of `up` that have it.

        Only papers published by the block `until` are there. The author's bucket is looked through. A mirror, which
        an honest validator keeps of all it reads, must be asked for a digest.
        """
        before = [(paper, paper.served) for paper in self._open if paper.block <= until]
        for paper, served in before:
            own = 1 << paper.author
            for reader, reachable in enumerate(up):
                bit = 1 << reader
                if paper.held & bit:
                    continue
                ways = served & reachable
                if not paper.shown & bit:
                    ways &= ~own
                if not paper.known & bit:
                    ways &= own
                if ways and self._rng.random() >= self._failed_reads ** ways.bit_count():
                    paper.held |= bit
                    if not liars & bit:
                        self._write(paper, bit)
                    for listed in self._open:
                        if listed.digest in paper.lists:
                            listed.known |= bit

    def forget(self, validators: int, papers: Iterable[Paper]) -> None:
        """Let validators lose their memory. What their own buckets have, they read again."""
        for paper in papers:
            held = paper.held
            paper.held &= ~validators | paper.served
            paper.known &= ~validators
            if paper.held != held and paper not in self._open:
                self._open.append(paper)

    def close(self, before: int) -> None:
        """Stop following papers that are older than a block or that everybody has read."""
        self._open = [p for p in self._open if p.block >= before and p.held != self.everybody]

    @property
    def open(self) -> list[Paper]:
        """The papers that somebody has not read yet."""
        return self._open


class FederationWorld:
    """The tasks of the federation with their verdicts, and the buckets that have them.

    `colluders` more validators lie for the same miner as the lying one, in each of their verdicts. `favourites` are
    the miners for which a verdict has lied.
    """

    def __init__(
        self,
        rules: FederationRules,
        validators: int,
        rng: np.random.Generator,
        *,
        has_faults: bool,
        colluders: int = 0,
    ) -> None:
        # Miners, tasks and buckets have their own chance, so that miners are the same under each rule.
        self.rules, (self._rng, of_buckets, of_miners) = rules, rng.spawn(3)
        self.validators = tuple(f"validator{number}" for number in range(validators))
        drawn = [int(each) for each in self._rng.permutation(validators)]
        self.slow, self.liar, self.equivocator = drawn[:3] if has_faults else (_NOBODY, _NOBODY, _NOBODY)
        self._colluders = {*drawn[3:][:colluders]}
        self.liars = sum(1 << v for v in (self.liar, self.equivocator, *self._colluders) if v != _NOBODY)
        self.honest = tuple(v for v in range(validators) if not self.liars >> v & 1)
        self._offline = _OFFLINE if has_faults else 0.0
        self.buckets = Buckets(
            validators, of_buckets, LOST_WRITES if has_faults else 0.0, FAILED_READS if has_faults else 0.0
        )
        self.miners = Miners(rules.competitions[0], of_miners)
        self._allowlist = allowlist_digest(self.validators, rules.interval_blocks)
        self.by_task: dict[int, list[Paper]] = {}
        self.by_digest: dict[str, Paper] = {}
        self.favourites: set[str] = set()
        self.equivocations = 0
        self._next_task = 0

    def begin(self, tasks: int) -> None:
        """Judge that many tasks before anything fails, so that there is a window from the first epoch on."""
        everybody = [self.buckets.everybody] * len(self.validators)
        while self._next_task < tasks:
            self._judge(everybody, equivocates=False)
        for papers in self.by_task.values():
            for paper in papers:
                paper.held = paper.served = self.buckets.everybody
        self.buckets.close(0)

    def produce(self, until: int, up: Sequence[int]) -> None:
        """Judge the tasks that begin until a block. `up` are the buckets that each validator can read meanwhile."""
        while self._next_task * self.rules.interval_blocks <= until:
            self._judge(up, equivocates=self._rng.random() < _EQUIVOCATES)

    def _judge(self, up: Sequence[int], *, equivocates: bool) -> None:
        """Let the validators whose turn comes judge the next task, until one sees that another has."""
        task, rules, count = self._next_task, self.rules, len(self.validators)
        self._next_task += 1
        rows, papers = self.miners.judged(rules.clips), self.by_task.setdefault(task, [])
        for validator in failover_order(task, count):
            turn_blocks = own_turn_blocks(task, validator, count, rules.interval_blocks, rules.grace_blocks)
            if not turn_blocks:
                return
            if any(p.block < turn_blocks.start and up[validator] & p.served & 1 << p.author for p in papers):
                return
            if self._rng.random() < self._offline:
                continue
            block = turn_blocks.start + int(self._rng.integers(10, 45))
            if validator == self.slow and self._rng.random() < _SLOW_IS_LATE:
                block += rules.grace
            lies = validator == self.liar and self._rng.random() < _FAVOURS
            own = favoured(rows) if lies or validator in self._colluders else rows
            papers.append(self._publish(task, validator, block, own, rows, self.buckets.everybody))
            if validator == self.equivocator and equivocates:
                self._equivocate(papers, rows)

    def _equivocate(self, papers: list[Paper], rows: Sequence[JudgedRow]) -> None:
        """Show a second verdict of the same task, with other scores, to some validators in place of the first."""
        first, everybody = papers[-1], self.buckets.everybody
        others = [v for v in range(len(self.validators)) if v != first.author]
        misled = self._rng.permutation(others)[: int(self._rng.integers(1, len(others)))]
        shown = sum(1 << int(v) for v in misled)
        first.shown = everybody & ~shown
        assert first.verdict is not None
        task, stated = first.verdict.task, favoured(rows)
        papers.append(self._publish(task, first.author, first.block, stated, rows, shown))
        self.equivocations += 1

    def _publish(
        self,
        task: int,
        validator: int,
        block: int,
        stated: Sequence[JudgedRow],
        measured: Sequence[JudgedRow],
        shown: int,
    ) -> Paper:
        digest = digest_of(f"{task}:{validator}:{len(self.by_task[task])}")
        competition = self.rules.competitions[0]
        verdict = Verdict(
            task,
            self.validators[validator],
            block,
            digest_of(f"block {task}"),
            self._allowlist,
            self.rules.digest,
            {competition: digest_of(f"set {task}")},
            {competition: UNPROCESSED},
            tuple(stated),
        )
        honest = replace(verdict, rows=tuple(measured))
        if stated != measured:
            self.favourites.add(stated[0].hotkey)
        paper = Paper(digest, validator, block, shown, verdict=verdict, honest=honest)
        self.by_digest[digest] = paper
        self.buckets.publish(paper)
        return paper

    def forget_before(self, block: int) -> None:
        """Drop the tasks that are over before a block."""
        for task in [task for task in self.by_task if (task + 1) * self.rules.interval_blocks <= block]:
            for paper in self.by_task.pop(task):
                del self.by_digest[paper.digest]


def digest_of(text: str) -> str:
    """The SHA-256 that stands for an object of the simulation."""
    return hashlib.sha256(text.encode()).hexdigest()
