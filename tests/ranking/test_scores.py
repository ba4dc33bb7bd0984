"""Scores as arrays, and the test of a lead."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from soundsright.ranking.scores import score_table, superiority_p_values
from tests.ranking.builders import FLOORS, entry, evaluation


def test_failed_clips_and_missing_metrics_get_the_floor() -> None:
    table = score_table([evaluation(entry(1), {"PESQ_WB": [2.0, 3.0]}, failing={1})], ["PESQ_WB", "ESTOI"], FLOORS)
    assert table.by_metric["PESQ_WB"].tolist() == [[2.0, 1.0]]
    assert table.by_metric["ESTOI"].tolist() == [[-1.0, -1.0]]


def test_a_column_is_the_same_clip_for_all_entries() -> None:
    forward = evaluation(entry(1), {"PESQ_WB": [1.0, 2.0, 3.0]})
    backward = evaluation(entry(2), {"PESQ_WB": [1.0, 2.0, 3.0]})
    object.__setattr__(backward, "clips", backward.clips[::-1])
    table = score_table([forward, backward], ["PESQ_WB"], FLOORS)
    assert table.by_metric["PESQ_WB"].tolist() == [[1.0, 2.0, 3.0]] * 2


@pytest.mark.parametrize(
    ("scores", "message"),
    [({"PESQ_WB": []}, "has no clips"), ({"NEW": [1.0]}, "there is no floor for NEW")],
)
def test_an_empty_set_and_a_metric_without_floor_are_refused(scores: dict[str, Any], message: str) -> None:
    metric = next(iter(scores))
    with pytest.raises(ValueError, match=message):
        score_table([evaluation(entry(1), scores)], [metric], FLOORS)


def test_symmetric_differences_give_students_p_value() -> None:
    half = np.random.default_rng(0).normal(0, 1, 50)
    row = np.concatenate([half, -half]) + 0.2
    expected = ttest_1samp(row, 0, alternative="greater").pvalue
    assert superiority_p_values(row[None, :])[0] == pytest.approx(expected, rel=1e-9)


def test_up_to_twelve_clips_every_flip_of_signs_is_counted() -> None:
    values = superiority_p_values(np.array([[3.0, 1.0, 2.0, 5.0, 4.0]]))
    assert values.tolist() == [1 / 32]
    assert superiority_p_values(np.array([[0.0] * 5])).tolist() == [1.0]


@pytest.mark.parametrize("clips", [5, 40])
def test_equal_differences_are_decided_by_their_sign(clips: int) -> None:
    ahead, equal, behind = superiority_p_values(np.array([[0.1] * clips, [0.0] * clips, [-0.1] * clips]))
    assert ahead == 2.0**-clips
    assert equal == 1.0
    assert behind == 1.0


def test_a_long_left_tail_is_not_mistaken_for_a_lead() -> None:
    """A little better on most clips, far worse on a few, and a mean of zero. Student's t alone is too sure."""
    rng = np.random.default_rng(1)
    rows = np.exp(0.5) - rng.lognormal(0, 1, (4_000, 100))
    ours = (superiority_p_values(rows) <= 0.05).mean()
    student = (ttest_1samp(rows, 0, axis=1, alternative="greater").pvalue <= 0.05).mean()
    assert ours < 0.085 < 0.1 < student


@pytest.mark.parametrize("clips", [8, 20])
@pytest.mark.parametrize("size", [5e-324, 1e-200, 1e-110, 1e120, 1e200, 1.7e308])
def test_differences_beyond_the_range_of_numbers_have_a_p_value(clips: int, size: float) -> None:
    """Without one, Holm's correction would stop the round for everybody."""
    one, mixed = np.zeros(clips), np.full(clips, size)
    one[0] = size
    mixed[: clips // 2] *= -1
    with np.errstate(all="ignore"):
        p_values = superiority_p_values(np.array([one, mixed]))
    assert ((p_values > 0.05) & (p_values <= 1)).all()
