"""Build what `pip install soundsright` needs: the main wheel and sdist, and the wheel of the shipped recordings.

    python scripts/build_wheels.py FOLDER

`soundsright` holds the program, the model template and the published rules. `soundsright-data` holds `datasets/`
and `models/`; the extra `demo` installs it. Both have one version.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", ".pytest_cache")
_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "soundsright-data"
version = "{version}"
description = "Recordings, impulse responses and demo models for SoundsRight, each with its source and licence"
readme = "README.md"
requires-python = ">=3.11,<3.14"
# Every recording and weight names its own licence: datasets/manifest.jsonl and models/*/README.md.
license = "{licence}"
license-files = ["licences/*"]

[tool.setuptools]
packages = ["soundsright_data"]

[tool.setuptools.package-data]
soundsright_data = ["datasets/**/*", "models/**/*", "models/**/.*"]
"""
_LICENCE = (
    "MIT AND BSD-3-Clause AND CC-BY-3.0 AND CC-BY-4.0 AND CC-BY-SA-3.0 AND CC0-1.0 AND GPL-2.0-only"
    " AND GPL-2.0-or-later"
)


def version() -> str:
    """The version that both wheels carry."""
    text = (ROOT / "soundsright" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.M)
    if match is None:
        raise SystemExit('soundsright/__init__.py has no line __version__ = "...".')
    return match[1]


def stage_data(folder: Path) -> None:
    """Write the source tree of `soundsright-data`."""
    package = folder / "soundsright_data"
    for name in ("datasets", "models"):
        shutil.copytree(ROOT / name, package / name, ignore=_NOT_SHIPPED)
    docstring = '"""Recordings and demo models of SoundsRight: `datasets/` and `models/` in this folder."""\n'
    (package / "__init__.py").write_text(docstring, encoding="utf-8")
    shutil.copytree(ROOT / "datasets" / "licences", folder / "licences")
    shutil.copy(ROOT / "LICENSE", folder / "licences" / "MIT.txt")
    shutil.copy(ROOT / "datasets" / "README.md", folder / "README.md")
    (folder / "pyproject.toml").write_text(_PYPROJECT.format(version=version(), licence=_LICENCE), encoding="utf-8")


def build(source: Path, target: Path, *options: str) -> None:
    options += ("--no-isolation",) if os.environ.get("SOUNDSRIGHT_NO_ISOLATION") else ()
    command = [sys.executable, "-m", "build", "--outdir", str(target), *options, str(source)]
    subprocess.run(command, check=True)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("Usage: python scripts/build_wheels.py FOLDER")
    target = Path(sys.argv[1])
    build(ROOT, target)
    with tempfile.TemporaryDirectory() as folder:
        stage_data(Path(folder))
        build(Path(folder), target, "--wheel")


if __name__ == "__main__":
    main()
