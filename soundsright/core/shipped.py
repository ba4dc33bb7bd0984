"""The recordings, demo models and model template that ship with SoundsRight.

In a checkout they are the folders `datasets` and `models`. An install has the template in the main wheel and the
rest in the wheel `soundsright-data`, which the extra `demo` brings.
"""

from __future__ import annotations

import importlib.metadata
from importlib.util import find_spec
from pathlib import Path

from soundsright.core.errors import UsageError

CHECKOUT = Path(__file__).resolve().parents[2]
_INSTALLED_TEMPLATE = "share/soundsright/template"


def datasets_folder() -> Path:
    """The shipped corpus: a folder with `manifest.jsonl`.

    Raises:
        UsageError: it is not installed.
    """
    return _shipped("datasets", "manifest.jsonl", "recordings", "give a folder of your own with --corpus")


def models_folder() -> Path:
    """The demo's models, with `demo.toml` that lists them as entries.

    Raises:
        UsageError: they are not installed.
    """
    return _shipped("models", "demo.toml", "demo models", "give entries of your own with --entries")


def template_folder() -> Path:
    """The template that `soundsright init-model` copies.

    Raises:
        UsageError: it is not installed.
    """
    template = CHECKOUT / "models" / "template"
    if (template / "Dockerfile").is_file():
        return template
    try:
        installed = importlib.metadata.files("soundsright") or []
    except importlib.metadata.PackageNotFoundError:
        installed = []
    for file in installed:
        if file.as_posix().endswith(f"{_INSTALLED_TEMPLATE}/Dockerfile"):
            return Path(str(file.locate())).resolve().parent
    raise UsageError("The model template is not installed", "Reinstall soundsright.")


def _shipped(folder: str, marker: str, contents: str, alternative: str) -> Path:
    in_checkout = CHECKOUT / folder
    if (in_checkout / marker).is_file():
        return in_checkout
    package = find_spec("soundsright_data")
    for root in package.submodule_search_locations or () if package else ():
        if (Path(root) / folder / marker).is_file():
            return Path(root) / folder
    raise UsageError(
        f"The {contents} that ship with SoundsRight are not installed",
        f"Run `pip install 'soundsright[demo]'`, or {alternative}.",
    )
