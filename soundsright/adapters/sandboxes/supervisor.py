"""The supervisor program: starts a model, watches its limits, and ends all its processes, however the harness ends.

`SupervisedProgram` runs it by its path, with the standard library alone. Do not import it. Sizes are in bytes and
times in seconds.

stdin has one line of JSON (`ProgramSpec` in supervisor_client.py) and then stays open. It closes when the harness
ends, even by a kill, and the supervisor then ends the model. Any further line begins a new peak of memory. stdout
has one JSON report per line: `{"peak_memory_bytes": n}`, the same with `"restarted": 1` where a new peak begins,
`{"killed": "memory" | "pids"}` or `{"exit_status": n}`. stderr is the model's log.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

SAMPLE_S = 0.25
END_TIMEOUT_S = 10.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    spec = json.loads(_first_line(0))
    if sys.platform == "linux":
        # A child whose parent ended becomes a child of this process, not of init, so that it cannot escape.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _become_the_model(spec)
    for fd in spec["pass_fds"]:
        os.close(fd)
    try:
        _watch(child, spec)
    finally:
        _end_all(child)
        for path in spec["cgroups"]:
            _remove_cgroup(path)
        for path in spec["remove"]:
            shutil.rmtree(path, ignore_errors=True)


def _first_line(fd: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            sys.exit(0)
        line += byte
    return line


def _become_the_model(spec: dict[str, Any]) -> None:
    try:
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            os.sched_setaffinity(0, spec["cpus"])
        for path in spec["cgroups"]:
            Path(path, "cgroup.procs").write_text(str(os.getpid()))
        for name, value in spec["rlimits"].items():
            number = getattr(resource, name)
            hard = resource.getrlimit(number)[1]
            # A process may only lower its hard limit, so stay below the limit of the harness.
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (value, value))
        os.chdir(spec["cwd"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        for fd in spec["pass_fds"]:
            os.set_inheritable(fd, True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])
    except OSError as e:
        os.write(2, f"cannot start {spec['argv'][0]}: {e}\n".encode())
    finally:
        os._exit(127)


def _watch(child: int, spec: dict[str, Any]) -> None:
    """Watch the model's limits until the model or the harness ends."""
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    if hasattr(os, "pidfd_open"):
        poll.register(os.pidfd_open(child), select.POLLIN)
    peak, measured_by_cgroup, pause_s = 0, bool(spec["peak_file"]), 0.02
    while True:
        events = dict(poll.poll(pause_s * 1000))
        pause_s = min(2 * pause_s, SAMPLE_S)
        restarts = 0 in events
        if restarts and not os.read(0, 4096):
            return
        if measured_by_cgroup:
            used = _number_in(spec["peak_file"])
        else:
            tree = _memory_by_descendant(os.getpid())
            used = sum(tree.values())
            for resource_name, value, limit in (
                ("memory", used, spec["memory_bytes"]),
                ("pids", len(tree), spec["pids"]),
            ):
                if value > limit:
                    _report(peak_memory_bytes=max(used, peak), killed=resource_name)
                    return
        if restarts:
            peak = used
            _report(peak_memory_bytes=peak, restarted=1)
        elif used > peak:
            peak = used
            _report(peak_memory_bytes=peak)
        status = _reap(child)
        if status is not None:
            if _was_out_of_memory(spec["oom_file"]):
                _report(killed="memory")
            _report(exit_status=status)
            return


def _reap(child: int) -> int | None:
    """Reap every process that ended. The model's exit status (128 + signal), or None if it still runs."""
    exit_status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                exit_status = code if code >= 0 else 128 - code
    return exit_status


def _memory_by_descendant(root: int) -> dict[int, int]:
    """The memory of each descendant of a process, with its page tables. Empty on a system without /proc.

    A process that touches one page of every 2 MiB has as much memory in page tables as in pages, or much more if it
    only reads: all pages are then the same empty one.
    """
    return {pid: _memory_of(pid) for pid in _descendants(root)}


def _memory_of(pid: int) -> int:
    used_kib = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            name, _, value = line.partition(b":")
            if name in (b"VmRSS", b"VmPTE", b"VmSwap"):
                used_kib += int(value.split()[0])
    return used_kib * 1_024


def _descendants(root: int) -> list[int]:
    """The descendants of a process. Empty on a system without /proc."""
    parents: dict[int, int] = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    descendants = []
    for pid in parents:
        ancestor, steps = parents[pid], 0
        while ancestor != root and ancestor in parents and steps < 10_000:
            ancestor, steps = parents[ancestor], steps + 1
        if ancestor == root:
            descendants.append(pid)
    return descendants


def _end_all(child: int) -> None:
    """Kill the model's process group and every descendant, repeatedly until none is left."""
    until = time.monotonic() + END_TIMEOUT_S
    while time.monotonic() < until:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        for pid in _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reap(child)
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        time.sleep(0.005)


def _remove_cgroup(path: str) -> None:
    # The kernel may return EBUSY for a moment after the last process has ended.
    until = time.monotonic() + END_TIMEOUT_S
    while time.monotonic() < until:
        try:
            Path(path).rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)


def _was_out_of_memory(path: str) -> bool:
    if not path:
        return False
    with contextlib.suppress(OSError):
        return any(
            line.startswith("oom_kill ") and line != "oom_kill 0" for line in Path(path).read_text().splitlines()
        )
    return False


def _number_in(path: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(Path(path).read_text())
    return 0


def _report(**facts: object) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(facts).encode() + b"\n")


if __name__ == "__main__":
    main()
