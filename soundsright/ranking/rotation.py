"""The rotation of a federation: whose turn a block belongs to, whose verdict of a task counts, and which tasks do.

Blocks are counted, task t begins with block t x `interval`. Validators are numbered from 0 in the order of their
allowlist, which is sorted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from soundsright.core.federation_rules import FederationRules, effective_grace


@dataclass(frozen=True)
class Turn:
    """The turn that a block belongs to. `step` counts the validators that were silent before `sampler`."""

    task: int
    primary: int
    step: int
    sampler: int


def turn(block: int, validators: int, interval: int, grace: int = 0) -> Turn:
    """The turn that a block belongs to, among that many validators. A `grace` of 0 stands for half the interval.

    Raises:
        ValueError: the block or the grace is negative, or there is no validator or no interval.

    >>> turn(123_449, validators=4, interval=100)
    Turn(task=1234, primary=2, step=0, sampler=2)
    >>> turn(123_457, validators=4, interval=100, grace=20).sampler
    0
    """
    _check(block, validators, interval)
    task, offset = divmod(block, interval)
    step = min(offset // effective_grace(interval, grace), validators - 1)
    return Turn(task, task % validators, step, (task + step) % validators)


def failover_order(task: int, validators: int) -> tuple[int, ...]:
    """The order in which validators have their turn in a task.

    >>> failover_order(1234, 4)
    (2, 3, 0, 1)
    """
    _check(task, validators, 1)
    return tuple((task + step) % validators for step in range(validators))


def canonical_sampler(task: int, produced_by: Collection[int], validators: int) -> int | None:
    """The validator whose verdict of a task counts: the first in the order of turns that has one.

    >>> canonical_sampler(1234, {3, 1}, 4), canonical_sampler(1234, {1}, 4), canonical_sampler(1234, (), 4)
    (3, 1, None)
    """
    return next((validator for validator in failover_order(task, validators) if validator in produced_by), None)


def own_turn_blocks(task: int, validator: int, validators: int, interval: int, grace: int = 0) -> range:
    """The blocks of a task that are a validator's turn; empty if the task ends before.

    The last validator that gets a turn keeps it until the task ends.

    >>> own_turn_blocks(1234, 3, validators=4, interval=100), len(own_turn_blocks(1234, 0, 4, 100))
    (range(123450, 123500), 0)
    """
    _check(task, validators, interval)
    step = failover_order(task, validators).index(validator)
    first, end, turn_blocks = task * interval, (task + 1) * interval, effective_grace(interval, grace)
    begin = min(first + step * turn_blocks, end)
    return range(begin, end if step == validators - 1 else min(begin + turn_blocks, end))


def epoch_block(block: int, epoch_blocks: int) -> int:
    """The block of the epoch that a block belongs to.

    >>> epoch_block(123_457, 180)
    123300
    """
    _check(block, 1, epoch_blocks)
    return block // epoch_blocks * epoch_blocks


def lookback_tasks(epoch_block: int, rules: FederationRules) -> range:
    """The tasks that can count in an epoch: begun at or before its block, and not over before the lookback.

    >>> lookback_tasks(123_300, FederationRules())
    range(933, 1234)
    """
    _check(epoch_block, 1, rules.interval_blocks)
    first = max(epoch_block - rules.lookback_blocks, 0) // rules.interval_blocks
    return range(first, epoch_block // rules.interval_blocks + 1)


def window(produced: Iterable[int], epoch_block: int, rules: FederationRules) -> tuple[int, ...]:
    """The tasks that count in an epoch, oldest first. The newest `settle_margin` of `produced` do not count yet.

    >>> window([900, 932, 933, 1000, *range(1230, 1234)], 123_300, FederationRules())
    (933, 1000, 1230, 1231)
    """
    possible = lookback_tasks(epoch_block, rules)
    settled = sorted({task for task in produced if task in possible}, reverse=True)[rules.settle_margin :]
    return tuple(sorted(settled[: rules.window_tasks]))


def _check(block: int, validators: int, interval: int) -> None:
    if block < 0 or validators < 1 or interval < 1:
        raise ValueError(
            f"block {block} with {validators} validators and {interval} blocks a task is nobody's turn"
        )
