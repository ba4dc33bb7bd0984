"""The start and the blocks of rounds: with late and missed blocks, and with wrong clocks."""

from dataclasses import replace
from typing import Any

import pytest

from soundsright.core.schedule import DAY_S, Round, Schedule

NINE = 9 * 3600
DAILY = Schedule(time_of_day_s=NINE, every_days=1, first_day=20_000, seed_delay_blocks=10, final_after_blocks=100)
START_S = 20_000 * DAY_S + NINE


def steady(number: int) -> int:
    """A block every 12 s; block 1000 comes 6 s before the first round starts."""
    return START_S - 6 + 12 * (number - 1000)


class TestStarts:
    def test_are_at_the_same_time_every_n_days(self) -> None:
        every_third = Schedule(time_of_day_s=NINE, every_days=3, first_day=20_000)
        assert [every_third.start_s(n) - START_S for n in range(3)] == [0, 3 * DAY_S, 6 * DAY_S]
        assert every_third.id_of(1) == "2024-10-07"

    def test_no_round_before_the_first(self) -> None:
        assert DAILY.last_started(START_S - 0.001) is None
        assert DAILY.last_started(START_S) == 0

    def test_a_summer_time_change_moves_nothing(self) -> None:
        # 2025-03-30 and 2025-10-26 are days of change in Europe: starts stay 24 h apart in UTC.
        for day in (20_177, 20_387):
            schedule = Schedule(time_of_day_s=NINE, every_days=1, first_day=day - 1)
            assert schedule.start_s(2) - schedule.start_s(1) == DAY_S
            assert schedule.start_s(1) % DAY_S == NINE

    def test_after_missed_starts_only_the_latest_round_is_due(self) -> None:
        assert DAILY.due(START_S + 5 * DAY_S + 60, last_done=1) == 5
        assert DAILY.due(START_S + 5 * DAY_S + 60, last_done=5) is None

    def test_a_clock_that_jumps_back_repeats_no_round(self) -> None:
        assert DAILY.due(START_S + 2 * DAY_S, last_done=4) is None

    def test_nothing_starts_after_the_last_day(self) -> None:
        ending = Schedule(time_of_day_s=NINE, every_days=2, first_day=20_000, last_day=20_005)
        assert ending.last_started(START_S + 100 * DAY_S) == 2

    @pytest.mark.parametrize(
        "numbers",
        [{"every_days": 0}, {"time_of_day_s": DAY_S}, {"last_day": 19_999}, {"seed_delay_blocks": 0}],
    )
    def test_a_schedule_without_rounds_cannot_be_built(self, numbers: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"\d"):
            Schedule(**{"time_of_day_s": NINE, "every_days": 1, "first_day": 20_000, **numbers})


class TestPlan:
    def test_closes_with_the_last_block_before_the_start(self) -> None:
        assert DAILY.plan(0, finalized=5_000, timestamp_s=steady) == Round("2024-10-04", 1000, 1010, 1110)

    def test_a_block_at_the_very_start_is_too_late(self) -> None:
        plan = DAILY.plan(0, finalized=5_000, timestamp_s=lambda n: START_S + 12 * (n - 1000))
        assert plan is not None
        assert plan.entries_close_block == 999

    def test_waits_for_a_finalised_block_past_the_start(self) -> None:
        assert DAILY.plan(0, finalized=1000, timestamp_s=steady) is None
        assert DAILY.plan(0, finalized=1001, timestamp_s=steady) is not None

    def test_is_the_same_at_any_later_time(self) -> None:
        plans = {DAILY.plan(0, finalized=finalized, timestamp_s=steady) for finalized in range(1001, 3000, 97)}
        assert len(plans) == 1

    def test_follows_late_blocks(self) -> None:
        def stalled(number: int) -> float:
            """No block came for an hour after block 990."""
            return steady(number) + (3600 if number > 990 else 0)

        plan = DAILY.plan(0, finalized=5_000, timestamp_s=stalled)
        assert plan is not None
        assert plan.entries_close_block == 990

    def test_on_a_chain_younger_than_the_schedule_closes_at_its_first_block(self) -> None:
        plan = DAILY.plan(0, finalized=50, timestamp_s=lambda n: START_S + DAY_S + 12 * n)
        assert plan is not None
        assert plan.entries_close_block == 0

    def test_reads_few_blocks_of_a_long_chain(self) -> None:
        blocks: list[int] = []

        def counted(number: int) -> float:
            blocks.append(number)
            return steady(number)

        DAILY.plan(0, finalized=10_000_000, timestamp_s=counted)
        assert len(blocks) < 40

    @pytest.mark.parametrize(
        ("blocks_since", "oldest"), [(1, 250), (30, 250), (250, 250), (251, 500), (400, 500), (30_000, 32_000)]
    )
    def test_reads_no_block_much_older_than_the_close(self, blocks_since: int, oldest: int) -> None:
        # A node that is not an archive keeps the state of its last 256 blocks.
        ages: list[int] = []

        def counted(number: int) -> float:
            ages.append(100_000 + blocks_since - number)
            return steady(number - 99_000)

        plan = DAILY.plan(0, finalized=100_000 + blocks_since, timestamp_s=counted)
        assert plan is not None
        assert plan.entries_close_block == 100_000
        assert max(ages) <= oldest


def test_results_cannot_be_final_before_the_seed() -> None:
    with pytest.raises(ValueError, match="final block 10"):
        Round("r", 1, 10, final_block=10)
    with pytest.raises(ValueError, match="seed block 5"):
        Round("r", 5, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every_days": 0}, "every_days is 0"),
        ({"first_day": -1}, "first_day -1"),
        ({"first_day": 21_921, "last_day": 21_550}, "last_day 2029-01-01 is before first_day 2030-01-07"),
    ],
)
def test_a_schedule_without_a_round_is_refused_with_the_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(DAILY, **change)
