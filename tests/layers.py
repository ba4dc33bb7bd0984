"""The package as a graph of modules and rooms. `python -m tests.layers` draws it.

A module is named below the package: `services.rounds.clipset`. A room is a folder with a face: every folder in
`services` and `adapters`, each pure folder, such as `metrics`, and `library`. All imports count, also those inside
functions and those for types only.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "soundsright"
LAYERS_OF_ROOMS = ("services", "adapters")
ROOMS_AT_THE_TOP = ("metrics", "ranking", "copies", "rules", "data", "corpus", "config", "library")
"""Folders directly below the package that are one room each."""


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Every module by its name below the package; a folder's name stands for its `__init__.py`."""
    named = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def imports(path: Path) -> list[tuple[str, str]]:
    """The imports of a module from the package, as (module, name). The name is empty for `import module`."""
    imported = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            imported += [
                (name.removeprefix("soundsright."), "") for name in names if name.startswith("soundsright.")
            ]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its direction"
            if (node.module or "").split(".")[0] == "soundsright":
                module = (node.module or "").removeprefix("soundsright").removeprefix(".")
                imported += [(module, alias.name) for alias in node.names]
    return imported


def room_of(module: str) -> str | None:
    """The room of a module, or None if it is in no room.

    >>> room_of("services.rounds.clipset"), room_of("metrics.pesq"), room_of("core.errors")
    ('services.rounds', 'metrics', None)
    """
    parts = module.split(".")
    if parts[0] in LAYERS_OF_ROOMS and len(parts) > 1:
        return ".".join(parts[:2])
    return parts[0] if parts[0] in ROOMS_AT_THE_TOP else None


def face_of(room: str) -> tuple[set[str], dict[str, str]]:
    """The names in a room's face, and for each name that a module gives: which module.

    The face is the stub beside `__init__.py`, which `lazy_loader` and type checkers read.
    """
    tree = ast.parse((PACKAGE / room.replace(".", "/") / "__init__.pyi").read_text(encoding="utf-8"))
    exported: set[str] = set()
    origin: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            origin |= {alias.name: f"{room}.{node.module}" if node.module else room for alias in node.names}
        elif isinstance(node, ast.Assign):
            exported = set(ast.literal_eval(node.value))
    return exported, origin


def module_graph() -> dict[str, set[str]]:
    """Which module imports which. An import from a face is an import of the module that has the name."""
    known = modules()
    graph: dict[str, set[str]] = {name: set() for name in known}
    origins = {room: face_of(room)[1] for room in rooms(known)}
    for name, path in known.items():
        for module, imported in imports(path):
            target = f"{module}.{imported}".strip(".")
            if target not in known:
                target = origins.get(module, {}).get(imported, module)
            if target in known and target != name and not name.startswith(f"{target}."):
                graph[name].add(target)
    return graph


def rooms(known: Iterable[str]) -> list[str]:
    return sorted({room for module in known if (room := room_of(module))})


def room_graph(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Which room imports which."""
    arrows: dict[str, set[str]] = {room: set() for room in rooms(graph)}
    for module, targets in graph.items():
        for target in targets:
            source_room, target_room = room_of(module), room_of(target)
            if source_room and target_room and source_room != target_room:
                arrows[source_room].add(target_room)
    return arrows


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return groups


def floors(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    """The height of each node: 1 without arrows, otherwise one above its highest target. No circles."""
    heights: dict[str, int] = {}

    def height(node: str) -> int:
        if node not in heights:
            heights[node] = 1 + max((height(other) for other in arrows[node]), default=0)
        return heights[node]

    for node in arrows:
        height(node)
    return heights


def picture() -> str:
    """The rooms of each layer with their arrows, top floor first, and the circles there are."""
    graph = module_graph()
    arrows = room_graph(graph)
    lines = [f"modules: {len(graph)}, circles between modules: {len(circles(graph))}"]
    for layer in LAYERS_OF_ROOMS:
        inside = {
            r: {o for o in others if o.startswith(layer)} for r, others in arrows.items() if r.startswith(layer)
        }
        circled = circles(inside)
        heights = {} if circled else floors(inside)
        lines.append(
            f"{layer}: {len(inside)} rooms, {max(heights.values(), default=0)} floors, "
            f"{sum(map(len, inside.values()))} arrows, {len(circled)} circles"
        )
        by_floor = defaultdict(list)
        for room, height in heights.items():
            by_floor[height].append(room)
        for height in sorted(by_floor, reverse=True):
            for room in sorted(by_floor[height]):
                below = ", ".join(sorted(other.split(".")[1] for other in inside[room]))
                lines.append(f"  {height}  {room.split('.')[1]:12}{' -> ' + below if below else ''}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(picture() + "\n")
