"""The labels of the containers and images that the harness creates. It removes only those that have them."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

LABEL = "soundsright"
"""On every container and image of the harness."""
OWNER_LABEL = "soundsright.owner"
"""The process that created a container. Once it has ended, any harness of the machine may remove the container."""
PRIVATE_LABEL = "soundsright.private"
"""The folder on the host that belongs to a container."""
ROUND_LABEL, ENTRY_LABEL, CONTENT_LABEL = "soundsright.round", "soundsright.entry", "soundsright.content"


def this_owner() -> str:
    """A name for this process that no other process has: host, PID namespace, boot, process ID and start time."""
    return "/".join((*_host_and_pid_namespace(), _boot_id(), str(os.getpid()), _start_time(os.getpid())))


def owner_may_run(owner: str) -> bool:
    """Whether the process of that name still runs. True if this process cannot see it, as on another host."""
    host, namespace, boot, pid, start_time = (owner.split("/") + [""] * 5)[:5]
    if (host, namespace) != _host_and_pid_namespace():
        return True
    return boot == _boot_id() and pid.isdecimal() and start_time != "" and _start_time(int(pid)) == start_time


def _host_and_pid_namespace() -> tuple[str, str]:
    with contextlib.suppress(OSError):
        return socket.gethostname(), Path("/proc/self/ns/pid").readlink().name
    return socket.gethostname(), ""


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _start_time(pid: int) -> str:
    """When a process started, in clock ticks since the boot; empty if it does not exist."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
