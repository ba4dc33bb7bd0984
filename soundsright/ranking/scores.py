"""The scores of a set as arrays: one row per entry, one column per clip.

A clip that failed, or has no value of a metric, gets the metric's floor. Scores are in the metric's unit, higher is
better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.results import Evaluation

Scores = NDArray[np.float64]

EXACT_UP_TO_CLIPS = 12


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """`by_metric` has one array `(entries, clips)` per metric, with rows in the order of the evaluations."""

    clip_ids: tuple[str, ...]
    by_metric: Mapping[str, Scores]


def score_table(
    evaluations: Sequence[Evaluation], metrics: Sequence[str], floors: Mapping[str, float]
) -> ScoreTable:
    """The scores of all evaluations over the same clips.

    A failed clip gets the floor and is not skipped. Otherwise failing the hard clips would raise the mean.

    Raises:
        ValueError: if the set is empty, evaluations have different clips or one twice, or a metric has no floor.
    """
    missing = [metric for metric in metrics if metric not in floors]
    if missing:
        raise ValueError(f"there is no floor for {', '.join(missing)}")
    clip_ids = tuple(sorted(clip.clip_id for clip in evaluations[0].clips)) if evaluations else ()
    if evaluations and not clip_ids:
        raise ValueError(f"{evaluations[0].submission.entry_id} has no clips")
    if len(set(clip_ids)) != len(clip_ids):
        raise ValueError(f"{evaluations[0].submission.entry_id} has a clip twice")
    by_metric = {metric: np.empty((len(evaluations), len(clip_ids))) for metric in metrics}
    for row, evaluation in enumerate(evaluations):
        clips = sorted(evaluation.clips, key=lambda clip: clip.clip_id)
        if tuple(clip.clip_id for clip in clips) != clip_ids:
            raise ValueError(
                f"{evaluation.submission.entry_id} has {len(clips)} clips, which are not the set's {len(clip_ids)}"
            )
        for metric in metrics:
            floor = floors[metric]
            by_metric[metric][row] = [
                floor if clip.scores is None else clip.scores.get(metric, floor) for clip in clips
            ]
    return ScoreTable(clip_ids, by_metric)


def superiority_test(clips: int) -> str:
    """The name of the test that `superiority_p_values` uses for this number of clips.

    >>> superiority_test(12), superiority_test(13)
    ('exact sign-flip test', "t test with Hall's correction")
    """
    return "exact sign-flip test" if clips <= EXACT_UP_TO_CLIPS else "t test with Hall's correction"


def superiority_p_values(differences: Scores) -> NDArray[np.float64]:
    """One-sided p-values of each row's paired differences `(rows, clips)`: is the mean above zero?

    Up to 12 clips use the exact sign-flip test (Fisher 1935). More clips use the larger of two p-values: Student's
    paired t, and the same with Hall's correction for skewness (J. R. Statist. Soc. B 54, 1992). The correction is
    needed because a challenger that is a little better on most clips and far worse on a few has a long left tail.
    For it, Student's t alone gives much too small a p-value. The result is at least 2^-n for n clips, the least
    p-value of a sign-flip test. It uses no random numbers, so every validator gets the same value. Differences so
    large or small that their squares exceed the range of numbers prove nothing: the p-value is 1.

    >>> superiority_p_values(np.array([[1.0, 2.0, 3.0, 4.0], [1.0, -1.0, 2.0, -2.0]])).tolist()
    [0.0625, 0.625]
    """
    if differences.shape[1] <= EXACT_UP_TO_CLIPS:
        return p_values_by_flips(differences)
    return p_values_by_hall(differences)


def p_values_by_flips(differences: Scores) -> NDArray[np.float64]:
    """The exact sign-flip test, for few clips only: the part of all flips that give at least the observed sum."""
    clips = differences.shape[1]
    patterns = (np.arange(2**clips)[:, None] >> np.arange(clips)) & 1
    flipped = differences @ (1.0 - 2.0 * patterns.T)
    observed = differences.sum(axis=1, keepdims=True)
    # A sum that differs from the observed one only by rounding counts as equal.
    slack = 1e-9 * np.abs(differences).sum(axis=1, keepdims=True)
    exact: NDArray[np.float64] = (flipped >= observed - slack).mean(axis=1)
    return np.where(np.isfinite(flipped).all(axis=1) & np.isfinite(slack[:, 0]), exact, 1.0)


def p_values_by_hall(differences: Scores) -> NDArray[np.float64]:
    """The larger of Student's p-value and Hall's, whatever the number of clips: see `superiority_p_values`."""
    from scipy.special import stdtr

    clips = differences.shape[1]
    if clips < 2:
        return np.ones(len(differences))
    mean = differences.mean(axis=1)
    centred = differences - mean[:, None]
    variance = (centred**2).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        t = np.sqrt(clips - 1) * mean / np.sqrt(variance)
        skewness = (centred**3).mean(axis=1) / variance**1.5
        w = t / np.sqrt(clips)
        corrected = np.sqrt(clips) * (w + skewness * w**2 / 3 + skewness**2 * w**3 / 27 + skewness / (6 * clips))
        p: NDArray[np.float64] = np.maximum(stdtr(clips - 1, -t), stdtr(clips - 1, -corrected))
    # Equal differences have no spread, so only their sign decides.
    equal = np.ptp(differences, axis=1) == 0
    p = np.where(equal, np.where(mean > 0, 0.0, 1.0), np.where(np.isnan(p), 1.0, p))
    bounded: NDArray[np.float64] = np.maximum(p, 2.0**-clips)
    return bounded
