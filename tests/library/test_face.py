"""`import soundsright` as a person who writes Python uses it."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import soundsright
from tests.layers import PACKAGE, modules

FUNCTIONS = ("score", "score_folder", "compare", "generate", "read_set", "open_run", "plan_study", "verify")


def test_every_name_of_the_stub_can_be_used() -> None:
    assert set(FUNCTIONS) < set(soundsright.__all__)
    for name in soundsright.__all__:
        assert getattr(soundsright, name) is not None
    assert soundsright.__version__


def test_no_name_is_a_module_so_importing_one_hides_nothing() -> None:
    assert not set(soundsright.__all__) & {name.split(".")[0] for name in modules(PACKAGE)}
    importlib.import_module("soundsright.services.local.verification")
    assert callable(soundsright.verify)


def test_importing_the_package_imports_no_other_library() -> None:
    code = "import sys, soundsright; print(*sorted({'numpy', 'scipy', 'click', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_explains_itself(name: str) -> None:
    text = getattr(soundsright, name).__doc__
    for part in ("Args:", "Raises:", "Example:"):
        assert part in text
