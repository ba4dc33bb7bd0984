"""An import points down only: cli > services > adapters > metrics, ranking, data > core."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "soundsright"

MAY_IMPORT = {
    "core": {"core"},
    "metrics": {"core", "metrics"},
    "ranking": {"core", "ranking"},
    "data": {"core", "data"},
    "adapters": {"core", "metrics", "ranking", "data", "adapters", "config"},
    "services": {"core", "metrics", "ranking", "data", "services", "config"},
    "testing": {"core", "metrics", "ranking", "data", "adapters", "services", "testing"},
    "env_file": {"core"},
    "config": {"core", "env_file", "config"},
    "cli": {"core", "metrics", "ranking", "data", "adapters", "services", "testing", "env_file", "config", "cli"},
}
OUTSIDE_LAYERS = {"__init__.py", "__main__.py", "config.py"}


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).as_posix() not in OUTSIDE_LAYERS)


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide their direction"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_down(path: Path) -> None:
    layer = layer_of(path)
    above = {
        name
        for name in imported_names(path)
        if name.startswith("soundsright.") and name.split(".")[1] in MAY_IMPORT
        if name.split(".")[1] not in MAY_IMPORT[layer]
    }
    assert not above, f"{layer} may import {sorted(MAY_IMPORT[layer])} only"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda p: p.name)
def test_core_needs_the_standard_library_and_numpy_only(path: Path) -> None:
    outside = {name.split(".")[0] for name in imported_names(path)} - {"soundsright", "numpy", ""}
    assert outside <= set(sys.stdlib_module_names)


def test_every_module_lies_in_a_layer() -> None:
    assert {layer_of(p) for p in modules()} <= set(MAY_IMPORT)
