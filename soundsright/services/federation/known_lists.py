"""The owner's lists of validators that held at some time. Blocks are counted, times are in seconds.

A list holds in an epoch if the owner was committed to it in the epoch's first block. A task has the list of its own
first block, so all validators know the same turns. A list that has held since an old block is known for all
epochs since then, without asking the chain for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from soundsright.core.errors import HistoryGone
from soundsright.core.federation_rules import FederationRules
from soundsright.core.ports import Bucket, Clock, LiveChain
from soundsright.ranking import epoch_block, lookback_tasks, own_turn_blocks
from soundsright.services.federation.allowlist import Allowlist, NoAllowlist, NoListReason, read_allowlist
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.task_facts import task_facts_of
from soundsright.services.federation.verdict import TaskFacts

ASK_AGAIN_S = 30.0
"""A list that could not be read is asked for again after so long."""


@dataclass(frozen=True)
class _Held:
    """A list that the owner was committed to from one block to another, without a commitment in between."""

    first_block: int
    last_block: int
    found: Allowlist


class Allowlists:
    """Reads the lists from the owner's bucket `source`, and keeps them. Use one thread."""

    def __init__(
        self, chain: LiveChain, source: Bucket, rules: FederationRules, contents: Contents, clock: Clock
    ) -> None:
        self._chain = chain
        self._source = source
        self._rules = rules
        self._contents = contents
        self._clock = clock
        self._held: list[_Held] = []
        self._failed: dict[int, tuple[float, NoAllowlist]] = {}

    def as_of(self, block: int) -> Allowlist | NoAllowlist:
        """The list that holds in a final block.

        Raises:
            ChainUnavailable: the chain does not answer.
            InfrastructureFault: this machine's disk fails.
        """
        epoch = epoch_block(block, self._rules.epoch_blocks)
        for held in self._held:
            if held.first_block <= epoch <= held.last_block:
                return held.found
        asked_s, failure = self._failed.get(epoch, (float("-inf"), None))
        if failure is not None and 0 <= self._clock.now() - asked_s < ASK_AGAIN_S:
            return failure
        found = self._read(epoch)
        if isinstance(found, NoAllowlist):
            self._failed[epoch] = self._clock.now(), found
        else:
            self._failed.pop(epoch, None)
            self._held.append(_Held(self._since(epoch), epoch, found))
        return found

    def of_task(self, task: int) -> Allowlist | NoAllowlist:
        """The list that gives the turns of a task. Raises as `as_of`."""
        return self.as_of(task * self._rules.interval_blocks)

    def _read(self, epoch: int) -> Allowlist | NoAllowlist:
        rules = self._rules
        try:
            return read_allowlist(
                self._chain,
                self._source,
                epoch,
                profile=rules.profile,
                interval=rules.interval_blocks,
                contents=self._contents,
            )
        except HistoryGone:
            return NoAllowlist(
                NoListReason.UNREADABLE,
                f"The chain no longer knows which list of validators held in block {epoch}.",
            )

    def _since(self, epoch: int) -> int:
        """The block of the owner's commitment that held in the epoch's block."""
        owner = self._chain.owner()
        commitments = self._chain.snapshot(epoch).commitments
        return next((each.block for each in commitments if each.hotkey == owner), epoch)


class TaskBook:
    """The facts of each task, to hold verdicts against them.

    `rules_digest` is that of `rules.digest_with`, and `ranges` are the `metric_ranges`.
    """

    def __init__(
        self,
        chain: LiveChain,
        rules: FederationRules,
        rules_digest: str,
        lists: Allowlists,
        ranges: Mapping[str, tuple[float, float]],
    ) -> None:
        self._chain = chain
        self._rules = rules
        self._rules_digest = rules_digest
        self._lists = lists
        self._ranges = ranges
        self._facts: dict[int, TaskFacts] = {}

    def facts(self, task: int) -> TaskFacts | None:
        """The facts of a task; None if no list of validators held, or the chain no longer knows its block.

        Raises:
            ChainUnavailable: the chain does not answer.
            InfrastructureFault: this machine's disk fails.
        """
        if task not in self._facts:
            allowlist = self._lists.of_task(task)
            if isinstance(allowlist, NoAllowlist):
                return None
            try:
                block_hash = self._chain.block_hash(task * self._rules.interval_blocks)
            except HistoryGone:
                return None
            self._facts[task] = task_facts_of(
                task,
                allowlist,
                self._rules,
                rules_digest=self._rules_digest,
                block_hash=block_hash,
                ranges=self._ranges,
            )
        return self._facts[task]

    def lookback(self, epoch: int) -> Mapping[int, TaskFacts]:
        """The facts of all tasks that can count in an epoch. Older ones are forgotten. Raises as `facts`."""
        tasks = lookback_tasks(epoch, self._rules)
        self._facts = {task: facts for task, facts in self._facts.items() if task >= tasks.start}
        found = {task: self.facts(task) for task in tasks}
        return {task: facts for task, facts in found.items() if facts is not None}

    def orders(self, epoch: int) -> dict[int, tuple[str, ...]]:
        """By task of `lookback`, the validators that have a turn, in its list's order. Raises as `facts`."""
        return {task: self.turns(facts) for task, facts in self.lookback(epoch).items()}

    def turns(self, facts: TaskFacts) -> tuple[str, ...]:
        """The validators that have a turn in a task, in their order."""
        rules, count = self._rules, len(facts.validators)
        blocks = {
            number: own_turn_blocks(facts.task, number, count, rules.interval_blocks, rules.grace_blocks)
            for number in range(count)
        }
        present = [number for number, turn_blocks in blocks.items() if turn_blocks]
        return tuple(facts.validators[number] for number in sorted(present, key=lambda each: blocks[each].start))
