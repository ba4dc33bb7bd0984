"""Rounds decide on the scores that they publish, so differences below the rounding decide nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition
from soundsright.core.results import ClipResult, Evaluation, Leaderboard
from soundsright.core.rulesets import RULESETS, Ruleset
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission
from soundsright.metrics import floors, metric
from soundsright.ranking import decide
from soundsright.services.rounds import DECIDED_DECIMALS, decided_scores
from soundsright.services.rounds.scoring import decided_score

COMPETITION = PUBLISHED[0]
STEP = 10.0**-DECIDED_DECIMALS
CLIPS = 12


def board_of(ruleset: Ruleset, means: Sequence[float], noise: np.ndarray, competition: Competition) -> Leaderboard:
    """The decisions on scores that were rounded as a round rounds them. The first entry committed first."""

    def evaluation(number: int, mean: float, errors: np.ndarray) -> Evaluation:
        entry = Submission(number, f"hotkey-{number}", competition, ModelRef("n", f"m{number}", "0" * 40), number)
        clips = []
        for clip in range(CLIPS):
            scores = {}
            for name in competition.metric_weights:
                facts = metric(name)
                raw = facts.low + (facts.high - facts.low) * (0.3 + 0.4 * mean) + 0.01 * (clip % 5) + errors[clip]
                scores[name] = decided_score(raw, facts.low, facts.high)
            clips.append(ClipResult(f"{clip:06d}", scores))
        return Evaluation(entry, "r", tuple(clips))

    entries = [evaluation(number, mean, noise[number]) for number, mean in enumerate(means, 1)]
    unprocessed = evaluation(0, 0.0, np.zeros(CLIPS))
    names = tuple(competition.metric_weights)
    return decide(competition, "r", entries, {}, ruleset, unprocessed, floors=floors(names), at_block=100)


def facts_of(board: Leaderboard) -> tuple[Mapping[str, str | None], Mapping[str, float]]:
    winners = {d.metric: d.winner.hotkey if d.winner else None for d in board.decisions}
    return winners, {s.submission.hotkey: board.share_of(s.submission) for s in board.standings}


@pytest.mark.parametrize("ruleset", RULESETS, ids=lambda ruleset: ruleset.name)
@settings(max_examples=30, deadline=None)
@given(
    means=st.lists(st.integers(1, 40), min_size=2, max_size=5, unique=True),
    seed=st.integers(0, 2**32 - 1),
)
def test_errors_below_the_rounding_change_no_decision(ruleset: Ruleset, means: list[int], seed: int) -> None:
    exact = [mean / 40 for mean in means]
    # Other processors differ by less than 1e-9. No score of this grid is so close to the middle of two steps.
    errors = np.random.default_rng(seed).uniform(-1e-9, 1e-9, (len(means) + 1, CLIPS))
    assert facts_of(board_of(ruleset, exact, errors, COMPETITION)) == facts_of(
        board_of(ruleset, exact, np.zeros_like(errors), COMPETITION)
    )


@pytest.mark.parametrize("ruleset", RULESETS, ids=lambda ruleset: ruleset.name)
@pytest.mark.parametrize("sign", [-1, 1])
def test_entries_that_are_equal_after_rounding_tie_and_the_earlier_commitment_wins(
    ruleset: Ruleset, sign: int
) -> None:
    errors = np.zeros((3, CLIPS))
    errors[2] = sign * 0.3 * STEP
    winners, _ = facts_of(board_of(ruleset, [0.5, 0.5], errors, COMPETITION))
    assert set(winners.values()) == {"hotkey-1"}
    # One step more is a lead, without a champion to defend against it.
    errors[2] = STEP
    winners, _ = facts_of(board_of(ruleset, [0.5, 0.5], errors, COMPETITION))
    assert set(winners.values()) == {"hotkey-2"}


def test_the_scores_of_a_round_have_no_more_decimals_and_survive_json() -> None:
    rng = np.random.default_rng(3)
    clean = on_pcm16_grid(0.1 * rng.standard_normal(16_000))
    noisy = on_pcm16_grid(clean + 0.02 * rng.standard_normal(16_000))
    scores = decided_scores(Audio(clean, 16_000), Audio(noisy, 16_000), Audio(noisy, 16_000), ("SI_SDR", "ESTOI"))
    assert scores == {name: round(value, DECIDED_DECIMALS) for name, value in scores.items()}
    assert json.loads(json.dumps(scores)) == scores
