"""Plug-ins from real packages, which each test writes onto the import path."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeGuard

import pytest

from soundsright.core.errors import UsageError
from soundsright.core.plugins import PluginGroup
from tests.plugins import install_package

Install = Callable[..., None]


def is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


WORDS = PluginGroup("soundsright.words", "word", "a text", is_text, built_in=("hello",))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A function that installs a package with one module and its entry points in the group of words."""
    return partial(_install, tmp_path, monkeypatch)


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, code: str, **entry_points: str) -> None:
    install_package(folder, monkeypatch, package, WORDS.group, code, **entry_points)


def test_without_packages_there_are_no_plugins() -> None:
    assert WORDS.names() == ()
    assert WORDS.load_all() == {}


def test_a_plugin_is_loaded_by_its_name(install: Install) -> None:
    install("plugin_good", "WORD = 'good day'", goodday="plugin_good:WORD")
    assert WORDS.names() == ("goodday",)
    assert WORDS.load("goodday") == "good day"
    assert WORDS.load_all() == {"goodday": "good day"}


def test_an_unknown_name_is_refused_with_the_known_names(install: Install) -> None:
    install("plugin_known", "WORD = 'x'", known="plugin_known:WORD")
    with pytest.raises(UsageError, match=r"Unknown word 'ahoy'.*hello, known.*soundsright\.words"):
        WORDS.load("ahoy")


def test_a_module_that_fails_on_import_is_refused_with_its_package_and_error(install: Install) -> None:
    install("plugin_broken", "raise OSError('no \\x1b[2J key')", broken="plugin_broken:WORD")
    with pytest.raises(
        UsageError, match=r"'broken' of the package plugin_broken 1\.2 .*OSError: no \\x1b\[2J key.*uninstall"
    ):
        WORDS.load("broken")


def test_a_module_that_ends_the_program_is_refused(install: Install) -> None:
    """Otherwise a command would print nothing and report success."""
    install("plugin_exit", "import sys; sys.exit(0)", leaves="plugin_exit:WORD")
    with pytest.raises(UsageError, match=r"'leaves' of the package plugin_exit 1\.2 .*SystemExit: 0.*uninstall"):
        WORDS.load("leaves")


def test_an_entry_point_whose_object_does_not_exist_is_refused(install: Install) -> None:
    install("plugin_absent", "", absent="plugin_absent:WORD")
    with pytest.raises(UsageError, match=r"'absent' .*plugin_absent:WORD.*AttributeError"):
        WORDS.load_all()


def test_an_object_of_another_type_is_refused_with_the_expected_one(install: Install) -> None:
    install("plugin_number", "WORD = 3", number="plugin_number:WORD")
    with pytest.raises(UsageError, match=r"'number' .*of type int, not a text"):
        WORDS.load("number")


def test_two_packages_may_not_add_the_same_name(install: Install) -> None:
    install("plugin_first", "WORD = 'a'", twice="plugin_first:WORD")
    install("plugin_second", "WORD = 'b'", twice="plugin_second:WORD")
    with pytest.raises(UsageError, match=r"^2 packages add a word 'twice': plugin_(first|second) 1\.2, plugin_"):
        WORDS.load("twice")


def test_a_plugin_may_not_take_a_built_in_name(install: Install) -> None:
    install("plugin_greedy", "WORD = 'mine'", hello="plugin_greedy:WORD")
    with pytest.raises(UsageError, match=r"plugin_greedy 1\.2 adds a word 'hello', but that name is built in"):
        WORDS.load("hello")


def test_a_broken_plugin_leaves_the_others_usable(install: Install) -> None:
    install("plugin_bad", "1 / 0", bad="plugin_bad:WORD")
    install("plugin_fine", "WORD = 'fine'", fine="plugin_fine:WORD")
    assert WORDS.load("fine") == "fine"
