"""`soundsright tiers simulate` and `soundsright simulate --system tiers` play the same year."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

from soundsright.cli.main import cli, run


def play(*arguments: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(cli, list(arguments))
    return done.exit_code, [line for line in done.output.splitlines() if " intervals in " not in line]


def test_both_commands_print_the_ladder() -> None:
    own = play("tiers", "simulate", "--intervals", "60")
    assert own == play("simulate", "--system", "tiers", "--rounds", "60")
    code, lines = own
    assert code == 0
    assert lines[0].startswith("seed 0: 60 intervals (3 days), profile soundsright, 10800 attempts, digest ")
    rows = {line[2:22].strip(): line.split() for line in lines[2:11]}
    assert "Master" in rows["honest"]
    assert rows["better model"][-1] == "0.00%"
    assert lines[-1] == "1 passed, 0 failed"


def test_a_planted_mistake_ends_with_1_and_the_command_that_repeats_it() -> None:
    code, lines = play("tiers", "simulate", "--intervals", "300", "--plant-mistake")
    assert code == 1
    assert "    again: soundsright tiers simulate --seed 0 --intervals 300 --plant-mistake" in lines
    assert lines[-1] == "0 passed, 1 failed"


def test_the_documents_rules_are_shown_to_pay_a_prover_that_returns_the_input() -> None:
    code, lines = play("tiers", "simulate", "--intervals", "300", "--profile", "doc")
    assert code == 0
    row = next(line for line in lines if line.startswith("  input returned"))
    assert "Challenger" in row
    assert any("not asked of the profile doc" in line for line in lines)


def test_an_organisers_file_is_played(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = files("soundsright").joinpath("rulesets/published.toml").read_text()
    path = tmp_path / "rules.toml"
    path.write_text("[tiers]\nbank_clips = 30\n" + shipped)
    code, lines = play("tiers", "simulate", "--intervals", "20", "--rules", str(path))
    assert code == 0
    assert "5400 attempts" in lines[0]
    path.write_text(shipped)
    assert run(cli, ["tiers", "simulate", "--rules", str(path)]) == 2
    assert "has no table [tiers]" in capsys.readouterr().err
    assert run(cli, ["tiers", "simulate", "--rules", str(path), "--profile", "doc"]) == 2
    assert "Leave out --rules or --profile" in capsys.readouterr().err
