"""A rival of a challenger cannot cost it the title by early stops, whatever the rival does on the later clips."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from soundsright.core.results import Evaluation, Leaderboard
from soundsright.core.rulesets import SOUNDSRIGHT_V4
from soundsright.core.stopping import EarlyStop, Stops
from soundsright.ranking.champions import Champion
from soundsright.ranking.cut import cut
from soundsright.ranking.looks import WholeSet, look_at, look_ends
from tests.ranking import builders
from tests.ranking.builders import FLOORS, ONE_METRIC, entry, evaluation

NOISES, PER_NOISE = 24, 3
CLIPS = NOISES * PER_NOISE
ORDER = tuple(f"clip{number:04d}" for number in range(CLIPS))
CLUSTERS = [f"noise-{number // PER_NOISE}" for number in range(CLIPS)]
FIRST_STAGE = 9 * PER_NOISE
HARD = np.random.default_rng(0).normal(2.3, 0.3, CLIPS)


def scores(lead: float, seed: int) -> list[float]:
    rng = np.random.default_rng([seed, 7])
    by_noise = np.repeat(rng.normal(0.0, 0.05, NOISES), PER_NOISE)
    return list(HARD + lead + by_noise + rng.normal(0.0, 0.03, CLIPS))


UNPROCESSED = evaluation(entry(99), {"PESQ_WB": scores(-0.8, 99)})
CHAMPION = evaluation(entry(1), {"PESQ_WB": scores(0.0, 1)})


def board(entries: list[Evaluation], champions: Mapping[str, Champion], stops: Stops | None) -> Leaderboard:
    return builders.board(
        entries, champions, ruleset=SOUNDSRIGHT_V4, baseline=UNPROCESSED, at_block=1_000, stops=stops
    )


def played(rows: list[Evaluation], champion: Evaluation | None) -> tuple[Leaderboard, Leaderboard]:
    """The boards of a round that may stop early, and of the same round on the whole set."""
    champions = {} if champion is None else {"PESQ_WB": Champion(champion.submission, 2.3, 0)}
    running, stopped = list(rows), list[tuple[EarlyStop, Evaluation]]()
    evidence: Mapping[str, float] = {}
    for end in look_ends(NOISES):
        order = ORDER[: end * PER_NOISE]
        now = [cut(each, frozenset(order)) for each in running]
        if end == NOISES:
            break
        look = look_at(
            ONE_METRIC,
            now,
            champions,
            SOUNDSRIGHT_V4,
            UNPROCESSED,
            order,
            CLUSTERS[: len(order)],
            floors=FLOORS,
            at_block=1_000,
            challengers=len(rows),
            whole=WholeSet(CLIPS, NOISES),
            stopped=stopped,
        )
        for each in now:
            if (out := look.ruled_out.get(each.submission.hotkey)) is not None:
                stopped.append((EarlyStop(each.submission.hotkey, len(order), CLIPS, end, out), each))
        running = [each for each in running if each.submission.hotkey not in look.ruled_out]
        if look.is_decided:
            now = [each for each in now if each.submission.hotkey not in look.ruled_out]
            evidence = look.evidence
            break
    stops = Stops(CLIPS, NOISES, len(order), end, tuple(stop for stop, _ in stopped), evidence)
    early = board([*now, *(each for _, each in stopped)], champions, stops)
    return early, board(rows, champions, None)


@pytest.mark.parametrize("seed", range(3))
def test_a_rival_that_is_a_little_better_and_crashes_later_does_not_cost_a_challenger_the_title(seed: int) -> None:
    """The rival is the model of the challenger, slightly better. It fails after the first look."""
    honest = scores(0.15, 200 + seed)
    better = np.array(honest) + np.abs(np.random.default_rng(seed).normal(0.001, 0.0003, CLIPS))
    challenger = evaluation(entry(2), {"PESQ_WB": honest})
    rival = evaluation(entry(3), {"PESQ_WB": list(better)}, failing=range(FIRST_STAGE, CLIPS))
    early, whole = played([CHAMPION, challenger, rival], CHAMPION)
    assert early.decisions[0].winner == whole.decisions[0].winner == challenger.submission


def test_without_a_champion_nobody_is_ruled_out() -> None:
    best = evaluation(entry(2), {"PESQ_WB": scores(0.4, 2)})
    worst = evaluation(entry(3), {"PESQ_WB": scores(-0.4, 3)})
    early, _ = played([best, worst], None)
    assert early.stops is not None
    assert (early.stops.stopped, early.stops.clips) == ((), CLIPS)


def test_a_challenger_far_behind_the_champion_still_stops() -> None:
    worst = evaluation(entry(3), {"PESQ_WB": scores(-0.3, 3)})
    early, whole = played([CHAMPION, worst], CHAMPION)
    assert early.stops is not None
    assert [stop.hotkey for stop in early.stops.stopped] == ["hk003"]
    assert early.decisions[0].winner == whole.decisions[0].winner == CHAMPION.submission
