"""The published rules against the worked examples of tests/golden."""

import json
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import UsageError
from soundsright.core.rulesets import SOUNDSRIGHT_V2, SOUNDSRIGHT_V3, SOUNDSRIGHT_V4, Ruleset
from soundsright.rules.vectors import check_vectors

GOLDEN = Path(__file__).parents[1] / "golden" / "published_rules.json"


@pytest.fixture(scope="module")
def vectors() -> dict[str, list[dict[str, Any]]]:
    return dict(json.loads(GOLDEN.read_text()))


def test_v2_reproduces_every_published_example(vectors: dict[str, list[dict[str, Any]]]) -> None:
    checks = check_vectors(SOUNDSRIGHT_V2, vectors)
    assert [c for c in checks if not c.passed] == []
    # 200 margins; 60 x 3 rules; 60 rounds x (4 competitions x (winners, scores) + overall).
    assert len(checks) == 200 + 180 + 60 * 9


def test_v3_pays_differently(vectors: dict[str, list[dict[str, Any]]]) -> None:
    failed = [c for c in check_vectors(SOUNDSRIGHT_V3, vectors) if not c.passed]
    assert failed
    assert all(c.title.startswith("scoring") for c in failed)


def test_a_wrong_example_is_reported_with_both_values(vectors: dict[str, list[dict[str, Any]]]) -> None:
    wrong = {"margin": [{**vectors["margin"][0], "expected_beats": not vectors["margin"][0]["expected_beats"]}]}
    (check,) = check_vectors(SOUNDSRIGHT_V2, wrong)
    assert not check.passed
    assert check.expected != check.got


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, -1.0])
@pytest.mark.parametrize("ruleset", [SOUNDSRIGHT_V2, SOUNDSRIGHT_V3, SOUNDSRIGHT_V4])
def test_an_unusable_mean_does_not_affect_other_entries(ruleset: Ruleset, value: float | None) -> None:
    """Without care, one unusable value gives every entry NaN, or a negative share."""

    def entry(hotkey: str, block: int, average: float | None) -> dict[str, Any]:
        return {"hotkey": hotkey, "block": block, "metrics": {"PESQ": {"average": average}}}

    example = {
        "hotkeys": ["a", "b", "c"],
        "competitions": {
            "X": {
                "max_score": 10,
                "remainder": 2,
                "metric_proportions": {"PESQ": 1.0},
                "entries": [entry("a", 1, value), entry("b", 2, 2.0), entry("c", 3, 1.5)],
                "previous_winners": [],
            }
        },
        "expected": {
            "scores": {"X": [0.0, 10.0, 2.0 if ruleset is SOUNDSRIGHT_V2 else 1.0]},
            "winners": {"X": [["PESQ", "b"]]},
            "overall": [0.0, 10.0, 2.0 if ruleset is SOUNDSRIGHT_V2 else 1.0],
        },
    }
    assert all(check.passed for check in check_vectors(ruleset, {"scoring": [example]}))


@pytest.mark.parametrize("vectors", [[], {}, {"margin": "no"}, {"margin": [{}]}, {"scoring": [3]}])
def test_a_file_of_another_form_is_named(vectors: Any) -> None:
    with pytest.raises(UsageError):
        check_vectors(SOUNDSRIGHT_V2, vectors)


def test_v4_reproduces_its_own_examples_and_v3_does_not() -> None:
    examples = json.loads((GOLDEN.parent / "rules_v4.json").read_text())
    assert [c for c in check_vectors(SOUNDSRIGHT_V4, examples) if not c.passed] == []
    assert [c for c in check_vectors(SOUNDSRIGHT_V3, examples) if not c.passed] != []
