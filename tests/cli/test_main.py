"""Every command has a help with an example, and every error is one line with an exit code."""

from __future__ import annotations

import errno
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from soundsright.cli.main import COMMANDS, cli, run
from soundsright.cli.shared.packages import check_packages
from soundsright.core.errors import BundleRefused, UsageError


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Each command and each part of a group, at any depth, by its full name without `soundsright`."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield from with_parts(name, command)


def with_parts(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for part, child in command.commands.items():
            yield from with_parts(f"{name} {part}", child)


EVERY_COMMAND = dict(every_command())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_help_says(name: str) -> None:
    assert inspect.cleandoc(EVERY_COMMAND[name].help or "").split("\n\n")[0] == COMMANDS[name].summary


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_a_help_begins_with_an_imperative_and_an_example(name: str) -> None:
    first, example, *_ = inspect.cleandoc(EVERY_COMMAND[name].help or "").split("\n\n")
    assert re.fullmatch(r"[A-Z][a-z]+,? .*\.", first), first
    assert len(first) < 100
    assert re.search(rf"^soundsright {name.split()[0]}\b", example, re.MULTILINE), example


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_the_examples_have_the_options_that_the_command_has(name: str) -> None:
    example = inspect.cleandoc(EVERY_COMMAND[name].help or "").split("\n\n")[1]
    for line in re.findall(r"^soundsright (.*)", example, re.MULTILINE):
        words = shlex.split(line.partition(">")[0], comments=True)
        depth = max(n for n in range(1, len(words) + 1) if " ".join(words[:n]) in EVERY_COMMAND)
        called = EVERY_COMMAND[" ".join(words[:depth])]
        _values, left_over, _order = called.make_parser(click.Context(called)).parse_args(words[depth:])
        assert left_over == [], line


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_every_option_has_a_help_that_is_a_sentence(name: str) -> None:
    for parameter in EVERY_COMMAND[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            text = re.sub(r"\s*\[default: .*\]\s*$", "", parameter.help or "")
            assert re.fullmatch(r"\w.*\.\s*", text, re.DOTALL), (parameter.name, text)


def test_help_lists_the_commands_by_who_uses_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["--help"]) == 0
    page = capsys.readouterr().out
    sections = [page.index(f"\n{title}:\n") for title in ("Everyone", "Miners", "Validators", "Organisers")]
    assert sections == sorted(sections)
    assert all(re.search(rf"^  {name} ", page, re.MULTILINE) for name in COMMANDS)


def test_help_loads_no_command_and_no_slow_package() -> None:
    code = (
        "import sys; from soundsright.cli.main import cli, run; run(cli, ['--help']); "
        "slow = {'numpy', 'pydantic', 'rich', 'httpx', 'fastapi', 'soundfile', 'importlib.metadata', 'asyncio'}; "
        "loaded = {m for m in sys.modules if m.startswith('soundsright.cli.commands.')}; "
        "print(sorted(loaded | slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


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
    assert run(cli, ["scores"]) == 2
    assert capsys.readouterr().err == (
        "Error: No such command 'scores'. Did you mean score? Try: soundsright --help\n"
    )


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
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
            "Failed: /data/x.wav: No space left on device. Free some disk space, then run the command again.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/root/x"),
            1,
            "Failed: /root/x: Permission denied. Change its permissions, or give another path.",
        ),
        (
            OSError("odd\nand long"),
            1,
            "Failed: odd and long. Check that it exists and can be used, then run the command again.",
        ),
        (
            ModuleNotFoundError("No module named 'numba'", name="numba.core"),
            2,
            "Error: This command needs the package numba. Run `pip install soundsright`.",
        ),
        (MemoryError(), 1, "Failed: No memory is left. Close other programs, or use fewer --slots."),
        (UsageError("x is \x1b[2J", "Repair it."), 2, "Error: x is \\x1b[2J. Repair it."),
        (BundleRefused("a is not b", "Get it again."), 3, "Error: a is not b. Get it again."),
    ],
)
def test_an_error_is_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    assert run(raising(error), []) == code
    assert capsys.readouterr().err == f"{line}\n"


def test_a_missing_module_of_this_package_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError):
        run(raising(ModuleNotFoundError("x", name="soundsright.nowhere")), [])


@pytest.mark.parametrize(
    "arguments",
    [["compete", "--clips", "many"], ["compete", "--nope"], ["rules", "show", "a", "b"], ["db", "repair"]],
)
def test_a_wrong_option_is_one_line_that_names_the_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(cli, arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"Try: soundsright {arguments[0]}" in message.replace("pytest", "soundsright").replace(
        "cli ", "soundsright "
    )


def test_all_missing_packages_are_named_together() -> None:
    with pytest.raises(UsageError, match=r"are not installed: no_such_one, no_such_two.*pip install"):
        check_packages(["json", "no_such_one", "no_such_two"])
