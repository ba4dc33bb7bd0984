"""The error of a model in its own words, from the end of its log."""

from __future__ import annotations

import re
from pathlib import Path

from soundsright.core.content import files_below

_FRAME = re.compile(r'^\s*File "([^"]+)", line (\d+)')
_EXCEPTION = re.compile(r"^(?:\w+\.)*(\w+(?:Error|Exception)\b.*)$")
_NO_MODULE = re.compile(r"No module named '(\w+)")
_REQUIRED = re.compile(r'requires "([\w-]+)" to be installed')
_SERVER_PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "soundfile": "soundfile",
    "numpy": "numpy",
    "multipart": "python-multipart",
    "python_multipart": "python-multipart",
    "python-multipart": "python-multipart",
}
"""The distribution of each package that the template's model server imports."""


def model_error(log: str, folder: Path) -> str:
    """The last exception in a log, with the line of the model's own file. Empty if the log has no exception.

    `folder` has the files of the model. An example is "app/enhance.py, line 24: SyntaxError: invalid syntax".
    """
    names = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    place = error = ""
    for line in log.splitlines():
        if line.startswith("Traceback "):
            place = ""
        elif frame := _FRAME.match(line):
            own = next((name for name in names if f"/{frame[1]}".endswith(f"/{name}")), None)
            place = f"{own}, line {frame[2]}: " if own else place
        elif exception := _EXCEPTION.match(line):
            error = place + exception[1]
    return error


def missing_server_package(log: str) -> str | None:
    """The package of the model server whose absence ended the model, or None.

    >>> missing_server_package("ModuleNotFoundError: No module named 'uvicorn'")
    'uvicorn'
    """
    errors = [line for line in log.splitlines() if _EXCEPTION.match(line)]
    match = (_NO_MODULE.search(errors[-1]) or _REQUIRED.search(errors[-1])) if errors else None
    return _SERVER_PACKAGES.get(match[1]) if match else None
