"""`soundsright executor demo` writes only to a folder of its own."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from soundsright.cli.commands.executor import demo
from soundsright.cli.main import cli, run
from soundsright.core.shipped import models_folder
from soundsright.library import organiser_of


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert run(cli, ["executor", "demo", "--out", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_rules_and_models_of_the_demo_can_be_used(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(demo._RULES)
    organiser = organiser_of(str(rules), begun=True)
    assert organiser.executor is not None
    assert organiser.emission.paying == {"executor": 1.0}
    assert all((models_folder() / name / "Dockerfile").is_file() for name in demo.MODELS)
    assert "both validators set" in CliRunner().invoke(cli, ["executor", "demo", "--help"]).output.replace(
        "\n", " "
    )
