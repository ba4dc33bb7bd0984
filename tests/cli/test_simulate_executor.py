"""`soundsright simulate --system executor` prints the periods and the totals, and fails for a planted mistake."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from soundsright.cli.main import cli, run


def test_it_prints_who_was_paid_and_that_validators_agree() -> None:
    done = CliRunner().invoke(cli, ["simulate", "--system", "executor", "--seed", "1", "--rounds", "6"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines[1:7]] == ["1", "2", "3", "4", "5", "6"]
    assert "Disagreements between validators: 0." in done.output
    assert any(line.startswith("Burned: ") for line in lines)
    assert lines[-1] == "1 passed, 0 failed"


def test_a_planted_mistake_ends_with_1_and_the_command_that_repeats_it() -> None:
    options = ["--system", "executor", "--rounds", "20", "--plant-mistake"]
    done = CliRunner().invoke(cli, ["simulate", *options])
    assert done.exit_code == 1
    assert "again: soundsright simulate --system executor --seed 0 --rounds 20 --plant-mistake" in done.output
    assert done.output.splitlines()[-1] == "0 passed, 1 failed"


def test_an_attack_is_not_played_on_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["simulate", "--system", "executor", "--attack", "list"]) == 2
    assert "Leave out --system executor" in capsys.readouterr().err


def test_rules_of_competitions_are_not_for_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["simulate", "--system", "executor", "--rules", "soundsright-v4"]) == 2
    assert "--rules is for competitions" in capsys.readouterr().err


def test_a_planted_mistake_that_changes_nothing_is_told() -> None:
    options = ["--system", "executor", "--seed", "1", "--rounds", "1", "--plant-mistake"]
    done = CliRunner().invoke(cli, ["simulate", *options])
    assert "Simulate more --rounds" in done.output
