"""The command line of bubblewrap for one model: the whole of what the model can see and use.

Sizes in bytes.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

from soundsright.adapters.sandboxes.session import (
    FIRST_UID,
    FOLDER,
    INPUT,
    OUTPUT,
    RUN_BYTES,
    SHM_BYTES,
    UIDS,
    model_environment,
)
from soundsright.core.errors import EngineUnavailable
from soundsright.core.ports import SandboxLimits

_ASK_TIMEOUT_S = 20.0
_MAX_LINKS = 16
_BIN = "/run/bin"
_PROCESSORS = Path("/sys/devices/system/cpu")
"""How many there are; numerical libraries read it."""


def bubblewrap_arguments(
    mounts: Sequence[Path],
    command: Sequence[str],
    model: Path,
    private: Path,
    limits: SandboxLimits,
    *,
    by_files: bool,
    status_fd: int,
    filter_fd: int,
) -> tuple[list[str], list[str]]:
    """The options (what is shared, what is seen, what is given up), and the command that then runs.

    They are apart because the options go by a file handle: on the command line, which the model can read in its
    `/proc/1`, they would tell it the host's paths.
    """
    words = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--hostname", "model", "--die-with-parent", "--new-session"]
    words += ["--seccomp", str(filter_fd), "--json-status-fd", str(status_fd)]
    words += ["--clearenv"]
    paths = [str(path / "bin") for path in mounts]
    for name, value in model_environment(limits, path=os.pathsep.join([_BIN, *paths, os.defpath])).items():
        words += ["--setenv", name, value]
    made: set[Path] = set()

    def parents_of(path: Path) -> list[str]:
        """Named one by one, since bubblewrap makes parents that only their owner may enter."""
        missing = [parent for parent in reversed(path.parents[:-1]) if parent not in made]
        made.update(missing)
        return [word for parent in missing for word in ("--perms", "0755", "--dir", str(parent))]

    for path in (Path("/etc/passwd"), Path(FOLDER), _PROCESSORS):
        words += parents_of(path)
    words += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime"):
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    words += ["--ro-bind", str(private / "passwd"), "/etc/passwd", "--ro-bind", str(private / "bin"), _BIN]
    # Before the interpreter, which may lie below it.
    words += ["--perms", "1777", "--size", str(limits.tmpfs_bytes), "--tmpfs", "/tmp"]
    for path in mounts:
        words += [*parents_of(path), "--ro-bind", str(path), str(path)]
    words += ["--ro-bind", str(model), "/model", "--chdir", "/model"]
    words += ["--ro-bind-try", str(_PROCESSORS), str(_PROCESSORS)]
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--perms", "1777", "--size", str(SHM_BYTES), "--tmpfs", "/dev/shm"]
    words += ["--perms", "1777", "--size", str(RUN_BYTES), "--tmpfs", str(FOLDER)]
    if by_files:
        for folder in (INPUT, OUTPUT):
            words += ["--perms", "1777", "--size", str(limits.tmpfs_bytes), "--tmpfs", str(folder)]
    words += ["--remount-ro", "/dev", "--remount-ro", "/", "--cap-drop", "ALL"]
    inner = ["prlimit", f"--nproc={limits.pids}", "--", *command]
    if os.geteuid() == 0:
        uid = str(FIRST_UID + secrets.randbelow(UIDS))
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            words += ["--cap-add", capability]
        drop = ["--clear-groups", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]
        inner = ["setpriv", "--reuid", uid, "--regid", uid, *drop, "--no-new-privs", "--", *inner]
    else:
        words += ["--unshare-user", "--uid", "1000", "--gid", "1000"]
    return words, inner


def python_mounts(python: Path) -> tuple[Path, ...]:
    """The directories that an interpreter needs, its virtual environment first; `/usr` is there anyway.

    Raises:
        EngineUnavailable: if it cannot be run.
    """
    asked = "import sys; print(sys.prefix, sys.base_prefix, sys.base_exec_prefix, sep='\\n')"
    try:
        answer = subprocess.run(
            [str(python), "-I", "-c", asked], capture_output=True, text=True, check=True, timeout=_ASK_TIMEOUT_S
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError) as e:
        raise EngineUnavailable(f"The interpreter {python} does not run: {e}", "Name another one.") from e
    prefixes = [Path(line) for line in answer if line]
    # The chain of links from the given name to the program: each must exist inside as well.
    link = python
    for _ in range(_MAX_LINKS):
        if link.parent.name == "bin" and _holds_python(link.parent.parent):
            prefixes.append(link.parent.parent)
        if not link.is_symlink():
            break
        link = Path(os.path.normpath(link.parent / link.readlink()))
    home = Path.home()
    kept = dict.fromkeys(
        prefix for prefix in prefixes if not prefix.is_relative_to("/usr") and not home.is_relative_to(prefix)
    )
    return tuple(kept)


def _holds_python(prefix: Path) -> bool:
    return (prefix / "pyvenv.cfg").is_file() or any(prefix.glob("lib/python3*"))
