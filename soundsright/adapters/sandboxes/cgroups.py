"""A control group for one model, through which the kernel enforces the model's limits.

Both versions of the kernel's interface are supported. If this process may not create a group, the supervisor
enforces the limits instead. Sizes are in bytes.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.ports import SandboxLimits

_PERIOD_US = 100_000
_SOCKET_SHARE = 8
"""A model's only connections are from the harness and within itself: an eighth of its memory is enough for them."""


@dataclass(frozen=True)
class ControlGroup:
    """The group's directories and its memory files.

    The model joins the group through `paths`, which are removed after it has ended. `peak_file` gives the peak
    memory. `oom_file` says whether the kernel killed the model for using too much memory.
    """

    paths: tuple[str, ...]
    peak_file: str
    oom_file: str


def make_control_group(limits: SandboxLimits) -> ControlGroup | None:
    """A new group with these limits, or None if this process may not create one."""
    name = f"soundsright-{secrets.token_hex(6)}"
    created: list[Path] = []
    try:
        group = _version_2(name, limits, created) or _version_1(name, limits, created)
    except OSError:
        group = None
    if group is None:
        for path in created:
            with contextlib.suppress(OSError):
                path.rmdir()
    return group


def _version_2(name: str, limits: SandboxLimits, created: list[Path]) -> ControlGroup | None:
    own_path = next((path for controllers, path in _own_groups() if controllers == ""), None)
    root = next((path for kind, _, path in _mounts() if kind == "cgroup2"), None)
    if own_path is None or root is None:
        return None
    own_group = root / own_path.lstrip("/")
    # A group that has processes cannot have child groups with memory limits, so try its parent as well.
    for parent in (own_group, own_group.parent):
        try:
            if not {"memory", "pids"} <= set((parent / "cgroup.subtree_control").read_text().split()):
                continue
        except OSError:
            continue
        group = parent / name
        group.mkdir()
        created.append(group)
        (group / "memory.max").write_text(str(limits.memory_bytes))
        (group / "pids.max").write_text(str(limits.pids))
        for file, value in (("memory.swap.max", "0"), ("cpu.max", f"{_quota_us(limits)} {_PERIOD_US}")):
            if (group / file).exists():
                (group / file).write_text(value)
        peak = next((f for f in ("memory.peak", "memory.current") if (group / f).exists()), "")
        return ControlGroup((str(group),), str(group / peak), str(group / "memory.events"))
    return None


def _version_1(name: str, limits: SandboxLimits, created: list[Path]) -> ControlGroup | None:
    own_paths = {controller: path for controllers, path in _own_groups() for controller in controllers.split(",")}
    groups: dict[str, Path] = {}
    for kind, options, root in _mounts():
        for controller in ("memory", "pids", "cpu"):
            if kind == "cgroup" and controller in options and controller in own_paths and controller not in groups:
                group = root / own_paths[controller].lstrip("/") / name
                if group not in created:
                    group.mkdir()
                    created.append(group)
                groups[controller] = group
    if not {"memory", "pids"} <= groups.keys():
        return None
    memory = groups["memory"]
    (memory / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
    if (memory / "memory.memsw.limit_in_bytes").exists():
        (memory / "memory.memsw.limit_in_bytes").write_text(str(limits.memory_bytes))
    _limit_sockets(memory, limits)
    (groups["pids"] / "pids.max").write_text(str(limits.pids))
    if "cpu" in groups:
        (groups["cpu"] / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (groups["cpu"] / "cpu.cfs_quota_us").write_text(str(_quota_us(limits)))
    return ControlGroup(
        tuple(str(path) for path in created),
        str(memory / "memory.max_usage_in_bytes"),
        str(memory / "memory.oom_control"),
    )


def limit_socket_buffers(group: str | None, limits: SandboxLimits) -> bool:
    """Limit the buffers of Internet sockets in a group whose first process starts later.

    `group` is its path below the root of each hierarchy, or None if it is not known. Only version 1 needs this.
    Returns whether the buffers are limited now, or count with the other memory anyway.
    """
    hierarchies = [root for kind, options, root in _mounts() if kind == "cgroup" and "memory" in options]
    if not hierarchies:
        return True
    if group is None:
        return False
    try:
        for root in hierarchies:
            (root / group).mkdir()
            _limit_sockets(root / group, limits)
    except OSError:
        return False
    return True


def _limit_sockets(memory: Path, limits: SandboxLimits) -> None:
    # Version 1 counts the buffers of Internet sockets apart, and only those of sockets that are opened after this.
    file = memory / "memory.kmem.tcp.limit_in_bytes"
    if file.exists():
        file.write_text(str(limits.memory_bytes // _SOCKET_SHARE))


def _quota_us(limits: SandboxLimits) -> int:
    return max(1_000, int(limits.cpus * _PERIOD_US))


def _own_groups() -> Iterator[tuple[str, str]]:
    """For each hierarchy: its controllers, separated by commas (empty in version 2), and this process's group."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        yield controllers, path


def _mounts() -> Iterator[tuple[str, set[str], Path]]:
    """The kind, the options and the directory of each mounted hierarchy."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, directory, kind, options, *_ = line.split(" ")
        if kind in ("cgroup", "cgroup2"):
            yield kind, set(options.split(",")), Path(directory)
