"""Runs the tests of the changes: those beside each changed module, and those that import it.

    python scripts/tests_of_changes.py [REVISION]

The changes are those of the working tree since REVISION (default: HEAD). Tests of containers and browsers, and
tests marked slow, are left out, because they take minutes. `make test` runs the whole suite.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.layers import face_of, room_of  # noqa: E402

TESTS_OF_PAGES = {f"tests/services/{room}" for room in ("board", "drawing", "listening", "report")}
"""Folders with the tests of what reads `soundsright/web`."""


def changed_files(revision: str) -> set[str]:
    """Paths, relative to the root, that differ from the revision or are new."""
    git = ("git", "-C", str(ROOT))
    diff = subprocess.run([*git, "diff", "--name-only", revision], capture_output=True, text=True, check=True)
    new = subprocess.run(
        [*git, "ls-files", "--others", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    return set(diff.stdout.split()) | set(new.stdout.split())


def imported_modules(path: Path) -> set[str]:
    """The modules that a file imports, as dotted names. For a name of a room's face: the module that has it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            origins = modules_behind(node.module)
            names |= {origins[alias.name] for alias in node.names if alias.name in origins}
    return names


@cache
def modules_behind(face: str) -> dict[str, str]:
    """For each name in a room's face, the module that has it. Empty if the module is no face."""
    room = face.removeprefix("soundsright.")
    if face == room or room_of(room) != room:
        return {}
    return {name: f"soundsright.{module}" for name, module in face_of(room)[1].items()}


def tests_of(changed: set[str]) -> set[str]:
    """The test files of the changed files."""
    package = {path for path in changed if path.startswith("soundsright/")}
    code = {path for path in changed if path.startswith(("soundsright/", "tests/")) and path.endswith(".py")}
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in code}
    folders = {Path("tests", Path(path).parent.relative_to("soundsright")).as_posix() for path in package}
    folders |= {Path(path).parent.as_posix() for path in code if path.endswith("/conftest.py")}
    if any(path.startswith("soundsright/web/") for path in package):
        folders |= TESTS_OF_PAGES
    chosen = {path for path in code if Path(path).name.startswith("test_")} | {"tests/test_layers.py"}
    for test in ROOT.glob("tests/**/test_*.py"):
        path = test.relative_to(ROOT).as_posix()
        if "node_modules" in path or path.startswith("tests/browser/"):
            continue
        if str(Path(path).parent) in folders or imported_modules(test) & modules:
            chosen.add(path)
    doctests = package & code
    return {path for path in chosen | doctests if (ROOT / path).is_file()}


def main() -> int:
    revision = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    chosen = sorted(tests_of(changed_files(revision)))
    print(f"{len(chosen)} files of tests", flush=True)
    words = ["-n", "2", "--dist", "loadfile", "-m", "not docker and not browser and not slow", *chosen]
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
