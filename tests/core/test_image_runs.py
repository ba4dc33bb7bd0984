"""The deal of a set's clips to runs, which the coordinator and every executor must agree on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.image_runs import check_clips, clips_needed, clips_of_sets, dealt_runs


def durations(*seconds: float) -> dict[str, float]:
    return {f"c{number:03}": duration_s for number, duration_s in enumerate(seconds)}


def test_the_clips_go_to_warm_up_runs_first_then_to_scoring_runs_in_their_order() -> None:
    rules = ExecutorRules(warmup_runs=2, scoring_runs=3, run_audio_s=8)
    runs = dealt_runs(durations(*[4.0] * 11), rules)
    assert runs.warmups == (("c000", "c001"), ("c002", "c003"))
    assert runs.scoring == (("c004", "c005"), ("c006", "c007"), ("c008", "c009"))
    assert runs.scored_ids == ("c004", "c005", "c006", "c007", "c008", "c009")


def test_a_run_ends_where_its_audio_is_nearest_to_the_length_of_the_rules() -> None:
    rules = ExecutorRules(warmup_runs=0, scoring_runs=2, run_audio_s=10)
    # 8.5 s are 1.5 s short of 10, and half of the last clip is 2.25 s.
    assert dealt_runs(durations(4.0, 4.5, 30.0), rules).scoring == (("c000", "c001"), ("c002",))


@given(
    seconds=st.lists(st.floats(3.0, 6.0), min_size=56, max_size=70),
    warmups=st.integers(0, 2),
    scoring=st.integers(1, 5),
)
def test_the_needed_clips_always_fill_all_runs_and_no_clip_is_in_two(
    seconds: list[float], warmups: int, scoring: int
) -> None:
    rules = ExecutorRules(warmup_runs=warmups, scoring_runs=scoring)
    runs = dealt_runs(durations(*seconds[: clips_needed(rules)]), rules)
    assert (len(runs.warmups), len(runs.scoring)) == (warmups, scoring)
    dealt = [clip_id for run in (*runs.warmups, *runs.scoring) for clip_id in run]
    assert dealt == sorted(set(dealt))
    by_id = durations(*seconds)
    for run in runs.scoring:
        assert abs(sum(by_id[clip_id] for clip_id in run) - rules.run_audio_s) <= 6.0


def test_a_set_that_is_too_small_is_refused_with_the_number_of_clips_that_is_enough() -> None:
    rules = ExecutorRules()
    with pytest.raises(UsageError, match=r"20 clips with 90 s of audio fills 4 of 7 runs .* Draw 56 clips"):
        dealt_runs(durations(*[4.5] * 20), rules)
    with pytest.raises(UsageError, match=r"EXECUTOR_CLIPS of the coordinator is 55, which .* Set it to 56"):
        check_clips(55, rules)
    check_clips(56, rules)


def test_a_set_has_as_many_clips_as_the_runs_need_unless_the_coordinator_names_more() -> None:
    rules = ExecutorRules(warmup_runs=1, scoring_runs=3, run_audio_s=12)
    assert (clips_of_sets(0, rules), clips_of_sets(17, rules)) == (clips_needed(rules), 17)
    with pytest.raises(UsageError, match="EXECUTOR_CLIPS of the coordinator is 7"):
        clips_of_sets(7, rules)
    with pytest.raises(UsageError, match=r"\[executor\] need .* at most 10,000"):
        clips_of_sets(0, ExecutorRules(scoring_runs=100, run_audio_s=3_600))
