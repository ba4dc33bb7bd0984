"""Signs of entries tuned to a metric: honest systems show none, and each kind of evidence has its own flag."""

from __future__ import annotations

import numpy as np
import pytest

from soundsright.core.competition import Task
from soundsright.metrics.evidence import ClipEvidence
from soundsright.ranking.gaming import LEAST_CLIPS, HonestSystems, flags, shipped_honest_systems

METRICS = ("PESQ_WB", "ESTOI", "SI_SDR")


def honest_improvements(systems: int = 60) -> dict[str, list[float]]:
    """Systems of different quality. The quality moves all metrics, and each metric has its own noise."""
    rng = np.random.default_rng(0)
    quality = rng.uniform(0, 1, systems)
    return {
        "PESQ_WB": list(0.6 * quality + 0.03 * rng.standard_normal(systems)),
        "ESTOI": list(0.10 * quality + 0.005 * rng.standard_normal(systems)),
        "SI_SDR": list(7 * quality + 0.4 * rng.standard_normal(systems)),
    }


HONEST = HonestSystems.fitted(honest_improvements())


def codes(entry: dict[str, float], evidence: tuple[ClipEvidence, ...] = (), clips: int = LEAST_CLIPS) -> list[str]:
    noisy = {"PESQ_WB": [1.2] * clips, "ESTOI": [0.7] * clips, "SI_SDR": [5.0] * clips}
    scores = {name: [value + entry[name] for value in noisy[name]] for name in entry}
    return [flag.code for flag in flags(scores, noisy, evidence, honest=HONEST)]


def clip(deleted: float = 0.0, hallucinated: float = 0.0, likeness_to_input_db: float = 10.0) -> ClipEvidence:
    return ClipEvidence(deleted, hallucinated, likeness_to_input_db)


def test_no_honest_system_is_flagged() -> None:
    table = honest_improvements()
    for system in zip(*table.values(), strict=True):
        assert codes(dict(zip(table, system, strict=True))) == []


def test_pesq_that_rises_alone_is_flagged() -> None:
    assert codes({"PESQ_WB": 0.6, "ESTOI": 0.0, "SI_SDR": 0.0}) == ["metric_alone"]


def test_over_few_clips_metrics_are_not_compared_with_each_other() -> None:
    assert codes({"PESQ_WB": 0.6, "ESTOI": 0.0, "SI_SDR": 0.0}, clips=LEAST_CLIPS - 1) == []


def test_a_system_stronger_than_all_in_the_fit_is_not_flagged() -> None:
    assert codes({"PESQ_WB": 1.2, "ESTOI": 0.20, "SI_SDR": 14.0}) == []


def test_a_metric_that_fell_is_never_the_one_flagged() -> None:
    noisy = {"PESQ_WB": [1.2], "ESTOI": [0.7]}
    signs = flags({"PESQ_WB": [1.1], "ESTOI": [0.5]}, noisy, honest=HONEST)
    assert [flag for flag in signs if flag.code == "metric_alone"] == []


def test_the_regression_uses_the_metrics_that_are_available() -> None:
    assert codes({"PESQ_WB": 0.6, "ESTOI": 0.0}) == ["metric_alone"]
    assert codes({"PESQ_WB": 0.6}) == []


def test_each_kind_of_evidence_has_its_flag() -> None:
    fair = {"PESQ_WB": 0.3, "ESTOI": 0.05, "SI_SDR": 3.5}
    assert codes(fair, (clip(),) * 4) == []
    assert codes(fair, (clip(deleted=0.5),) * 4) == ["speech_deleted"]
    assert codes(fair, (clip(hallucinated=0.5),) * 4) == ["speech_invented"]
    assert codes(fair, (clip(likeness_to_input_db=60.0),) * 4) == ["copy_of_input"]


def test_the_surprise_is_the_residual_of_a_regression_in_its_deviations() -> None:
    table = honest_improvements(500)
    fit = HonestSystems.fitted(table)
    y, others = np.array(table["PESQ_WB"]), np.array([table["ESTOI"], table["SI_SDR"]])
    design = np.vstack([np.ones(500), others]).T
    weights = np.linalg.lstsq(design, y, rcond=None)[0]
    residual = y - design @ weights
    z = [fit.surprise({k: v[i] for k, v in table.items()})["PESQ_WB"] for i in range(500)]
    np.testing.assert_allclose(z, residual / residual.std(), rtol=0.02, atol=1e-9)


def test_a_fit_is_the_same_after_json() -> None:
    again = HonestSystems.from_json(HONEST.to_json())
    gains = {"PESQ_WB": 0.6, "ESTOI": 0.0, "SI_SDR": 0.0}
    assert again.surprise(gains) == pytest.approx(HONEST.surprise(gains), rel=1e-3)


def test_the_shipped_fit_covers_the_paid_metrics_at_16_khz() -> None:
    shipped = shipped_honest_systems(Task.DENOISING)
    assert shipped
    assert {"PESQ_WB", "ESTOI"} <= set(shipped.metrics)
    assert np.linalg.eigvalsh(shipped.covariance).min() > 0


def test_without_a_fit_metrics_are_not_compared_with_each_other() -> None:
    assert shipped_honest_systems(Task.DEREVERBERATION) is None
    scores, noisy = {"PESQ_WB": [4.0] * 10, "ESTOI": [0.1] * 10}, {"PESQ_WB": [1.0] * 10, "ESTOI": [0.1] * 10}
    assert [flag.code for flag in flags(scores, noisy, honest=HONEST)] == ["metric_alone"]
    assert flags(scores, noisy, honest=None) == ()


def test_too_few_systems_fit_nothing() -> None:
    with pytest.raises(ValueError, match="more systems"):
        HonestSystems.fitted({"A": [1.0, 2.0], "B": [1.0, 3.0]})


def test_scores_without_their_input_are_refused() -> None:
    with pytest.raises(ValueError, match="the entry has 2 clips, and the input 1"):
        flags({"STOI": [0.5, 0.6]}, {"STOI": [0.5]}, honest=HONEST)
