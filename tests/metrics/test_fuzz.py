"""The benchmarks' fuzzer on fewer outputs: each kind of hostile output at every rate."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FUZZER = Path(__file__).parents[2] / "benchmarks" / "fuzz_metrics.py"


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_metrics", FUZZER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_hostile_output_scores_inside_the_range(fuzzer: ModuleType) -> None:
    total, wrong, ranges = fuzzer.worst_of(seed=1, start=0, count=600)
    assert wrong == []
    assert total > 5_000
    assert set(ranges) == set(fuzzer.NAMES)


def test_the_sample_has_every_kind(fuzzer: ModuleType) -> None:
    assert {fuzzer.drawn(1, index)[0] for index in range(600)} == set(fuzzer.HOSTILE)


def test_one_entrants_broken_output_never_touches_anothers_score(fuzzer: ModuleType) -> None:
    names = ["STOI", "SI_SDR"]
    _, clean, _, noisy = fuzzer.drawn(1, 3)
    honest, _ = fuzzer.scored(clean, noisy.samples, noisy, names)
    for index in range(100):
        _, other, hostile, other_noisy = fuzzer.drawn(1, index)
        fuzzer.scored(other, hostile, other_noisy, names)
    assert fuzzer.scored(clean, noisy.samples, noisy, names)[0] == honest
