"""Published rulesets stay as they are: digests, canonical JSON, and decisions on recorded rounds."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.golden_rounds import golden_rounds
from soundsright.core.rulesets import RULESETS, Ruleset

GOLDEN = Path(__file__).parents[1] / "golden" / "rounds.json"


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return dict(json.loads(GOLDEN.read_text(encoding="utf-8")))


@pytest.mark.parametrize("ruleset", RULESETS, ids=lambda r: r.name)
def test_a_published_ruleset_decides_as_it_did_when_it_was_published(
    ruleset: Ruleset, recorded: dict[str, Any]
) -> None:
    now = json.loads(json.dumps(golden_rounds(ruleset)))
    then = recorded[ruleset.name]
    assert now["canonical_json"] == then["canonical_json"]
    assert now["digest"] == then["digest"]
    for name, expected in then["rounds"].items():
        assert _shares(now["rounds"][name]) == _shares(expected), name  # to the last bit
        assert _rounded(now["rounds"][name]) == _rounded(expected), name


def _shares(board: dict[str, Any]) -> list[list[Any]]:
    return [[hotkey, metric, share] for hotkey, metric, share, *_ in board["standings"]]


def _rounded(value: Any) -> Any:
    """The value with floats to nine digits: libraries of mathematics differ in the last ones of a p-value."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return f"{value:.9g}" if isinstance(value, float) else value
