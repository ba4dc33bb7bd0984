"""A program's folder comes first in its search path. So no program may have the name of a library."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["benchmarks", "scripts", "examples"])
def test_no_program_hides_a_library(folder: str) -> None:
    libraries = {*importlib.metadata.packages_distributions(), *sys.stdlib_module_names}
    programs = {path.stem for path in (ROOT / folder).glob("*.py")}
    assert programs
    assert not programs & libraries
