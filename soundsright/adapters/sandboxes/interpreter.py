"""The operator's interpreter as a model in bubblewrap sees it: the folders, links and files, and the paths of each.

A virtual environment is shown at `/opt/environment` and the interpreter that it was made from at `/opt/python`, so
that no path names the operator or the layout of the machine. Folders below `/usr` keep their paths. An interpreter
that cannot run at another path is shown at its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from soundsright.adapters.sandboxes.environment import INTERPRETER_NAMES, interpreter_script
from soundsright.core.errors import EngineUnavailable

BIN = PurePosixPath("/run/bin")
_SCRIPTS = PurePosixPath("/run/scripts")
_ENVIRONMENT, _PYTHON = PurePosixPath("/opt/environment"), PurePosixPath("/opt/python")
_ENVIRONMENT_FOLDERS = ("lib", "lib64", "include", "share", "etc")
_SETTINGS = "pyvenv.cfg"
_PYTHON_TIMEOUT_S = 20.0
_MAX_LINKS = 16
_MAX_SCRIPTS = 1_000
_LIBRARIES = PurePosixPath("/opt/libraries")
_SCRIPT_START_BYTES = 512


class PythonView(NamedTuple):
    """An interpreter inside the sandbox, at `program`.

    `binds` are folders of the host, each with its place in the sandbox. `links` are symbolic links: the text, and
    the place. `files` are the small files to write, with their texts. `path` has the folders of `PATH`. `prefixes`
    are the folders of the host that belong to the interpreter: the model may see everything in them. `libraries` is
    the folder of its shared library, which names its own place on the host; None if it is built in.
    """

    program: PurePosixPath
    binds: tuple[tuple[Path, PurePosixPath], ...]
    path: tuple[str, ...]
    prefixes: tuple[Path, ...]
    links: tuple[tuple[str, PurePosixPath], ...] = ()
    files: Mapping[PurePosixPath, str] = {}
    libraries: PurePosixPath | None = None


class _Prefixes(NamedTuple):
    own: Path
    base: Path
    base_exec: Path


def host_view(python: Path) -> PythonView:
    """The interpreter at the paths that it has on the host.

    Raises:
        EngineUnavailable: if the interpreter does not run.
    """
    mounts = _folders(python, _prefixes(python))
    return PythonView(
        PurePosixPath(python),
        tuple((mount, PurePosixPath(mount)) for mount in mounts),
        tuple(str(mount / "bin") for mount in mounts),
        mounts,
        files=_starters(PurePosixPath(python)),
    )


def neutral_view(python: Path) -> PythonView | None:
    """The interpreter at paths that say nothing of the host, or None if its parts are where this cannot move them.

    Raises:
        EngineUnavailable: if the interpreter does not run.
    """
    prefixes = _prefixes(python)
    own, base = prefixes.own, prefixes.base
    folders = _folders(python, prefixes)
    program = python.resolve()
    if own not in folders or base != prefixes.base_exec:
        return None
    binds: list[tuple[Path, PurePosixPath]] = []
    moved = PurePosixPath(program)
    if not _is_system(base):
        if base not in folders or not program.is_relative_to(base.resolve()):
            return None
        binds.append((base, _PYTHON))
        moved = _PYTHON / program.relative_to(base.resolve())
    elif not _is_system(program):
        return None
    if own == base:
        links, files = _script_links(own / "bin", _PYTHON / "bin", moved)
        path = (str(_SCRIPTS), str(_PYTHON / "bin"))
        view = PythonView(moved, tuple(binds), path, folders, tuple(links), files | _starters(moved))
    else:
        found = _environment_view(own, moved, binds, folders)
        if found is None:
            return None
        view = found
    return _with_library(view, base) if binds and binds[0][0] == base else view


def _with_library(view: PythonView, base: Path) -> PythonView:
    """The view with a folder for the interpreter's shared library, if it has one.

    The folder has nothing else: other libraries of the interpreter must not replace those of the system's programs.
    """
    names = sorted(path.name for path in (base / "lib").glob("libpython*.so*"))
    links = [(str(_PYTHON / "lib" / name), _LIBRARIES / name) for name in names]
    return view._replace(links=(*view.links, *links), libraries=_LIBRARIES) if names else view


def _environment_view(
    own: Path, base_program: PurePosixPath, binds: list[tuple[Path, PurePosixPath]], folders: tuple[Path, ...]
) -> PythonView | None:
    """A virtual environment whose folder of programs is made again, because its links name paths of the host."""
    settings = _neutral_settings(own / _SETTINGS, base_program.parent)
    if settings is None:
        return None
    scripts, programs = _ENVIRONMENT / "scripts", _ENVIRONMENT / "bin"
    links: list[tuple[str, PurePosixPath]] = []
    for name in _ENVIRONMENT_FOLDERS:
        folder = own / name
        if folder.is_symlink():
            links.append((str(folder.readlink()), _ENVIRONMENT / name))
        elif folder.is_dir():
            binds.append((folder, _ENVIRONMENT / name))
    binds.append((own / "bin", scripts))
    program = programs / "python"
    links += [
        (str(base_program), programs / name) for name in dict.fromkeys((*INTERPRETER_NAMES, base_program.name))
    ]
    script_links, files = _script_links(own / "bin", scripts, program)
    files |= {_ENVIRONMENT / _SETTINGS: settings} | _starters(program)
    path = (str(_SCRIPTS), str(programs), str(scripts), str(base_program.parent))
    return PythonView(program, tuple(binds), path, folders, (*links, *script_links), files)


def _starters(program: PurePosixPath) -> dict[PurePosixPath, str]:
    """The scripts `python` and `python3`, the first of their names in `PATH`."""
    return {BIN / name: interpreter_script(Path(program)) for name in INTERPRETER_NAMES}


def _script_links(
    folder: Path, inside: PurePosixPath, program: PurePosixPath
) -> tuple[list[tuple[str, PurePosixPath]], dict[PurePosixPath, str]]:
    """Links for the Python scripts of a folder to a file that runs each of them with the interpreter `program`.

    The first line of such a script names its interpreter by a path of the host.
    """
    names = [path.name for path in sorted(folder.iterdir()) if _is_python_script(path)][:_MAX_SCRIPTS]
    launcher = BIN / "script"
    text = f'#!/bin/sh\nexec {program} {inside}/"${{0##*/}}" "$@"\n'
    return [(str(launcher), _SCRIPTS / name) for name in names], {launcher: text}


def _is_python_script(path: Path) -> bool:
    try:
        if not path.is_file() or not os.access(path, os.X_OK):
            return False
        with path.open("rb") as file:
            first_lines = file.read(_SCRIPT_START_BYTES).split(b"\n")[:2]
    except OSError:
        return False
    # A path that is long or has spaces is in the second line, which a shell reads.
    return first_lines[0].startswith(b"#!") and any(b"python" in line for line in first_lines)


def _neutral_settings(file: Path, home: PurePosixPath) -> str | None:
    """The settings of a virtual environment with another home, without the command that made it."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    values = {key.strip().lower(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    kept = [(key, values[key]) for key in ("include-system-site-packages", "version") if key in values]
    return "".join(f"{key} = {value}\n" for key, value in [("home", str(home)), *kept])


def _prefixes(python: Path) -> _Prefixes:
    code = "import sys; print(sys.prefix, sys.base_prefix, sys.base_exec_prefix, sep='\\n')"
    try:
        output = subprocess.run(
            [str(python), "-I", "-c", code], capture_output=True, text=True, check=True, timeout=_PYTHON_TIMEOUT_S
        ).stdout.splitlines()
        return _Prefixes(*map(Path, output))
    except (OSError, TypeError, subprocess.SubprocessError) as e:
        raise EngineUnavailable(
            f"The interpreter {python} does not run: {e}", "Give --python another interpreter."
        ) from e


def _folders(python: Path, prefixes: Sequence[Path]) -> tuple[Path, ...]:
    """The directories outside `/usr` that an interpreter needs, its virtual environment first."""
    found = list(prefixes)
    # Every link from the given path to the program must exist inside the sandbox as well.
    link = python
    for _ in range(_MAX_LINKS):
        if link.parent.name == "bin" and _has_python(link.parent.parent):
            found.append(link.parent.parent)
        if not link.is_symlink():
            break
        link = Path(os.path.normpath(link.parent / link.readlink()))
    home = Path.home()
    # A prefix that contains the home directory would show the user's files to the model.
    return tuple(
        dict.fromkeys(prefix for prefix in found if not _is_system(prefix) and not home.is_relative_to(prefix))
    )


def _is_system(path: Path) -> bool:
    return path.is_relative_to("/usr")


def _has_python(prefix: Path) -> bool:
    return (prefix / _SETTINGS).is_file() or any(prefix.glob("lib/python3*"))
