"""`soundsright simulate --system federation` counts disagreements, and fails for a planted mistake."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from soundsright.cli.main import cli, run


def test_it_prints_that_honest_validators_agree() -> None:
    done = CliRunner().invoke(cli, ["simulate", "--system", "federation", "--seed", "1", "--rounds", "20"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("seed 1: 7 validators, 20 epochs, ")
    assert "Epochs with disagreements between honest validators: 0 of 20." in done.output
    assert lines[-1] == "1 passed, 0 failed"


def test_a_planted_mistake_ends_with_1_and_the_command_that_repeats_it() -> None:
    done = CliRunner().invoke(cli, ["simulate", "--system", "federation", "--rounds", "30", "--plant-mistake"])
    assert done.exit_code == 1
    assert "again: soundsright simulate --system federation --seed 0 --rounds 30 --plant-mistake" in done.output
    assert done.output.splitlines()[-1] == "0 passed, 1 failed"


def test_an_attack_is_not_played_on_a_federation(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["simulate", "--system", "federation", "--attack", "list"]) == 2
    assert "Leave out --system federation" in capsys.readouterr().err
