"""Rounds that stop early: whole noises in the seed's order, the same stops after a restart, and the reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.results import Leaderboard, PrizeReason
from soundsright.core.rulesets import SOUNDSRIGHT_V4
from soundsright.core.schedule import Round
from soundsright.core.stopping import EARLY_PART, Stopping
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import ClipSet
from soundsright.services.rounds.outcome import RoundOutcome
from soundsright.services.rounds.stages import clip_order
from soundsright.testing import Killed
from tests.services.rounds.subnet import COMPETITION, ROUND_ID, Subnet, replace_method

SEQUENTIAL = replace(COMPETITION, stopping=Stopping.SEQUENTIAL)
CLIPS = 24


def clip_set(noises: list[str | None], *, seed: int = 1, stopping: Stopping = Stopping.SEQUENTIAL) -> ClipSet:
    ids = [f"clip-{number:04d}" for number in range(len(noises))]
    return ClipSet(
        replace(COMPETITION, stopping=stopping),
        seed,
        Path("set"),
        dict.fromkeys(ids, "0"),
        {clip_id: {"speech": clip_id, "noise": noise} for clip_id, noise in zip(ids, noises, strict=True)},
        dict.fromkeys(ids, 1.0),
    )


CAROL = {COMPETITION.id: "carol"}


def run(subnet: Subnet, *, clips: int = CLIPS, incumbents: dict[str, str] = CAROL, **changes: Any) -> RoundOutcome:
    return subnet.run(
        rules=CompetitionRules((SEQUENTIAL,), SOUNDSRIGHT_V4),
        measures=measures(clips),
        incumbents=incumbents,
        **changes,
    )


def measures(clips: int) -> Measures:
    return Measures(clips, ("PESQ_WB", "ESTOI"), {"PESQ_WB": 0.0, "ESTOI": -1.0})


def run_full(subnet: Subnet) -> RoundOutcome:
    return subnet.run(
        rules=CompetitionRules((COMPETITION,), SOUNDSRIGHT_V4), measures=measures(CLIPS), incumbents=CAROL
    )


def next_round(subnet: Subnet) -> None:
    subnet.chain.advance(10)
    subnet.round = Round("round-2", subnet.chain.head().number, subnet.chain.advance(5).number)
    subnet.chain.advance(5)


def winners_and_shares(board: Leaderboard) -> list[object]:
    return [
        [(s.submission.hotkey, s.metric, s.share) for s in board.standings],
        [d.winner and d.winner.entry_id for d in board.decisions],
    ]


def reasons(board: Leaderboard) -> dict[str, str]:
    return {s.submission.hotkey: s.reason for s in board.standings if s.metric == "PESQ_WB"}


@pytest.fixture
def subnet(tmp_path: Path) -> Subnet:
    return Subnet(tmp_path)


def test_stages_have_whole_noises() -> None:
    order = clip_order(clip_set([f"noise-{number % 20}" for number in range(60)]), entries=3)
    stages = [{order.clusters[clip_id] for clip_id in part} for part in order.parts]
    assert sum(len(stage) for stage in stages) == 20  # no noise is in two stages
    assert [len(part) for part in order.parts] == [27, 6, 6, 6, 6, 6, 3]
    assert sorted(order.clips(len(order.parts))) == [f"clip-{number:04d}" for number in range(60)]


def test_the_seed_gives_the_order_of_the_noises() -> None:
    noises: list[str | None] = [f"noise-{number}" for number in range(20)]
    first, same, other = (clip_order(clip_set(noises, seed=seed), 3).parts for seed in (1, 1, 2))
    assert first == same != other


def test_clips_without_a_noise_are_their_own_witnesses() -> None:
    assert clip_order(clip_set([None] * 20), 3).witnesses(1) == 9


@pytest.mark.parametrize(
    ("noises", "entries", "why"),
    [
        (["rain", "wind"] * 30, 3, "The set has 2 noises or rooms. At least 12 are needed to stop early."),
        ([None] * 8, 3, "The set has 8 clips. At least 12 are needed to stop early."),
        ([None] * 60, 1, "There was no other entry to compare with."),
    ],
)
def test_where_nothing_can_be_ruled_out_all_run_on_the_whole_set(
    noises: list[str | None], entries: int, why: str
) -> None:
    order = clip_order(clip_set(noises), entries)
    assert (len(order.parts), order.whole) == (1, why)


def test_a_full_competition_runs_in_the_order_of_the_clips() -> None:
    clips = clip_set([None] * 20, stopping=Stopping.FULL)
    assert clip_order(clips, 3).parts == (clips.clip_ids,)


def test_entries_that_cannot_win_stop_early_and_are_told_why(subnet: Subnet) -> None:
    outcome = run(subnet)
    board, clips = (
        outcome.leaderboards[0],
        {e.submission.hotkey: len(e.clips) for e in outcome.evaluations[COMPETITION.id]},
    )
    assert clips["alice"] < CLIPS
    assert board.stops is not None
    assert [stop.hotkey for stop in board.stops.stopped] == ["alice", "bob"]
    assert reasons(board)["alice"].startswith(
        f"Shares in the remainder: stopped after {clips['alice']} of {CLIPS} clips: the lead over "
    )
    assert "is ruled out at 1%" in reasons(board)["alice"]
    assert {s.submission.hotkey: s.estimate.n for s in board.standings}["alice"] == clips["alice"]
    assert board.decisions[0].winner is not None
    assert board.decisions[0].winner.hotkey == "carol"
    assert board.decisions[0].sentence.endswith(f" It was decided after {board.stops.clips} of {CLIPS} clips.")


def test_the_winner_and_the_ranks_are_those_of_the_whole_set(subnet: Subnet, tmp_path: Path) -> None:
    stopped, full = run(subnet), run_full(Subnet(tmp_path / "full"))

    def ranks(outcome: RoundOutcome) -> list[tuple[str, str, int]]:
        board = outcome.leaderboards[0]
        return sorted((s.submission.hotkey, s.metric, s.rank) for s in board.standings)

    assert ranks(stopped) == ranks(full)


def test_a_beaten_champion_loses_its_title_early(tmp_path: Path) -> None:
    duel = Subnet(tmp_path, qualities=(0.4, 0.8))
    board = run(duel, incumbents={COMPETITION.id: "alice"}).leaderboards[0]
    decision = board.decisions[0]
    assert (decision.reason, decision.evidence["clips"]) == (
        PrizeReason.TAKEN,
        float(board.stops.clips if board.stops else 0),
    )
    assert float(decision.evidence["clips"]) < CLIPS
    assert float(decision.evidence["early_evidence"]) >= 1 / (0.05 * EARLY_PART / 2)
    assert decision.evidence["ruleset_digest"] == SOUNDSRIGHT_V4.digest


def test_a_champion_whose_challengers_all_stop_keeps_the_title(subnet: Subnet) -> None:
    board = run(subnet, incumbents={COMPETITION.id: "carol"}).leaderboards[0]
    assert board.decisions[0].reason is PrizeReason.CHALLENGERS_STOPPED
    assert "every challenger stopped early" in board.decisions[0].sentence
    assert board.stops is not None
    assert board.stops.ended_early


def test_a_first_round_without_a_champion_runs_whole_and_says_so(subnet: Subnet) -> None:
    board = run(subnet, incumbents={}).leaderboards[0]
    assert board.stops is not None
    assert board.stops.whole == "PESQ_WB has no champion, and only a champion rules others out."
    assert all(s.estimate.n == CLIPS for s in board.standings)


def with_model_of_the_champion(subnet: Subnet) -> None:
    """The champion's hotkey leaves, and another one enters its files."""
    subnet.chain.deregister("carol")
    del subnet.reveals["carol"]
    subnet.enter_content("dave", 0.8, "content-carol")


def with_a_new_repository_of_the_champion(subnet: Subnet) -> None:
    """The champion changes its source, and not its model."""
    del subnet.reveals["carol"]
    subnet.enter_content("carol", 0.8, "content-carol")


def with_a_copy_of_the_champion(subnet: Subnet) -> None:
    subnet.enter_content("dave", 0.8, "content-carol")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (with_model_of_the_champion, "PESQ_WB: the champion did not enter its model as it was"),
        (with_a_new_repository_of_the_champion, "PESQ_WB: the champion did not enter its model as it was"),
        (with_a_copy_of_the_champion, "PESQ_WB: the champion has copies"),
    ],
)
def test_where_it_is_unsure_who_defends_the_result_is_that_of_the_whole_set(
    subnet: Subnet, tmp_path: Path, change: Callable[[Subnet], None], why: str
) -> None:
    boards = []
    for own, play in ((subnet, run), (Subnet(tmp_path / "full"), run_full)):
        play(own)
        change(own)
        next_round(own)
        boards.append(play(own).leaderboards[0])
    early, full = boards
    assert early.stops is not None
    assert early.stops.whole.startswith(why)
    assert winners_and_shares(early) == winners_and_shares(full)


def test_a_small_set_runs_whole_and_says_so(subnet: Subnet) -> None:
    board = run(subnet, clips=8).leaderboards[0]
    assert board.stops is not None
    assert board.stops.whole == "The set has 8 clips. At least 12 are needed to stop early."
    assert all(s.estimate.n == 8 for s in board.standings)


def test_a_round_killed_at_any_look_reaches_the_same_result(subnet: Subnet, tmp_path: Path) -> None:
    expected = run(subnet)
    looks = [name for name in subnet.state.steps(ROUND_ID) if name.startswith("look:")]
    assert looks
    for name in looks:
        other = Subnet(tmp_path / name.replace(":", "-"))
        state, finish = other.state, other.state.finish_step

        def dying(
            round_id: str, step: str, *args: Any, dies_at: str = name, finish: Any = finish, **more: Any
        ) -> None:
            finish(round_id, step, *args, **more)
            if step == dies_at:
                raise Killed

        replace_method(state, "finish_step", dying)
        with pytest.raises(Killed):
            run(other)
        replace_method(state, "finish_step", finish)
        assert run(other).leaderboards == expected.leaderboards


def test_a_recorded_look_is_not_done_again(subnet: Subnet) -> None:
    run(subnet)
    record = steps.read(subnet.state, ROUND_ID, steps.look(COMPETITION.id, 1))
    assert record is not None
    assert steps.LookStep.of(record.facts()) == record
