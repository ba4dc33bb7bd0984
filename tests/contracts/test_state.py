"""One suite for every `State`: SQLite, PostgreSQL and the fake."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soundsright.adapters.state.store import SqlState
from soundsright.core.ports import TitleRow
from soundsright.core.results import ClipResult, Failure
from soundsright.testing import MemoryState

SCORED = ClipResult("clip1", scores={"PESQ_WB": 1.0 / 3.0, "ESTOI": -0.25})
State = SqlState | MemoryState
Reopen = Callable[[], State]

FAILED = ClipResult("clip0", failure=Failure("crashed", "The process ended (exit status 139) – naïvely"))


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    """A function that opens the same state again, as a restarted validator does."""
    if request.param == "memory":
        memory = MemoryState()
        yield lambda: memory
        return
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'state.db'}"
    else:
        url = request.getfixturevalue("postgres_url")

    opened: list[SqlState] = []

    def open_state() -> State:
        opened.append(SqlState(url))
        return opened[-1]

    yield open_state
    for state in opened:
        state.close()


@pytest.fixture
def state(reopen: Reopen) -> State:
    return reopen()


def test_a_round_keeps_the_facts_that_were_recorded_first(state: State, reopen: Reopen) -> None:
    assert state.begin_round("r1", {"seed": 7, "competitions": ["A", "B"]}) == {
        "seed": 7,
        "competitions": ["A", "B"],
    }
    assert state.begin_round("r1", {"seed": 8}) == {"seed": 7, "competitions": ["A", "B"]}
    assert reopen().round_facts("r1") == {"seed": 7, "competitions": ["A", "B"]}
    assert state.round_facts("r2") is None


def test_rounds_come_in_the_order_of_their_beginning(state: State, reopen: Reopen) -> None:
    for name in ("r2", "r10", "r1"):
        state.begin_round(name, {})
    state.begin_round("r2", {})
    assert reopen().rounds() == ("r2", "r10", "r1")


def test_a_step_is_done_once(state: State, reopen: Reopen) -> None:
    state.begin_round("r1", {})
    assert state.step_done("r1", "fetched:5") is None
    state.finish_step("r1", "fetched:5", {"hash": "abc", "bytes": 12})
    state.finish_step("r1", "fetched:5", {"hash": "other"})
    assert reopen().step_done("r1", "fetched:5") == {"hash": "abc", "bytes": 12}


def test_an_empty_step_differs_from_a_missing_one(state: State) -> None:
    state.begin_round("r1", {})
    state.finish_step("r1", "done", {})
    assert state.step_done("r1", "done") == {}


def test_steps_belong_to_their_round(state: State) -> None:
    state.begin_round("r1", {})
    state.begin_round("r2", {})
    state.finish_step("r1", "b", {"n": 1})
    state.finish_step("r1", "a", {"n": 2})
    assert state.step_done("r2", "a") is None
    assert list(state.steps("r1").items()) == [("a", {"n": 2}), ("b", {"n": 1})]
    assert state.steps("r2") == {}


def test_clip_results_come_back_exactly_and_in_order(state: State, reopen: Reopen) -> None:
    state.begin_round("r1", {})
    state.add_clip_results("r1", "5-hk", [SCORED, FAILED])
    assert reopen().clip_results("r1", "5-hk") == (FAILED, SCORED)
    assert state.clip_results("r1", "6-hk") == ()
    assert state.entries_with_results("r1") == ("5-hk",)


def test_a_clip_that_is_recorded_again_keeps_its_first_result(state: State) -> None:
    state.begin_round("r1", {})
    state.add_clip_results("r1", "e", [SCORED])
    state.add_clip_results("r1", "e", [ClipResult("clip1", scores={"PESQ_WB": 4.0}), FAILED])
    assert state.clip_results("r1", "e") == (FAILED, SCORED)


def test_an_empty_list_of_clips_is_accepted(state: State) -> None:
    state.begin_round("r1", {})
    state.add_clip_results("r1", "e", [])
    assert state.clip_results("r1", "e") == ()


def test_many_clips_fit_in_one_call(state: State) -> None:
    state.begin_round("r1", {})
    many = [ClipResult(f"clip{i:05d}", scores={"ESTOI": i / 7}) for i in range(3_000)]
    state.add_clip_results("r1", "e", reversed(many))
    assert state.clip_results("r1", "e") == tuple(many)


def test_steps_and_clips_need_a_begun_round(state: State) -> None:
    with pytest.raises(ValueError, match="not begun"):
        state.finish_step("nowhere", "step", {})
    with pytest.raises(ValueError, match="not begun"):
        state.add_clip_results("nowhere", "e", [SCORED])


def test_facts_that_are_not_finite_are_refused(state: State) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        state.begin_round("r1", {"mean": float("nan")})
    assert state.rounds() == ()


def test_a_lease_is_held_by_one(state: State, reopen: Reopen) -> None:
    other = reopen()
    assert state.take_lease("validator", "a", now_s=100.0, duration_s=60.0)
    assert not other.take_lease("validator", "b", now_s=159.0, duration_s=60.0)
    assert other.lease_holder("validator", now_s=159.0) == "a"
    assert state.take_lease("validator", "a", now_s=150.0, duration_s=60.0)
    assert not other.take_lease("validator", "b", now_s=209.0, duration_s=60.0)


def test_a_lease_that_ran_out_is_taken_over(state: State, reopen: Reopen) -> None:
    other = reopen()
    assert state.take_lease("validator", "a", now_s=100.0, duration_s=60.0)
    assert other.take_lease("validator", "b", now_s=160.0, duration_s=60.0)
    assert not state.take_lease("validator", "a", now_s=161.0, duration_s=60.0)
    assert state.lease_holder("validator", now_s=221.0) is None


def test_only_its_holder_gives_a_lease_back(state: State) -> None:
    assert state.take_lease("validator", "a", now_s=100.0, duration_s=60.0)
    state.release_lease("validator", "b")
    assert state.lease_holder("validator", now_s=101.0) == "a"
    state.release_lease("validator", "a")
    assert state.take_lease("validator", "b", now_s=101.0, duration_s=60.0)


def test_old_rounds_are_forgotten_with_all_that_belongs_to_them(state: State) -> None:
    for name in ("r1", "r2", "r3"):
        state.begin_round(name, {})
        state.finish_step(name, "step", {})
        state.add_clip_results(name, "e", [SCORED])
    assert state.forget_rounds(keep=1) == ("r1", "r2")
    assert state.rounds() == ("r3",)
    assert state.clip_results("r2", "e") == ()
    assert state.clip_results("r3", "e") == (SCORED,)
    assert state.forget_rounds(keep=1) == ()
    with pytest.raises(ValueError, match="at least one"):
        state.forget_rounds(keep=0)


def title(round_id: str, metric: str = "ESTOI", hotkey: str | None = "alice", competition: str = "A") -> TitleRow:
    return TitleRow(competition, metric, round_id, None if hotkey is None else {"hotkey": hotkey, "mean": 1 / 3})


def decided(state: State, round_id: str, *titles: TitleRow) -> None:
    state.begin_round(round_id, {})
    state.finish_step(round_id, "decide:A", {}, titles=titles)


def test_the_latest_title_of_each_metric_counts(state: State, reopen: Reopen) -> None:
    decided(state, "r1", title("r1"), title("r1", "PESQ_WB", "bob"), title("r1", competition="B"))
    decided(state, "r2", title("r2", hotkey="carol"))
    state.begin_round("r3", {})
    assert reopen().titles("A", before="r3") == (title("r2", hotkey="carol"), title("r1", "PESQ_WB", "bob"))
    assert state.titles("C", before="r3") == ()


def test_a_title_without_a_champion_hides_the_one_before(state: State) -> None:
    decided(state, "r1", title("r1"))
    decided(state, "r2", title("r2", hotkey=None))
    assert state.titles("A", before="r3") == (title("r2", hotkey=None),)


def test_a_round_sees_the_titles_of_the_rounds_before_it_only(state: State) -> None:
    for round_id in ("r1", "r2", "r3"):
        decided(state, round_id, title(round_id))
    assert state.titles("A", before="r1") == ()
    assert state.titles("A", before="r3") == (title("r2"),)
    assert state.titles("A", before="never begun") == (title("r3"),)


def test_a_title_is_recorded_once(state: State, reopen: Reopen) -> None:
    decided(state, "r1", title("r1"))
    decided(state, "r1", title("r1", hotkey="mallory"), title("r1", "PESQ_WB"))
    assert reopen().titles("A", before="r2") == (title("r1"), title("r1", "PESQ_WB"))


def test_titles_and_their_step_are_recorded_together(state: State) -> None:
    state.begin_round("r1", {})
    broken = TitleRow("A", "ESTOI", "r1", {"mean": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        state.finish_step("r1", "decide:A", {}, titles=[title("r1"), broken])
    assert state.step_done("r1", "decide:A") is None
    assert state.titles("A", before="r2") == ()


def test_titles_outlive_the_rounds_that_are_forgotten(state: State) -> None:
    decided(state, "r1", title("r1"))
    decided(state, "r2")
    assert state.forget_rounds(keep=1) == ("r1",)
    assert state.titles("A", before="r2") == (title("r1"),)


def test_scopes_share_nothing(state: State, reopen: Reopen) -> None:
    other = reopen().scoped("another organiser")
    assert state.begin_round("r1", {"seed": 1}) == {"seed": 1}
    assert other.begin_round("r1", {"seed": 2}) == {"seed": 2}
    decided(state, "r1", title("r1"))
    state.add_clip_results("r1", "e", [SCORED])
    assert other.step_done("r1", "decide:A") is None
    assert other.steps("r1") == {}
    assert other.clip_results("r1", "e") == ()
    assert other.entries_with_results("r1") == ()
    assert other.titles("A", before="r2") == ()
    decided(other, "r1", title("r1", hotkey="bob"))
    other.add_clip_results("r1", "e", [FAILED])
    other.begin_round("r2", {})
    assert other.forget_rounds(keep=1) == ("r1",)
    assert reopen().rounds() == ("r1",)
    assert state.clip_results("r1", "e") == (SCORED,)
    assert state.titles("A", before="r2") == (title("r1"),)
    assert other.titles("A", before="r3") == (title("r1", hotkey="bob"),)
    assert reopen().scoped("another organiser").rounds() == ("r2",)
    assert state.take_lease("validator", "a", now_s=100.0, duration_s=60.0)
    assert other.take_lease("validator", "b", now_s=110.0, duration_s=60.0)
    other.release_lease("validator", "b")
    assert state.lease_holder("validator", now_s=120.0) == "a"


def test_a_round_of_another_scope_has_not_begun_here(state: State) -> None:
    state.begin_round("r1", {})
    with pytest.raises(ValueError, match="not begun"):
        state.scoped("another organiser").finish_step("r1", "step", {})
    with pytest.raises(ValueError, match="not begun"):
        state.scoped("another organiser").add_clip_results("r1", "e", [SCORED])
