"""Copy packages, and what they depend on, from this interpreter's environment into a folder.

    python scripts/copy_packages.py FOLDER NAME…

Extras of the named packages are not followed. What pip put elsewhere, such as scripts, is left out.
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(names: list[str]) -> dict[str, Distribution]:
    """The named distributions and all that they require, as far as it is installed here."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            if name in map(canonicalize_name, names):
                raise
            continue
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def main() -> None:
    folder, *names = sys.argv[1:]
    for one in closure(names).values():
        for path in one.files or ():
            source = Path(str(one.locate_file(path)))
            if ".." not in path.parts and source.is_file():
                target = Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                # With its time, which the compiled file beside it names.
                shutil.copy2(source, target)


if __name__ == "__main__":
    main()
