"""Imports point down, and code outside a room imports only the room's face.

    cli > library > testing > services and adapters > rules, corpus > ranking, copies, metrics, data > core

Services and adapters never import each other. `tests/layers.py` reads the graph; `python -m tests.layers` draws it.
"""

from __future__ import annotations

import ast
import importlib
import sys

import pytest

from tests.layers import (
    LAYERS_OF_ROOMS,
    PACKAGE,
    ROOMS_AT_THE_TOP,
    circles,
    face_of,
    imports,
    module_graph,
    modules,
    room_graph,
    room_of,
    rooms,
)

PURE = {"core", "metrics", "ranking", "copies", "rules", "data", "corpus"}
MAY_IMPORT = {
    "core": {"core"},
    "metrics": {"core", "metrics"},
    "ranking": {"core", "ranking"},
    "copies": {"core", "copies"},
    "data": {"core", "data"},
    "corpus": {"core", "data", "corpus"},
    "rules": {"core", "ranking", "copies", "rules"},
    "adapters": PURE | {"adapters", "config"},
    "services": PURE | {"services", "config"},
    "testing": PURE | {"adapters", "services", "testing"},
    "config": {"core", "config"},
    "library": PURE | {"adapters", "services", "config", "library"},
    "cli": PURE | {"adapters", "services", "testing", "library", "config", "cli"},
}
ABOVE_LAYERS = {"", "__main__"}
"""The package itself and its program: they may import everything."""
MODULES = modules()
IN_LAYERS = sorted(set(MODULES) - ABOVE_LAYERS)


@pytest.mark.parametrize("module", IN_LAYERS)
def test_imports_point_down(module: str) -> None:
    layer = module.split(".")[0]
    imported = {target.split(".")[0] for target, _ in imports(MODULES[module])} - ABOVE_LAYERS
    assert imported <= MAY_IMPORT[layer], f"{layer} may import only {sorted(MAY_IMPORT[layer])}"


@pytest.mark.parametrize("module", IN_LAYERS)
def test_code_outside_a_room_imports_only_its_face(module: str) -> None:
    for target, name in imports(MODULES[module]):
        room = room_of(target)
        if room is None or room == room_of(module):
            continue
        assert target == room, f"{module} imports {target}: import from {room}"
        assert name in face_of(room)[0], f"{module} imports {name}, which is not in the face of {room}"


@pytest.mark.parametrize("room", rooms(MODULES))
def test_a_face_says_what_the_room_is_for_and_gives_every_name_it_lists(room: str) -> None:
    tree = ast.parse(MODULES[room].read_text(encoding="utf-8"))
    assert 2 <= len((ast.get_docstring(tree) or "").splitlines()) <= 6, "say in about three lines what it is for"
    exported, origin = face_of(room)
    assert exported == set(origin), "the imports and __all__ of the stub differ"
    face = importlib.import_module(f"soundsright.{room}")
    assert exported == set(face.__all__)
    clashing = exported & {m.rsplit(".", 1)[1] for m in MODULES if m.startswith(f"{room}.")}
    assert not {name for name in clashing if origin[name] != room}, "a name must not be a module's name too"
    for name in exported:
        assert getattr(face, name) is not None


def test_no_module_lies_outside_a_room() -> None:
    assert {m.split(".")[0] for m in IN_LAYERS} <= set(MAY_IMPORT)
    for layer in LAYERS_OF_ROOMS:
        astray = [m for m in IN_LAYERS if m.startswith(f"{layer}.") and MODULES[m].parent == PACKAGE / layer]
        assert not astray
    assert set(ROOMS_AT_THE_TOP) <= set(MAY_IMPORT)


def test_no_circle_between_modules() -> None:
    assert circles(module_graph()) == []


def test_no_circle_between_rooms() -> None:
    assert circles(room_graph(module_graph())) == []


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.split(".")[0] == "core"))
def test_core_needs_the_standard_library_and_numpy_only(module: str) -> None:
    outside = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            outside.add((node.module or "").split(".")[0])
    assert outside - {"soundsright", "numpy"} <= set(sys.stdlib_module_names)
