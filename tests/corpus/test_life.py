from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.core.errors import UsageError
from soundsright.corpus.life import Life, spread

LIVES = st.builds(
    lambda first, uses, more: Life(first, uses, uses + more),
    st.integers(0, 1_000),
    st.integers(1, 8),
    st.integers(0, 30),
)


@given(LIVES)
def test_each_round_draws_from_the_same_number_of_cohorts_and_one_is_fresh(life: Life) -> None:
    seen: set[int] = set()
    for number in range(life.first_round, life.last_round + 1):
        used, fresh = set(life.in_use(number)), set(life.fresh(number))
        assert len(used) == life.uses
        assert fresh == used - seen, "fresh cohorts are those that no earlier round used"
        assert len(fresh) == (life.uses if number == life.first_round else 1)
        seen |= used
    assert seen == set(range(life.cohorts)), "every recording is used before the corpus is used up"


@given(LIVES)
def test_a_cohort_retires_after_its_last_round_and_lives_for_the_uses_at_most(life: Life) -> None:
    rounds = range(life.first_round, life.last_round + 1)
    for cohort in range(life.cohorts):
        used_in = [number for number in rounds if cohort in life.in_use(number)]
        assert life.rounds_of(cohort) == range(min(used_in), max(used_in) + 1)
        assert life.retired_round_of(cohort) > max(used_in)
        assert len(used_in) <= life.uses
        assert used_in == list(range(min(used_in), max(used_in) + 1))


@given(LIVES, st.integers(1, 10))
def test_more_cohorts_change_no_earlier_round(life: Life, more: int) -> None:
    longer = Life(life.first_round, life.uses, life.cohorts + more)
    for number in range(life.first_round, life.last_round + 1):
        assert longer.in_use(number) == life.in_use(number)
        assert longer.fresh(number) == life.fresh(number)
    assert longer.last_round == life.last_round + more


@given(st.integers(1, 200), st.integers(1, 40))
def test_recordings_are_spread_evenly_and_in_order(count: int, cohorts: int) -> None:
    places = spread(count, cohorts)
    sizes = [places.count(cohort) for cohort in range(cohorts)]
    assert places == sorted(places)
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1


def test_a_round_outside_the_life_of_the_corpus_is_named_with_a_remedy() -> None:
    life = Life(first_round=10, uses=3, cohorts=5)
    with pytest.raises(UsageError, match=r"up to 12, and this is round 13\. .*corpus add.* --first-round 13"):
        life.in_use(13)
    with pytest.raises(UsageError, match="Round 9 lies before the corpus' first round, 10"):
        life.in_use(9)
    assert (life.rounds_left(9), life.rounds_left(12), life.rounds_left(13)) == (3, 1, 0)
