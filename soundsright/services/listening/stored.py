"""Files of a listening test with one JSON object per line. Sizes are in bytes.

A line that a full disk cut off is left out. Anything else that cannot be read is an error: a test that took a
damaged file for an empty one would let raters vote again, or give out invitations without a bound.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from soundsright.core.errors import InfrastructureFault

M = TypeVar("M", bound=BaseModel)

_RESTORE = "Restore it from a backup, or start a new test with --name."


def read_lines(path: Path, model: type[M], max_bytes: int) -> list[M]:
    """The lines of a file as that model. There is none if there is no file.

    Raises:
        InfrastructureFault: the file cannot be read, is too large, or a line is not such an object.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise InfrastructureFault(f"{path} is not a file", _RESTORE)
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InfrastructureFault(f"{path} cannot be read ({error.strerror})", _RESTORE) from error
    if len(content) > max_bytes:
        raise InfrastructureFault(f"{path} is larger than {max_bytes} bytes", _RESTORE)
    objects = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            if line.strip():
                objects.append(model.model_validate_json(line))
        except ValidationError as error:
            if not _is_cut_off(line, model):
                problem = f"{path}, line {number}, cannot be read"
                raise InfrastructureFault(problem, f"Remove the line. Or: {_RESTORE}") from error
    return objects


def _is_cut_off(line: bytes, model: type[BaseModel]) -> bool:
    """Whether a full disk cut a line off. Older programs wrote the next one behind it, in the same line."""
    start = f'{{"{next(iter(model.model_fields))}": '.encode()
    return start.startswith(line[: len(start)]) and (not line.endswith(b"}") or line.count(start) > 1)


def append_lines(path: Path, lines: str, max_bytes: int) -> None:
    """Append lines in a single write, and see them to the disk.

    Raises:
        InfrastructureFault: the file has more than `max_bytes` already.
        OSError: it cannot be written.
    """
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size > max_bytes:
            raise InfrastructureFault(f"{path} has more than {max_bytes} bytes", "Start a new test with --name.")
        file.seek(max(0, size - 1))
        # A line that was cut off must not swallow the next one.
        begin = b"" if file.read(1) in (b"", b"\n") else b"\n"
        file.write(begin + lines.encode())
        file.flush()
        os.fsync(file.fileno())
