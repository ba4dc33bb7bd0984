"""The command line of bubblewrap for one model. It lists everything that the model can see and use.

Sizes are in bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from soundsright.adapters.sandboxes.environment import (
    SHM_BYTES,
    SOCKET_FOLDER,
    model_environment,
    protocol_folders,
    random_uid,
)
from soundsright.adapters.sandboxes.interpreter import BIN, PythonView
from soundsright.adapters.sandboxes.machine_files import (
    EMPTY_FILES,
    EMPTY_FOLDERS,
    moving_cpu_folders,
    steady_files,
)
from soundsright.core.ports import SandboxLimits

_PASSWD = "root:x:0:0::/:/bin/false\nmodel:x:1000:1000::/tmp:/bin/false\n"
_PROCESSORS = Path("/sys/devices/system/cpu")
_SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

FileOf = Callable[[bytes], int]
"""Gives the descriptor of a new file with this content, which bubblewrap reads."""


def bubblewrap_command(
    view: PythonView,
    command: Sequence[str],
    model: Path,
    limits: SandboxLimits,
    *,
    hidden: Sequence[PurePosixPath],
    by_files: bool,
    status_fd: int,
    filter_fd: int,
    file_of: FileOf,
) -> tuple[list[str], list[str]]:
    """The options of bubblewrap, and the command that it then runs.

    Pass the options through a file, not on the command line: the model can read the command line in `/proc/1`, and
    the options contain paths of the host. `hidden` are folders in the sandbox that the model sees empty. Small
    files are copied from descriptors, because a mount shows the path of the file that it comes from.
    """
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    options += ["--hostname", "model", "--die-with-parent", "--new-session"]
    options += ["--seccomp", str(filter_fd), "--json-status-fd", str(status_fd)]
    options += ["--clearenv"]
    path = os.pathsep.join([str(BIN), *view.path, os.defpath])
    for name, value in model_environment(limits, path=path).items():
        options += ["--setenv", name, value]
    if view.libraries is not None:
        options += ["--setenv", "LD_LIBRARY_PATH", str(view.libraries)]
    options += _mount_options(view, model, limits, by_files=by_files)
    for folder in (*hidden, *map(PurePosixPath, moving_cpu_folders())):
        options += _empty_folder(folder)
    options += _kernel_file_options(limits, file_of)
    for place, text in [(PurePosixPath("/etc/passwd"), _PASSWD), *view.files.items()]:
        mode = "0755" if text.startswith("#!") else "0444"
        options += ["--perms", mode, "--ro-bind-data", str(file_of(text.encode())), str(place)]
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


def _empty_folder(folder: PurePosixPath) -> list[str]:
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
            options += _empty_folder(PurePosixPath(name))
    return options


def system_mounts() -> list[Path]:
    """The folders of the system that every model sees."""
    folders = [Path("/", name) for name in _SYSTEM_FOLDERS]
    return [Path("/usr"), *(path for path in folders if path.is_dir() and not path.is_symlink())]


def _mount_options(view: PythonView, model: Path, limits: SandboxLimits, *, by_files: bool) -> list[str]:
    """The options for all folders and files that the model sees."""
    options: list[str] = []
    created: set[PurePosixPath] = set()

    def parents_of(path: PurePosixPath) -> list[str]:
        """Create each parent explicitly, because bubblewrap creates parents that only their owner may enter."""
        missing = [parent for parent in reversed(path.parents[:-1]) if parent not in created]
        created.update(missing)
        return [word for parent in missing for word in ("--perms", "0755", "--dir", str(parent))]

    def tmpfs(folder: str, size_bytes: int) -> list[str]:
        return ["--perms", "1777", "--size", str(size_bytes), "--tmpfs", folder]

    for place in (PurePosixPath("/etc/passwd"), SOCKET_FOLDER, BIN / "python", PurePosixPath(_PROCESSORS)):
        options += parents_of(place)
    for path in system_mounts():
        options += ["--ro-bind", str(path), str(path)]
    for path in (Path("/", name) for name in _SYSTEM_FOLDERS):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime"):
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    # Mount /tmp before the interpreter, because the interpreter can be inside /tmp.
    options += tmpfs("/tmp", limits.tmpfs_bytes)
    for source, place in view.binds:
        options += [*parents_of(place), "--ro-bind", str(source), str(place)]
    for text, place in view.links:
        options += [*parents_of(place), "--symlink", text, str(place)]
    for place in view.files:
        options += parents_of(place)
    options += ["--ro-bind", str(model), "/model", "--chdir", "/model"]
    options += ["--ro-bind-try", str(_PROCESSORS), str(_PROCESSORS)]
    options += ["--proc", "/proc", "--dev", "/dev"]
    options += tmpfs("/dev/shm", SHM_BYTES)
    for folder, size_bytes in protocol_folders(limits, by_files=by_files).items():
        options += tmpfs(str(folder), size_bytes)
    return options
