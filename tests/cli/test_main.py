"""Every command answers, and the list is what there is."""

from __future__ import annotations

import pytest

from soundsright.cli.main import COMMANDS, cli, run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, [name, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_an_unknown_command_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["sing"]) == 2
    assert "sing" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["--version"]) == 0
    assert "soundsright, version" in capsys.readouterr().out
