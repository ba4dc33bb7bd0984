"""Between the harness and a model: a process that ends all that the model started, whatever ends the harness.

Run as a program, by path, with the standard library alone; never imported. Sizes in bytes, times in seconds.

stdin holds one line of JSON (`Spec` in sandbox_supervised.py), then stays open: its end, which comes even when the
harness is killed, ends the model. stdout says what happens, one JSON object a line: `{"peak_memory_bytes": n}`,
`{"killed": "memory" | "pids"}`, `{"exit_status": n}`. stderr is the model's own log.
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
PATIENCE_S = 10.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    spec = json.loads(_first_line(0))
    if sys.platform == "linux":
        # Orphans of the model come to this process instead of escaping to init.
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
            # A limit may be lowered, never raised: stay under what the harness itself was given.
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
    """Until the model ends or the harness does."""
    waiting = select.poll()
    waiting.register(0, select.POLLIN | select.POLLHUP)
    if hasattr(os, "pidfd_open"):
        waiting.register(os.pidfd_open(child), select.POLLIN)
    peak, measured_by_cgroup, pause_s = 0, bool(spec["peak_file"]), 0.02
    while True:
        events = dict(waiting.poll(pause_s * 1000))
        pause_s = min(2 * pause_s, SAMPLE_S)
        if 0 in events and not os.read(0, 4096):
            return
        if measured_by_cgroup:
            grown = _number_in(spec["peak_file"])
        else:
            tree = _tree(os.getpid())
            grown = sum(tree.values())
            for reason, value, most in (
                ("memory", grown, spec["memory_bytes"]),
                ("pids", len(tree), spec["pids"]),
            ):
                if value > most:
                    _say(peak_memory_bytes=max(grown, peak), killed=reason)
                    return
        if grown > peak:
            peak = grown
            _say(peak_memory_bytes=peak)
        status = _reap(child)
        if status is not None:
            if _was_out_of_memory(spec["oom_file"]):
                _say(killed="memory")
            _say(exit_status=status)
            return


def _reap(child: int) -> int | None:
    """Collect every process that ended; the model's exit status (128 + signal) if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                found = code if code >= 0 else 128 - code
    return found


def _tree(root: int) -> dict[int, int]:
    """The descendants of a process, each with its resident memory; empty where there is no /proc."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            resident[int(entry.name)] = int(fields[21]) * PAGE_BYTES
    below: dict[int, int] = {}
    for pid in parents:
        up, seen = parents[pid], 0
        while up != root and up in parents and seen < 10_000:
            up, seen = parents[up], seen + 1
        if up == root:
            below[pid] = resident[pid]
    return below


def _end_all(child: int) -> None:
    """Kill the model's group and every descendant, again and again until there is none."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        for pid in _tree(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reap(child)
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        time.sleep(0.005)


def _remove_cgroup(path: str) -> None:
    # The kernel may answer EBUSY for a moment after the last process is gone.
    until = time.monotonic() + PATIENCE_S
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


def _say(**facts: object) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(facts).encode() + b"\n")


if __name__ == "__main__":
    main()
