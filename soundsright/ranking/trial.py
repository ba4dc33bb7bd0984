"""One round of simulated scores, for trying out rules.

Scores are drawn, not measured. Each clip is hard or easy for all entries, each entry is a little better or worse,
and the last entry fails on a tenth of the clips.
"""

from __future__ import annotations

import numpy as np

from soundsright.core.competition import Competition
from soundsright.core.results import ClipResult, Evaluation, Failure, Leaderboard
from soundsright.core.rulesets import Ruleset
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission
from soundsright.ranking.champions import Champion
from soundsright.ranking.leaderboard import decide

_AT_BLOCK = 30_000
_TITLE_BLOCK = 10_000

# Mean of the unprocessed input, spread over clips, gain of a good enhancer, and floor, as in published scores.
_TYPICAL = {
    "PESQ_WB": (1.5, 0.4, 1.0, 1.0),
    "ESTOI": (0.6, 0.15, 0.15, 0.0),
    "SI_SDR": (6.0, 5.0, 8.0, -40.0),
    "SI_SIR": (6.0, 5.0, 14.0, -40.0),
    "SI_SAR": (40.0, 5.0, -25.0, -40.0),
}


def trial_round(competition: Competition, ruleset: Ruleset, *, entries: int, clips: int, seed: int) -> Leaderboard:
    """The leaderboard of a simulated round, in which entry 0 is the champion of every metric.

    The same seed gives the same round.
    """
    rng = np.random.default_rng([seed, entries, clips, *competition.id.encode()])
    hardness = {metric: rng.standard_normal(clips) for metric in competition.metric_weights}
    talent = np.sort(rng.uniform(0.3, 1.0, entries))[::-1]
    rng.shuffle(talent[: min(entries, 3)])
    evaluations = [
        _evaluation(rng, competition, uid, hardness, float(talent[uid]), failing=uid > 0 and uid == entries - 1)
        for uid in range(entries)
    ]
    unprocessed = _evaluation(rng, competition, entries, hardness, 0.0, failing=False)
    champions = {
        metric: Champion(evaluations[0].submission, 0.0, _TITLE_BLOCK) for metric in competition.metric_weights
    }
    floors = {metric: _typical(metric)[3] for metric in (*competition.metric_weights, "SI_SDR")}
    return decide(
        competition, "trial", evaluations, champions, ruleset, unprocessed, floors=floors, at_block=_AT_BLOCK
    )


def _evaluation(
    rng: np.random.Generator,
    competition: Competition,
    uid: int,
    hardness: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]],
    talent: float,
    *,
    failing: bool,
) -> Evaluation:
    scores = {}
    for metric, hard in hardness.items():
        mean, spread, gain, floor = _typical(metric)
        noise = 0.1 * spread * rng.standard_normal(len(hard))
        scores[metric] = np.maximum(mean + talent * gain + spread * hard + noise, floor)
    submission = Submission(
        uid, f"entry-{uid}", competition, ModelRef("trial", f"model-{uid}", f"{uid:040x}"), _TITLE_BLOCK - 500 + uid
    )
    results = tuple(
        ClipResult(f"clip-{i:05d}", failure=Failure("timeout", "enhance took longer than 30 s"))
        if failing and i % 10 == 0
        else ClipResult(f"clip-{i:05d}", scores={metric: float(scores[metric][i]) for metric in scores})
        for i in range(len(next(iter(hardness.values()))))
    )
    return Evaluation(submission, "trial", results)


def _typical(metric: str) -> tuple[float, float, float, float]:
    return _TYPICAL.get(metric, (0.5, 0.1, 0.2, 0.0))
