"""A control group for one model, where this process may make one: the kernel then holds it to its limits.

Sizes in bytes. Both versions of the interface are known; where neither can be written, the answer is None and the
supervisor measures instead.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.ports import SandboxLimits

_PERIOD_US = 100_000


@dataclass(frozen=True)
class ControlGroup:
    """`paths` are joined by the model and removed after it; the files belong to its memory."""

    paths: tuple[str, ...]
    peak_file: str
    oom_file: str


def make_control_group(limits: SandboxLimits) -> ControlGroup | None:
    """A new group with the limits set, or None where this process may not make one."""
    name = f"soundsright-{secrets.token_hex(6)}"
    made: list[Path] = []
    try:
        group = _version_2(name, limits, made) or _version_1(name, limits, made)
    except OSError:
        group = None
    if group is None:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
    return group


def _version_2(name: str, limits: SandboxLimits, made: list[Path]) -> ControlGroup | None:
    own = next((path for controllers, path in _own_groups() if controllers == ""), None)
    root = next((path for kind, _, path in _mounts() if kind == "cgroup2"), None)
    if own is None or root is None:
        return None
    here = root / own.lstrip("/")
    # A group that holds processes cannot share out memory below itself, so the sibling is tried as well.
    for parent in (here, here.parent):
        try:
            if not {"memory", "pids"} <= set((parent / "cgroup.subtree_control").read_text().split()):
                continue
        except OSError:
            continue
        group = parent / name
        group.mkdir()
        made.append(group)
        (group / "memory.max").write_text(str(limits.memory_bytes))
        (group / "pids.max").write_text(str(limits.pids))
        for file, value in (("memory.swap.max", "0"), ("cpu.max", f"{_quota_us(limits)} {_PERIOD_US}")):
            if (group / file).exists():
                (group / file).write_text(value)
        peak = next((f for f in ("memory.peak", "memory.current") if (group / f).exists()), "")
        return ControlGroup((str(group),), str(group / peak), str(group / "memory.events"))
    return None


def _version_1(name: str, limits: SandboxLimits, made: list[Path]) -> ControlGroup | None:
    own = {controller: path for controllers, path in _own_groups() for controller in controllers.split(",")}
    groups: dict[str, Path] = {}
    for kind, options, root in _mounts():
        for controller in ("memory", "pids", "cpu"):
            if kind == "cgroup" and controller in options and controller in own and controller not in groups:
                group = root / own[controller].lstrip("/") / name
                if group not in made:
                    group.mkdir()
                    made.append(group)
                groups[controller] = group
    if not {"memory", "pids"} <= groups.keys():
        return None
    memory = groups["memory"]
    (memory / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
    if (memory / "memory.memsw.limit_in_bytes").exists():
        (memory / "memory.memsw.limit_in_bytes").write_text(str(limits.memory_bytes))
    (groups["pids"] / "pids.max").write_text(str(limits.pids))
    if "cpu" in groups:
        (groups["cpu"] / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (groups["cpu"] / "cpu.cfs_quota_us").write_text(str(_quota_us(limits)))
    return ControlGroup(
        tuple(str(path) for path in made),
        str(memory / "memory.max_usage_in_bytes"),
        str(memory / "memory.oom_control"),
    )


def _quota_us(limits: SandboxLimits) -> int:
    return max(1_000, int(limits.cpus * _PERIOD_US))


def _own_groups() -> Iterator[tuple[str, str]]:
    """The controllers of each hierarchy (empty in version 2), and this process's place in it."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        yield controllers, path


def _mounts() -> Iterator[tuple[str, set[str], Path]]:
    """Kind, options and place of each mounted hierarchy."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split(" ")
        if kind in ("cgroup", "cgroup2"):
            yield kind, set(options.split(",")), Path(place)
