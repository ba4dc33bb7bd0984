"""The versions of the programs that scores depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from soundsright import __version__

_SCORING_PACKAGES = ("numpy", "scipy", "numba", "pesq", "soundfile", "soxr")


def scoring_versions() -> dict[str, str]:
    """The versions of this program, of Python, and of the packages that scores depend on."""
    versions = {"soundsright": __version__, "python": platform.python_version()}
    for package in _SCORING_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
