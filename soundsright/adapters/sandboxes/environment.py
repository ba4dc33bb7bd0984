"""The surroundings of a model in an isolated sandbox: folders, their sizes, its user, command and environment.

Sizes are in bytes.
"""

from __future__ import annotations

import math
import secrets
import shlex
from pathlib import Path, PurePosixPath

from soundsright.core.dockerfile import Instruction, command_of
from soundsright.core.ports import SandboxLimits

SOCKET_FOLDER = PurePosixPath("/run/soundsright")
SOCKET = SOCKET_FOLDER / "model.sock"
INPUT_FOLDER, OUTPUT_FOLDER = PurePosixPath("/input"), PurePosixPath("/output")
SHM_BYTES = 67_108_864
"""Size of `/dev/shm`."""
VOLUME_BYTES = 1_048_576
"""Size of the socket's folder, and of a volume that an image declares."""

_FIRST_UID, _UID_COUNT = 2_000_000, 1_000_000


def protocol_folders(limits: SandboxLimits, *, by_files: bool) -> dict[PurePosixPath, int]:
    """The folders through which the harness and the model talk, each with its size.

    >>> [str(folder) for folder in protocol_folders(SandboxLimits(), by_files=True)]
    ['/run/soundsright', '/input', '/output']
    """
    folders = {SOCKET_FOLDER: VOLUME_BYTES}
    if by_files:
        folders |= dict.fromkeys((INPUT_FOLDER, OUTPUT_FOLDER), limits.tmpfs_bytes)
    return folders


def random_uid() -> int:
    """A user number that no account has.

    The kernel counts processes and allows signals by user, so models of different users cannot disturb each other.
    """
    return _FIRST_UID + secrets.randbelow(_UID_COUNT)


def python_command(instructions: tuple[Instruction, ...], python: Path) -> tuple[str, ...]:
    """The command of a model's Dockerfile, with the interpreter `python` in place of the image's own.

    Raises:
        ProtocolViolation: if the Dockerfile has no command.
    """
    program, *arguments = command_of(instructions)
    name = program.rpartition("/")[2]
    return (str(python) if name.startswith("python") else program, *arguments)


INTERPRETER_NAMES = ("python", "python3")


def interpreter_script(python: Path) -> str:
    """A script that starts that interpreter, for commands that a shell runs.

    An interpreter that is started through a link would not find its virtual environment.
    """
    return f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n'


def write_interpreter(folder: Path, python: Path) -> None:
    """Create a folder in which `python` and `python3` start that interpreter."""
    folder.mkdir()
    folder.chmod(0o755)
    for name in INTERPRETER_NAMES:
        (folder / name).write_text(interpreter_script(python))
        (folder / name).chmod(0o755)


def model_environment(
    limits: SandboxLimits,
    *,
    path: str,
    socket: str = str(SOCKET),
    home: str = "/tmp",
    input_folder: str = str(INPUT_FOLDER),
    output_folder: str = str(OUTPUT_FOLDER),
) -> dict[str, str]:
    """All environment variables of a model."""
    threads = str(max(1, math.ceil(limits.cpus)))
    return {
        "PATH": path,
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": home,
        "SOUNDSRIGHT_SOCKET": socket,
        "SOUNDSRIGHT_INPUT": input_folder,
        "SOUNDSRIGHT_OUTPUT": output_folder,
        "SOUNDSRIGHT_CPUS": threads,
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "NUMBA_NUM_THREADS": threads,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
