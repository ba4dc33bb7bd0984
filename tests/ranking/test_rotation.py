"""The turns of a federation, and the tasks that count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.core.errors import UsageError
from soundsright.core.federation import MAX_VIEW_TASKS
from soundsright.core.federation_rules import FederationRules
from soundsright.ranking import (
    Turn,
    canonical_sampler,
    epoch_block,
    failover_order,
    lookback_tasks,
    own_turn_blocks,
    turn,
    window,
)


def test_the_turn_passes_on_after_the_grace() -> None:
    assert turn(123_449, 4, 100) == Turn(1_234, 2, 0, 2)
    assert turn(123_450, 4, 100) == Turn(1_234, 2, 1, 3)
    assert turn(123_457, 4, 100, grace=20) == Turn(1_234, 2, 2, 0)


def test_the_first_producer_in_the_order_of_turns_counts() -> None:
    assert canonical_sampler(1_234, {3, 1}, 4) == 3
    assert canonical_sampler(1_234, {1}, 4) == 1
    assert canonical_sampler(1_234, (), 4) is None


def test_a_window_has_the_newest_tasks_that_are_settled() -> None:
    produced = set(range(900, 1_236)) - {1_200, 1_201, 1_210}
    epoch = epoch_block(123_457, 180)
    tasks = window(produced, epoch, FederationRules())
    assert (epoch, tasks[0], tasks[-1], len(tasks)) == (123_300, 1_129, 1_231, 100)


def test_a_window_goes_back_no_further_than_the_lookback() -> None:
    produced = [900, 932, 933, 1_000, 1_230, 1_231, 1_232, 1_233]
    assert window(produced, 123_300, FederationRules()) == (933, 1_000, 1_230, 1_231)
    assert window([0, 1], 180, FederationRules(settle_margin=0)) == (0, 1)
    assert window([0, 1], 180, FederationRules()) == ()


@given(
    st.integers(0, 10**7),
    st.integers(1, 20),
    st.integers(1, 200),
    st.integers(0, 250),
)
def test_every_block_is_the_turn_of_one_validator(block: int, validators: int, interval: int, grace: int) -> None:
    now = turn(block, validators, interval, grace)
    order = failover_order(now.task, validators)
    assert sorted(order) == list(range(validators))
    assert (order[0], order[now.step]) == (now.primary, now.sampler)
    holders = [v for v in range(validators) if block in own_turn_blocks(now.task, v, validators, interval, grace)]
    assert holders == [now.sampler]


@given(st.lists(st.integers(0, 2_000), max_size=300), st.integers(0, 200_000))
def test_the_order_of_produced_tasks_does_not_matter(produced: list[int], epoch: int) -> None:
    rules = FederationRules(window_tasks=20)
    tasks = window(produced, epoch, rules)
    assert tasks == window([*reversed(produced), *produced], epoch, rules)
    assert list(tasks) == sorted(set(tasks) & set(produced))
    assert all(task in lookback_tasks(epoch, rules) for task in tasks)
    assert len(tasks) <= rules.window_tasks


@pytest.mark.parametrize("wrong", [(-1, 4, 100, 0), (5, 0, 100, 0), (5, 4, 0, 0), (5, 4, 100, -1)])
def test_impossible_rotations_are_refused(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"cannot last|nobody's turn"):
        turn(*wrong)


def test_no_lookback_has_more_tasks_than_a_view_can_list() -> None:
    longest = FederationRules(interval_blocks=1, lookback_blocks=MAX_VIEW_TASKS - 1)
    assert len(lookback_tasks(10 * MAX_VIEW_TASKS, longest)) == MAX_VIEW_TASKS
    with pytest.raises(UsageError, match="is 10000 tasks or more"):
        FederationRules(interval_blocks=1, lookback_blocks=MAX_VIEW_TASKS)
