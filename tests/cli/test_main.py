"""Every command answers, and the list is what there is."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import click
import pytest

from soundsright.cli.main import COMMANDS, cli, run
from soundsright.cli.shared.packages import check_packages
from soundsright.core.errors import UsageError


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, [name, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_the_readme_lists_every_command() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^soundsright ([\w-]+) ", readme, re.MULTILINE)
    assert set(listed) == set(COMMANDS)


def test_an_unknown_command_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["sing"]) == 2
    assert "sing" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["--version"]) == 0
    assert "soundsright, version" in capsys.readouterr().out


def raising(error: BaseException) -> click.Command:
    def body() -> None:
        raise error

    return click.Command("one", callback=body)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/x.wav"),
            1,
            "Failed: /data/x.wav: No space left on device. Free some disk space, then run again.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/root/x"),
            1,
            "Failed: /root/x: Permission denied. Change its permissions, or name another.",
        ),
        (OSError("odd\nand long"), 1, "Failed: odd and long. See that it exists and can be used, then run again."),
        (
            ModuleNotFoundError("No module named 'numba'", name="numba.core"),
            2,
            "Error: This needs the package numba. Run: pip install soundsright",
        ),
        (MemoryError(), 1, "Failed: No memory is left. Close other programs, or run with fewer --slots."),
        (UsageError("x is \x1b[2J", "Mend it."), 2, "Error: x is ?[2J. Mend it."),
    ],
)
def test_what_goes_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    assert run(raising(error), []) == code
    assert capsys.readouterr().err == f"{line}\n"


def test_a_module_of_our_own_that_is_missing_is_a_mistake_of_ours() -> None:
    with pytest.raises(ModuleNotFoundError):
        run(raising(ModuleNotFoundError("x", name="soundsright.nowhere")), [])


@pytest.mark.parametrize(
    "arguments",
    [["compete", "--clips", "many"], ["compete", "--nope"], ["rules", "show", "a", "b"], ["db", "mend"]],
)
def test_a_wrong_option_is_one_line_that_says_where_to_look(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(cli, arguments) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"Try: soundsright {arguments[0]}" in told.replace("pytest", "soundsright").replace(
        "cli ", "soundsright "
    )


def test_all_packages_that_are_missing_are_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"needs no_such_one, no_such_two, not installed.*pip install"):
        check_packages(["json", "no_such_one", "no_such_two"])
