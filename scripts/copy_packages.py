"""Copies packages and their dependencies from this interpreter's environment into a folder.

    python scripts/copy_packages.py FOLDER NAME…

Extras of the packages are ignored. Files that pip installs elsewhere, such as scripts, are left out.
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(names: list[str]) -> dict[str, Distribution]:
    """The named distributions and their installed dependencies, by name."""
    by_name: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in by_name:
            continue
        try:
            by_name[name] = distribution(name)
        except PackageNotFoundError:
            if name in map(canonicalize_name, names):
                raise
            continue
        for text in by_name[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return by_name


def main() -> None:
    folder, *names = sys.argv[1:]
    for package in closure(names).values():
        for path in package.files or ():
            source = Path(str(package.locate_file(path)))
            if ".." not in path.parts and source.is_file():
                target = Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                # Keep the modification time, which the compiled file beside it refers to.
                shutil.copy2(source, target)


if __name__ == "__main__":
    main()
