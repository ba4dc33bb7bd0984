"""Compares what this machine makes of the golden clips with what every validator must get."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path

from soundsright.core.errors import UsageError
from soundsright.core.text_files import json_object
from soundsright.services.self_check.golden import Measured, measured

GOLDEN = Path(__file__).with_name("golden.json")
"""The recorded digests and scores. `scripts/same_bytes.py --record` writes them."""
_PAGE = "See docs/explanation/same-bytes.md."


def check_machine() -> str:
    """Draw and score the golden clips, and compare. It takes about one second and writes nothing.

    Returns:
        A sentence that says what was compared.

    Raises:
        UsageError: this machine draws other clips or computes other scores, so it cannot judge.
    """
    recorded = recorded_golden()
    found = measured()
    clips, scores = (_differing(found[part], recorded[part]) for part in ("clips", "scores"))
    if not clips and not scores:
        return f"The {len(recorded['clips'])} golden clips and their scores are those of every validator"
    what = _clips_in_words(clips, found) if clips else f"computes other scores ({', '.join(scores)})"
    problem = f"This machine cannot judge: it {what}; {_blamed(found, recorded, scores)}"
    raise UsageError(problem, remedy_for(platform.machine()))


def remedy_for(machine: str) -> str:
    """The remedy on a machine of that kind.

    >>> remedy_for("x86_64")
    'Install the package versions that others use. See docs/explanation/same-bytes.md.'
    """
    if machine == "aarch64":
        builds = "it builds pesq, soxr and SciPy's transforms from source"
        return f"In a checkout, run `make install-arm`: {builds}. {_PAGE}"
    return f"Install the package versions that others use. {_PAGE}"


def recorded_golden() -> Measured:
    """The values that every validator must get, in the form of `measured`.

    Raises:
        UsageError: the file of this package is missing or damaged.
    """
    remedy = "Install soundsright again."
    try:
        text = GOLDEN.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{GOLDEN} cannot be read ({error})", remedy) from error
    parts = json_object(text, str(GOLDEN), remedy)
    if not all(isinstance(parts.get(part), dict) and parts[part] for part in ("clips", "scores", "traces")):
        raise UsageError(f"{GOLDEN} has not all of its parts", remedy)
    return parts


def _differing(found: dict[str, str], recorded: dict[str, str]) -> list[str]:
    return sorted(name for name in {*found, *recorded} if found.get(name) != recorded.get(name))


def _clips_in_words(names: list[str], found: Measured) -> str:
    if (reason := found["clips"].get("error")) is not None:
        return f"cannot draw the golden clips ({reason})"
    return f"draws other clips than other validators ({len(names)} differ, the first is {names[0]})"


def _blamed(found: Measured, recorded: Measured, scores: Iterable[str]) -> str:
    """The libraries whose results differ, with their versions."""
    libraries = _differing(found["traces"], recorded["traces"])
    if not libraries and any(name.startswith("PESQ") for name in scores):
        libraries = ["pesq"]
    if not libraries:
        return "no single library of numpy, scipy and soxr explains it"
    return f"{' and '.join(f'{name} {_version(name)}' for name in libraries)} computed something else"


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "of an unknown version"
