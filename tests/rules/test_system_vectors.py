"""The systems' rules against the worked examples of tests/golden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from soundsright.cli.main import cli
from soundsright.core.errors import UsageError
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.rules.vectors import check_vectors

GOLDEN = Path(__file__).parents[1] / "golden" / "systems.json"
BUILT = ("emission", "executor", "federation", "tiers")


@pytest.fixture(scope="module")
def examples() -> list[dict[str, Any]]:
    return list(json.loads(GOLDEN.read_text()))


@pytest.mark.parametrize("system", BUILT)
def test_a_system_reproduces_every_example(system: str, examples: list[dict[str, Any]]) -> None:
    mine = [example for example in examples if example["system"] == system]
    checks = check_vectors(SOUNDSRIGHT_V5, mine)
    assert len(checks) == len(mine) >= 16
    assert [check for check in checks if not check.passed] == []


def test_the_file_that_the_help_shows_passes_and_has_one_example_on_a_line(examples: list[dict[str, Any]]) -> None:
    assert {example["system"] for example in examples} == set(BUILT)
    result = CliRunner().invoke(cli, ["rules", "check", str(GOLDEN)])
    assert (result.exit_code, result.output) == (0, f"{len(examples)} passed, 0 failed\n")
    assert len(GOLDEN.read_text().splitlines()) == len(examples) + 2


def test_a_wrong_example_and_an_unknown_rule_fail(examples: list[dict[str, Any]]) -> None:
    wrong = next(dict(example) for example in examples if example["rule"] == "quality")
    wrong["expect"] = {"quality": wrong["expect"]["quality"] + 1e-5}
    unknown = {"system": "executor", "rule": "luck", "profile": "doc", "given": {}, "expect": {}}
    checks = check_vectors(SOUNDSRIGHT_V5, [wrong, unknown])
    assert [check.passed for check in checks] == [False, False]
    assert "no such rule" in checks[1].got


@pytest.mark.parametrize(
    "example", [3, {}, {"system": "emission", "rule": "combined", "profile": "doc", "expect": 1}]
)
def test_an_example_of_another_form_is_named(example: Any) -> None:
    with pytest.raises(UsageError, match="Example 0 cannot be read"):
        check_vectors(SOUNDSRIGHT_V5, [example])
