"""Entries and evaluations with chosen scores."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from soundsright.core.competition import Competition, Task
from soundsright.core.groups import ClipGroups
from soundsright.core.results import ClipResult, Evaluation, Failure, Leaderboard
from soundsright.core.rulesets import Ruleset
from soundsright.core.sources import ModelRef
from soundsright.core.stopping import Stops
from soundsright.core.submission import Submission
from soundsright.ranking.champions import Champion
from soundsright.ranking.examined import Examined
from soundsright.ranking.leaderboard import decide

ONE_METRIC = Competition(Task.DENOISING, 16_000, {"PESQ_WB": 1.0}, 10.0, 4.0)
IN_DB = Competition(Task.DENOISING, 48_000, {"SI_SDR": 1.0}, 10.0, 4.0)
WITH_ARTEFACTS = Competition(Task.DENOISING, 48_000, {"SI_SDR": 0.5, "SI_SAR": 0.5}, 10.0, 4.0)
WITH_INTERFERENCE = Competition(Task.DENOISING, 48_000, {"SI_SDR": 0.5, "SI_SIR": 0.5}, 10.0, 4.0)
FLOORS = {"PESQ_WB": 1.0, "ESTOI": -1.0, "SI_SDR": -40.0, "SI_SIR": -40.0, "SI_SAR": -40.0}


def entry(
    uid: int, competition: Competition = ONE_METRIC, *, block: int | None = None, name: str | None = None
) -> Submission:
    return Submission(
        uid=uid,
        hotkey=f"hk{uid:03d}",
        competition=competition,
        source=ModelRef("ns", name or f"model{uid}", f"{uid % 16:x}" * 40),
        block=100 + uid if block is None else block,
    )


def evaluation(
    submission: Submission,
    scores: Mapping[str, Sequence[float] | NDArray[np.float64]],
    *,
    failing: Collection[int] = (),
) -> Evaluation:
    """`scores` by metric: one value per clip."""
    count = len(next(iter(scores.values())))
    clips = tuple(
        ClipResult(f"clip{i:04d}", failure=Failure("crashed", "ended"))
        if i in failing
        else ClipResult(f"clip{i:04d}", scores={metric: float(values[i]) for metric, values in scores.items()})
        for i in range(count)
    )
    return Evaluation(submission, "round", clips)


def spread(mean: float, *, clips: int = 40, seed: int = 0, sd: float = 0.3) -> NDArray[np.float64]:
    """Values with exactly that mean. With the same seed, the same clips are hard or easy."""
    values = np.random.default_rng(seed).normal(0.0, sd, clips)
    return np.asarray(values - values.mean() + mean)


def board(
    evaluations: list[Evaluation],
    champions: Mapping[str, Champion] | None = None,
    *,
    ruleset: Ruleset,
    baseline: float | Evaluation | None = 1.2,
    at_block: int = 10_000,
    copies: Mapping[str, int] | None = None,
    examined: Examined | None = None,
    groups: ClipGroups | None = None,
    stops: Stops | None = None,
) -> Leaderboard:
    """The leaderboard of a round; `baseline` is the unprocessed input's mean, or its evaluation, or None."""
    competition = evaluations[0].submission.competition if evaluations else ONE_METRIC
    if isinstance(baseline, float):
        metric = next(iter(competition.metric_weights))
        unprocessed = dataclasses.replace(entry(999, competition), uid=-1, hotkey="unprocessed")
        baseline = evaluation(unprocessed, {metric: spread(baseline, clips=len(evaluations[0].clips))})
    return decide(
        competition,
        "round",
        evaluations,
        champions or {},
        ruleset,
        baseline,
        floors=FLOORS,
        at_block=at_block,
        copies=copies,
        examined=examined,
        groups=groups,
        stops=stops,
    )
