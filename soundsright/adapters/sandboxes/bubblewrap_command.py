"""The command line of bubblewrap for one model. It lists everything that the model can see and use.

Sizes are in bytes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from soundsright.adapters.sandboxes.environment import (
    INTERPRETER_NAMES,
    SHM_BYTES,
    SOCKET_FOLDER,
    interpreter_script,
    model_environment,
    protocol_folders,
    random_uid,
)
from soundsright.adapters.sandboxes.machine_files import (
    EMPTY_FILES,
    EMPTY_FOLDERS,
    moving_cpu_folders,
    steady_files,
)
from soundsright.core.errors import EngineUnavailable
from soundsright.core.ports import SandboxLimits

_PYTHON_TIMEOUT_S = 20.0
_MAX_LINKS = 16
_BIN = "/run/bin"
_PASSWD = "root:x:0:0::/:/bin/false\nmodel:x:1000:1000::/tmp:/bin/false\n"
_PROCESSORS = Path("/sys/devices/system/cpu")
_SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

FileOf = Callable[[bytes], int]
"""Gives the descriptor of a new file with this content, which bubblewrap reads."""


def bubblewrap_command(
    mounts: Sequence[Path],
    command: Sequence[str],
    model: Path,
    limits: SandboxLimits,
    *,
    hidden: Sequence[Path],
    interpreter: Path,
    by_files: bool,
    status_fd: int,
    filter_fd: int,
    file_of: FileOf,
) -> tuple[list[str], list[str]]:
    """The options of bubblewrap, and the command that it then runs.

    Pass the options through a file, not on the command line: the model can read the command line in `/proc/1`, and
    the options contain paths of the host. `hidden` are folders below the mounts that the model sees empty. Small
    files are copied from descriptors, because a mount shows the path of the file that it comes from.
    """
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    options += ["--hostname", "model", "--die-with-parent", "--new-session"]
    options += ["--seccomp", str(filter_fd), "--json-status-fd", str(status_fd)]
    options += ["--clearenv"]
    path = os.pathsep.join([_BIN, *(str(mount / "bin") for mount in mounts), os.defpath])
    for name, value in model_environment(limits, path=path).items():
        options += ["--setenv", name, value]
    options += _mount_options(mounts, model, limits, by_files=by_files)
    for folder in (*hidden, *moving_cpu_folders()):
        options += _empty_folder(folder)
    options += _kernel_file_options(limits, file_of)
    files = {"/etc/passwd": (_PASSWD, "0444")}
    files |= {f"{_BIN}/{name}": (interpreter_script(interpreter), "0755") for name in INTERPRETER_NAMES}
    for name, (text, mode) in files.items():
        options += ["--perms", mode, "--ro-bind-data", str(file_of(text.encode())), name]
    options += ["--remount-ro", "/dev", "--remount-ro", "/"]
    options += ["--cap-drop", "ALL"]
    inner_command = ["prlimit", f"--nproc={limits.pids}", "--", *command]
    if os.geteuid() == 0:
        uid = str(random_uid())
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            options += ["--cap-add", capability]
        drop = ["--clear-groups", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]
        inner_command = ["setpriv", "--reuid", uid, "--regid", uid, *drop, "--no-new-privs", "--", *inner_command]
    else:
        options += ["--unshare-user", "--uid", "1000", "--gid", "1000"]
    return options, inner_command


def _empty_folder(folder: Path) -> list[str]:
    return ["--perms", "0755", "--size", "4096", "--tmpfs", str(folder), "--remount-ro", str(folder)]


def _kernel_file_options(limits: SandboxLimits, file_of: FileOf) -> list[str]:
    """The options that put steady and empty files in the place of those that tell of the machine."""
    options: list[str] = []
    for name, text in steady_files(limits).items():
        options += ["--perms", "0444", "--ro-bind-data", str(file_of(text.encode())), name]
    for name in EMPTY_FILES:
        if Path(name).exists():
            options += ["--dev-bind", "/dev/null", name]
    for name in EMPTY_FOLDERS:
        if Path(name).is_dir():
            options += _empty_folder(Path(name))
    return options


def system_mounts() -> list[Path]:
    """The folders of the system that every model sees."""
    folders = [Path("/", name) for name in _SYSTEM_FOLDERS]
    return [Path("/usr"), *(path for path in folders if path.is_dir() and not path.is_symlink())]


def _mount_options(mounts: Sequence[Path], model: Path, limits: SandboxLimits, *, by_files: bool) -> list[str]:
    """The options for all folders and files that the model sees."""
    options: list[str] = []
    created: set[Path] = set()

    def parents_of(path: Path) -> list[str]:
        """Create each parent explicitly, because bubblewrap creates parents that only their owner may enter."""
        missing = [parent for parent in reversed(path.parents[:-1]) if parent not in created]
        created.update(missing)
        return [word for parent in missing for word in ("--perms", "0755", "--dir", str(parent))]

    def tmpfs(folder: str, size_bytes: int) -> list[str]:
        return ["--perms", "1777", "--size", str(size_bytes), "--tmpfs", folder]

    for path in (Path("/etc/passwd"), Path(SOCKET_FOLDER), Path(_BIN, "python"), _PROCESSORS):
        options += parents_of(path)
    for path in system_mounts():
        options += ["--ro-bind", str(path), str(path)]
    for path in (Path("/", name) for name in _SYSTEM_FOLDERS):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime"):
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    # Mount /tmp before the interpreter, because the interpreter can be inside /tmp.
    options += tmpfs("/tmp", limits.tmpfs_bytes)
    for path in mounts:
        options += [*parents_of(path), "--ro-bind", str(path), str(path)]
    options += ["--ro-bind", str(model), "/model", "--chdir", "/model"]
    options += ["--ro-bind-try", str(_PROCESSORS), str(_PROCESSORS)]
    options += ["--proc", "/proc", "--dev", "/dev"]
    options += tmpfs("/dev/shm", SHM_BYTES)
    for folder, size_bytes in protocol_folders(limits, by_files=by_files).items():
        options += tmpfs(str(folder), size_bytes)
    return options


def python_mounts(python: Path) -> tuple[Path, ...]:
    """The directories outside `/usr` that an interpreter needs, its virtual environment first.

    Raises:
        EngineUnavailable: if the interpreter does not run.
    """
    code = "import sys; print(sys.prefix, sys.base_prefix, sys.base_exec_prefix, sep='\\n')"
    try:
        output = subprocess.run(
            [str(python), "-I", "-c", code], capture_output=True, text=True, check=True, timeout=_PYTHON_TIMEOUT_S
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError) as e:
        raise EngineUnavailable(
            f"The interpreter {python} does not run: {e}", "Give --python another interpreter."
        ) from e
    prefixes = [Path(line) for line in output if line]
    # Every link from the given path to the program must exist inside the sandbox as well.
    link = python
    for _ in range(_MAX_LINKS):
        if link.parent.name == "bin" and _has_python(link.parent.parent):
            prefixes.append(link.parent.parent)
        if not link.is_symlink():
            break
        link = Path(os.path.normpath(link.parent / link.readlink()))
    home = Path.home()
    # A prefix that contains the home directory would show the user's files to the model.
    mounts = dict.fromkeys(
        prefix for prefix in prefixes if not prefix.is_relative_to("/usr") and not home.is_relative_to(prefix)
    )
    return tuple(mounts)


def _has_python(prefix: Path) -> bool:
    return (prefix / "pyvenv.cfg").is_file() or any(prefix.glob("lib/python3*"))
