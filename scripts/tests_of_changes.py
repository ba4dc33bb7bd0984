"""Runs the tests of the changes: those beside each changed module, and those that import it.

    python scripts/tests_of_changes.py [REVISION]

The changes are those of the working tree since REVISION (default: HEAD). Tests of containers and browsers are left
out, because they take minutes. Run `make test` for the whole suite.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def changed_files(revision: str) -> set[str]:
    """Paths, relative to the root, that differ from the revision or are new."""
    git = ("git", "-C", str(ROOT))
    diff = subprocess.run([*git, "diff", "--name-only", revision], capture_output=True, text=True, check=True)
    new = subprocess.run(
        [*git, "ls-files", "--others", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    return set(diff.stdout.split()) | set(new.stdout.split())


def imported_modules(path: Path) -> set[str]:
    """The package's modules that a file imports, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def tests_of(changed: set[str]) -> set[str]:
    """The test files of the changed files."""
    modules = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in changed
        if path.startswith("soundsright/") and path.endswith(".py")
    }
    mirrors = {
        f"tests/{Path(path).parent.relative_to('soundsright')}"
        for path in changed
        if path.startswith("soundsright/")
    }
    chosen = {path for path in changed if path.startswith("tests/") and Path(path).name.startswith("test_")}
    for test in ROOT.glob("tests/**/test_*.py"):
        path = test.relative_to(ROOT).as_posix()
        if "node_modules" in path or path.startswith("tests/browser/"):
            continue
        if str(Path(path).parent) in mirrors or imported_modules(test) & modules:
            chosen.add(path)
    doctests = {path for path in changed if path.startswith("soundsright/") and path.endswith(".py")}
    return {path for path in chosen | doctests | {"tests/test_layers.py"} if (ROOT / path).is_file()}


def main() -> int:
    revision = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    chosen = sorted(tests_of(changed_files(revision)))
    print(f"{len(chosen)} files of tests", flush=True)
    words = ["-n", "2", "--dist", "loadfile", "-m", "not docker and not browser and not slow", *chosen]
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
