"""Entries and evaluations with chosen scores."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from soundsright.core.competition import Competition, Task
from soundsright.core.results import ClipResult, Evaluation, Failure
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission

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
