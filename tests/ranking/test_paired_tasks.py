"""The paired test over tasks in windows of any size."""

from __future__ import annotations

import numpy as np

from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.ranking.paired_tasks import lead_p_values, task_factors
from soundsright.ranking.verdict_table import units


def test_a_clear_lead_is_certain_also_in_a_window_of_thousands_of_tasks() -> None:
    counts = list(range(201, 301))
    by = np.repeat(np.arange(len(counts)), counts)
    differences = units(np.ones((1, len(by))))
    counted = np.ones_like(differences, dtype=np.bool_)
    assert lead_p_values(SOUNDSRIGHT_V5, differences, counted, by)[0] < 1e-6


def test_every_validator_weighs_the_same_within_a_millionth() -> None:
    counts = list(range(331, 351))
    totals = [factor * count for factor, count in zip(task_factors(counts), counts, strict=True)]
    assert max(totals) / min(totals) < 1 + 1e-5
    assert task_factors([3, 0, 2]) == (2, 0, 3)
