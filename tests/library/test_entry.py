"""`verify`: a model's folder, run the way a validator will."""

from __future__ import annotations

from pathlib import Path

import pytest

import soundsright
from tests.conftest import MakeModel

TEMPLATE = Path(__file__).resolve().parents[2] / "models" / "template"


def test_the_template_passes(tmp_path: Path) -> None:
    steps: list[str] = []
    result = soundsright.verify(TEMPLATE, clips=1, sandbox="process", on_step=lambda step: steps.append(step.name))
    assert result.passed
    assert steps == [step.name for step in result.steps]
    assert {"PESQ_WB", "ESTOI", "SI_SDR"} <= {row.metric for row in result.comparisons}


def test_a_model_that_crashes_gets_the_reason_and_the_remedy(make_model: MakeModel) -> None:
    result = soundsright.verify(make_model("raise SystemExit(3)").path, clips=1, sandbox="process")
    assert not result.passed
    assert result.reason
    assert result.remedy


def test_misuse_is_named(tmp_path: Path) -> None:
    with pytest.raises(soundsright.UsageError, match="There is no folder"):
        soundsright.verify(tmp_path / "none")
    with pytest.raises(soundsright.UsageError, match="0 sample clips is out of range"):
        soundsright.verify(TEMPLATE, clips=0)
    with pytest.raises(soundsright.UsageError, match="SEPARATION"):
        soundsright.verify(TEMPLATE, competition="SEPARATION", sandbox="process")
