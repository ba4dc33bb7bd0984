"""`soundsright init-model` and `soundsright verify`, as a miner uses them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from soundsright.cli.init_model import command as init_model
from soundsright.cli.main import run
from soundsright.cli.verify import command as verify
from soundsright.core.errors import UsageError


@pytest.mark.slow
def test_the_template_passes_at_once(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(init_model, [str(tmp_path / "mine")]).exit_code == 0
    result = runner.invoke(
        verify, [str(tmp_path / "mine"), "--clips", "1", "--sandbox", "process"], standalone_mode=False
    )
    assert result.return_value == 0, result.output
    assert "PASS" in result.output
    assert "PESQ_WB*" in result.output


def test_an_existing_folder_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    with pytest.raises(UsageError, match="not an empty folder"):
        init_model.main([str(tmp_path / "mine")], standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "No model is named"),
        (["nowhere"], "neither a folder nor in a hub"),
        ([".", "--competition", "SINGING_16000HZ"], "Unknown competition"),
        ([".", "--competition", "DENOISING_16000HZ", "--sample-rate", "48000"], "not at 48000 Hz"),
        ([".", "--model_namespace", "a"], "Name the model once"),
        (["a/b@" + "0" * 40, "--sandbox", "process"], "--trust"),
    ],
)
def test_misuse_is_one_line_with_the_remedy(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(verify, arguments) == 2
    assert says in capsys.readouterr().err


def test_the_published_scripts_flags_are_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model_namespace", "a", "--model_name", "b", "--model_revision", "0" * 40, "--sample_rate", "16000"]
    assert run(verify, flags) == 2
    assert f"a/b@{'0' * 40} is neither a folder nor in a hub" in capsys.readouterr().err
