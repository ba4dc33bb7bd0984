"""A sandbox from another installed package: chosen by its name, wherever a sandbox is chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from soundsright.adapters.sandboxes import SANDBOX_PLUGINS, SandboxOptions, plugged_sandbox
from soundsright.config import ValidatorSettings, read_settings
from soundsright.core.errors import EngineUnavailable, UsageError
from soundsright.core.plugins import SANDBOX_GROUP
from soundsright.library.sandboxes import SandboxChoice, opened_sandbox
from tests.plugins import install_package

TRUSTED = SandboxOptions(trusted=True)
CODE = """
from soundsright.testing.fakes import Behaviour, FakeSandbox

def make(options):
    sandbox = FakeSandbox(lambda model: Behaviour())
    sandbox.options, sandbox.isolated = options, True
    return sandbox

def open_make(options):
    sandbox = make(options)
    sandbox.isolated = False
    return sandbox

def fail(options):
    raise OSError("no /dev/kvm")

def nothing(options):
    return None
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A function that installs a package with sandboxes: the function of `CODE` for each name."""

    def install_sandboxes(package: str, **functions: str) -> None:
        entry_points = {name: f"{package}:{function}" for name, function in functions.items()}
        install_package(tmp_path, monkeypatch, package, SANDBOX_GROUP, CODE, **entry_points)

    return install_sandboxes


def test_a_plugged_sandbox_gets_the_operators_options(install: Install) -> None:
    install("sandbox_good", microvm="make")
    sandbox: Any = opened_sandbox(SandboxChoice("microvm", trust=True), local=False, round_id="round-7")
    assert sandbox.isolated
    assert sandbox.options == SandboxOptions(None, True, None, "round-7")


def test_the_flag_and_the_setting_accept_its_name(install: Install) -> None:
    import click

    from soundsright.cli.shared.sandboxes import sandbox_options

    @click.command()
    @sandbox_options
    def show(sandbox: SandboxChoice) -> None:
        click.echo(sandbox.kind)

    install("sandbox_named", microvm="make")
    assert CliRunner().invoke(show, ["--sandbox", "microvm"]).output == "microvm\n"
    assert "'jail' is not one of 'auto'" in CliRunner().invoke(show, ["--sandbox", "jail"]).output
    settings = read_settings(ValidatorSettings, environment={"SOUNDSRIGHT_SANDBOX": "microvm"})
    assert str(settings.soundsright_sandbox) == "microvm"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"Unknown sandbox 'jail'.*auto, bubblewrap, docker, process"):
        opened_sandbox(SandboxChoice("jail"), local=True, round_id="r")


def test_a_sandbox_without_isolation_needs_trust(install: Install) -> None:
    install("sandbox_open", bare="open_make")
    with pytest.raises(UsageError, match=r"'bare' provides no isolation.*--trust"):
        plugged_sandbox("bare", SandboxOptions())
    assert not plugged_sandbox("bare", TRUSTED).isolated


def test_a_sandbox_that_cannot_be_made_is_named_with_its_error(install: Install) -> None:
    install("sandbox_failing", microvm="fail")
    with pytest.raises(EngineUnavailable, match=r"'microvm' cannot be made: OSError: no /dev/kvm"):
        plugged_sandbox("microvm", TRUSTED)


def test_an_object_that_is_no_sandbox_is_refused(install: Install) -> None:
    install("sandbox_nothing", microvm="nothing")
    with pytest.raises(
        UsageError,
        match=r"'microvm' made an object of type NoneType, which lacks isolated, name, prepare, run, stop",
    ):
        plugged_sandbox("microvm", TRUSTED)


def test_the_name_of_a_built_in_sandbox_is_refused(install: Install) -> None:
    install("sandbox_greedy", docker="make")
    with pytest.raises(UsageError, match="'docker', but that name is built in"):
        SANDBOX_PLUGINS.load("docker")
