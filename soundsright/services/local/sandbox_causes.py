"""Failures that a model has only in a sandbox, where nobody can start it by hand: each cause, with its remedy.

Checks of the files run before the start. The rest is recognised in the model's log.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from soundsright.core.content import files_below
from soundsright.core.dockerfile import Instruction, command_of
from soundsright.core.errors import ModelCrashed, ModelFault
from soundsright.core.lfs import LFS_REMEDY, is_lfs_pointer

_HEAD_BYTES = 65_536
_LOG_CHARS = 8_000
_SHELLS = ("sh", "bash", "dash", "ash", "zsh")
_NOT_EXECUTABLE = (
    "Published files have no execute bit. Name the program that runs the script, such as "
    'CMD ["sh", "run.sh"], also where one script calls another.'
)
_NOT_FOUND = (
    "Correct the program in the Dockerfile's CMD. The docker sandbox looks for it in the image. bubblewrap and "
    "process build no image and look for it on this machine."
)
_LINE_ENDINGS = (
    "Write it with Unix line endings: `sed -i 's/\\r$//' FILE`. In Git, add `*.sh text eol=lf` to .gitattributes."
)
_READ_ONLY = (
    "The model's files are read-only in a sandbox. Write only to the folder in TMPDIR: it is empty at each start. "
    "Put all that the model needs into its folder before you publish it."
)
_LOG_REMEDIES = (
    (r"\\r'|\r: (?:command )?not found|\r: No such file|\^M", _LINE_ENDINGS),
    (r"ModuleNotFoundError", ""),
    (r"\[Errno 30\]|Read-only file system|no locator available for file", _READ_ONLY),
    (
        r"[Nn]ame resolution|Name or service not known|Could not resolve host|gaierror|Network is unreachable"
        r"|\[Errno 101\]|Max retries exceeded",
        "A model has no network. Download the file once, put it into the model's folder, and load it from there.",
    ),
    (
        r"\[Errno 28\]|No space left on device",
        "The folder in TMPDIR is in memory and has a limit. Write less, and delete what you no longer need.",
    ),
    (
        r"no NVIDIA driver|deserialize object on a CUDA device|CUDA driver version is insufficient|No CUDA GPUs",
        'The model got no GPU. Load the weights with `map_location="cpu"` and use CUDA only where it is available. '
        "Or give it a GPU with --sandbox docker --gpus all.",
    ),
    (
        r"can't start new thread|Resource temporarily unavailable|\[Errno 11\]",
        "The model started too many threads or processes. Use as many as SOUNDSRIGHT_CPUS says.",
    ),
    (
        r"uid not found",
        "The model's user has no name in a sandbox. Do not look it up: set the environment variable USER, or the "
        "library's own variable for its cache folder, in `app/enhance.py`.",
    ),
    (
        r"invalid load key, 'v'|git-lfs\.github\.com/spec",
        f"A file of weights is a Git LFS pointer. {LFS_REMEDY}",
    ),
    (
        r"error while loading shared libraries",
        "Install that library in the Dockerfile, or use a wheel that has it.",
    ),
    (r"Exec format error", "Begin the script with a line that names its program, such as #!/bin/sh."),
    (r"cannot start \S+: \[Errno 13\]|failed to execute \S+: Permission denied", _NOT_EXECUTABLE),
    (r"\[Errno 13\]", _READ_ONLY),
    (r"enhance(?:_batch)? returned ", "Correct what your function in app/enhance.py returns."),
)
_BY_EXIT_STATUS = {126: _NOT_EXECUTABLE, 127: _NOT_FOUND}


class Cause(NamedTuple):
    """Why a model fails in a sandbox, and what to do."""

    reason: str
    remedy: str


def cause_in_files(folder: Path, instructions: tuple[Instruction, ...], *, builds_image: bool) -> Cause | None:
    """Why a model in this folder cannot start in a sandbox, as far as its files show it.

    `builds_image` says whether the sandbox runs the build steps of the Dockerfile, which can repair files.
    """
    pointers = [path for path in files_below(folder) if is_lfs_pointer(path)]
    if pointers:
        more = f", like {len(pointers) - 1} more" if len(pointers) > 1 else ""
        name = pointers[0].relative_to(folder).as_posix()
        return Cause(f"{name} is a Git LFS pointer, not the file itself{more}", LFS_REMEDY)
    steps = _build_steps(instructions)
    words = _words(command_of(instructions))
    runs_scripts = PurePosixPath(words[0]).name in _SHELLS
    for position, word in enumerate(words):
        path = _file_of(word, folder, instructions)
        if path is None:
            continue
        name, head = path.relative_to(folder).as_posix(), _head(path)
        starts_it = position == 0 and "/" in word
        repaired = builds_image and ("dos2unix" in steps or "\\r" in steps)
        if (starts_it or runs_scripts) and b"\r\n" in head and not repaired:
            remedy = _LINE_ENDINGS.replace("FILE", name)
            return Cause(f"{name} has Windows line endings (CRLF), with which no shell can run it", remedy)
        made_executable = "chmod" in steps
        if starts_it and not path.stat().st_mode & 0o111 and not (builds_image and made_executable):
            remedy = f"Name the program that runs it: CMD {_command_for(name, head)}."
            if made_executable:
                remedy += " Or verify with --sandbox docker: this sandbox builds no image, so it runs no chmod."
            return Cause(f"The Dockerfile starts {name} itself, but published files have no execute bit", remedy)
    return None


def cause_in_log(fault: ModelFault, log: str) -> str | None:
    """The remedy for a fault whose cause is the sandbox, as far as the model's log or its exit status shows it.

    If the log has signs of several causes, the last one counts: the model survived the others.
    """
    text = f"{log[-_LOG_CHARS:]}\n{fault}"
    last, remedy = -1, ""
    for pattern, text_for in _LOG_REMEDIES:
        found = [match.end() for match in re.finditer(pattern, text)]
        if found and found[-1] > last:
            last, remedy = found[-1], text_for
    if last < 0 and isinstance(fault, ModelCrashed):
        return _BY_EXIT_STATUS.get(fault.exit_status or 0)
    return remedy or None


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES)


def _build_steps(instructions: Sequence[Instruction]) -> str:
    return " ".join(word for i in instructions if i.name in ("RUN", "COPY", "ADD") for word in (*i.flags, i.value))


def _words(command: Sequence[str]) -> list[str]:
    """The program and its arguments, also of a command that a shell runs."""
    words = list(command)
    if len(command) == 3 and command[1] == "-c" and PurePosixPath(command[0]).name in _SHELLS:
        try:
            words = shlex.split(command[2])
        except ValueError:
            words = command[2].split()
    while words[1:] and (words[0] == "exec" or re.fullmatch(r"\w+=.*", words[0])):
        words = words[1:]
    return words


def _file_of(word: str, folder: Path, instructions: Sequence[Instruction]) -> Path | None:
    """The file of the model that a word of the command names, or None."""
    name = PurePosixPath(word)
    for root in (*_working_folders(instructions), PurePosixPath("/app"), PurePosixPath("/model")):
        if name.is_absolute() and name.is_relative_to(root):
            name = name.relative_to(root)
    path = folder / name
    if name.is_absolute() or ".." in name.parts or path.is_symlink() or not path.is_file():
        return None
    return path


def _working_folders(instructions: Sequence[Instruction]) -> Iterator[PurePosixPath]:
    for instruction in reversed(instructions):
        if instruction.name == "WORKDIR" and instruction.value.startswith("/"):
            yield PurePosixPath(instruction.value.strip())


def _command_for(name: str, head: bytes) -> str:
    """The exec form of a command that runs the script with the program of its first line."""
    first = head.partition(b"\n")[0].decode("utf-8", "replace").strip()
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    program = PurePosixPath(words[-1] if words and words[0].endswith("/env") else words[0]).name if words else "sh"
    return f'["{program}", "{name}"]'
