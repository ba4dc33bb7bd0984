"""A machine whose libraries compute something else is noticed before it judges, and the library is named."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.cross import ONE_THREAD, variants
from soundsright.core.errors import UsageError
from soundsright.data import golden_clips
from soundsright.services.self_check import GOLDEN, check, check_machine, measured

VARIANTS = {variant.name: variant for variant in variants()}
CHECK = "from soundsright.services.self_check import check_machine; print(check_machine())"


def nudged(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with every real part of its result moved by one unit in the last place."""

    def other(*args: Any, **options: Any) -> Any:
        result = np.array(function(*args, **options))
        parts = result.view(result.real.dtype)
        parts[...] = np.nextafter(parts, np.asarray(np.inf, parts.dtype))
        return result

    return other


def version(name: str) -> str:
    return f"{name} {importlib.metadata.version(name)}"


def refusal() -> str:
    with pytest.raises(UsageError) as caught:
        check_machine()
    assert caught.value.exit_code == 2
    assert "Install the package versions that others use" in caught.value.remedy
    assert "same-bytes.md" in caught.value.remedy
    return caught.value.problem


@pytest.mark.parametrize(("machine", "named"), [("aarch64", True), ("x86_64", False)])
def test_a_refused_arm_names_a_target_of_the_makefile(
    machine: str, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import platform

    import soxr

    monkeypatch.setattr(soxr, "resample", nudged(soxr.resample))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(UsageError) as caught:
        check_machine()
    assert ("`make install-arm`" in caught.value.remedy) == named
    makefile = (Path(__file__).parents[3] / "Makefile").read_text(encoding="utf-8")
    assert "\ninstall-arm:" in makefile


def test_this_machine_can_judge() -> None:
    assert check_machine() == "The 12 golden clips and their scores are those of every validator"


def test_the_recorded_file_is_what_the_script_writes() -> None:
    recorded = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = measured()
    assert {part: found[part] for part in ("clips", "scores")} == {
        part: recorded[part] for part in ("clips", "scores")
    }
    assert set(recorded["traces"]) == {"numpy", "scipy", "soxr"}


def test_the_clips_have_every_task_and_rate_and_are_loud_enough() -> None:
    items = [item for _, item in golden_clips()]
    assert {(item.degraded, item.sample_rate_hz) for item in items} >= {
        (role, rate) for role in ("noisy", "reverberant") for rate in (16_000, 48_000)
    }
    assert len(items) == 2 * 2 * 3
    assert all(np.abs(samples.astype(int)).max() > 3_000 for item in items for samples in item.grid.values())


@pytest.mark.parametrize("name", ["numpy-plain", "plain"])
def test_other_instructions_can_judge(name: str) -> None:
    if name not in VARIANTS:
        pytest.skip(f"this processor or system cannot run the variant {name}")
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        env=os.environ | ONE_THREAD | dict(VARIANTS[name].environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout[:20]) == (0, "The 12 golden clips "), done.stderr


@pytest.mark.parametrize("function", ["rfft", "irfft"])
def test_a_transform_that_rounds_otherwise_is_named(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy import fft

    monkeypatch.setattr(fft, function, nudged(getattr(fft, function)))
    problem = refusal()
    assert problem.startswith("This machine cannot judge: it draws other clips than other validators (")
    assert problem.endswith(f"; {version('scipy')} computed something else")


def test_a_resampler_that_rounds_otherwise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import soxr

    monkeypatch.setattr(soxr, "resample", nudged(soxr.resample))
    problem = refusal()
    assert "the first is " in problem
    assert problem.endswith(f"; {version('soxr')} computed something else")


def test_a_measure_that_scores_otherwise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import pesq

    original = pesq.pesq
    monkeypatch.setattr(pesq, "pesq", lambda *args, **options: original(*args, **options) + 2e-6)
    assert refusal() == (
        f"This machine cannot judge: it computes other scores (PESQ_WB); {version('pesq')} computed something else"
    )


def test_a_transform_without_a_number_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy import fft

    monkeypatch.setattr(fft, "irfft", lambda spectrum, n=None, **_: np.full(n or 2, np.nan, np.float32))
    assert version("scipy") in refusal()


def test_a_library_that_differs_only_before_rounding_is_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Clips and scores decide. A trace only names the cause."""
    recorded = json.loads(GOLDEN.read_text(encoding="utf-8"))
    recorded["traces"]["numpy"] = "0" * 64
    monkeypatch.setattr(check, "GOLDEN", tmp_path / "golden.json")
    (tmp_path / "golden.json").write_text(json.dumps(recorded))
    assert check_machine().startswith("The 12")


@pytest.mark.parametrize("text", [None, "{", "[]", '{"clips": {}, "scores": {}, "traces": {}}', '{"clips": 1}'])
def test_a_damaged_record_is_no_permission(
    text: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(check, "GOLDEN", tmp_path / "golden.json")
    if text is not None:
        (tmp_path / "golden.json").write_text(text)
    with pytest.raises(UsageError, match=r"golden\.json"):
        check_machine()
