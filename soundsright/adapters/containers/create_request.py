"""The request that creates a model's container: every restriction of the container, in one place.

Sizes are in bytes.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from soundsright.adapters.sandboxes import (
    EMPTY_FILES,
    EMPTY_FOLDERS,
    SHM_BYTES,
    VOLUME_BYTES,
    Gpu,
    device_request,
    model_environment,
    protocol_folders,
    random_uid,
)
from soundsright.core.errors import ProtocolViolation
from soundsright.core.ports import SandboxLimits

_MASKED = (
    # The engine itself would mask these.
    *("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
    *("/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"),
    *EMPTY_FILES,
    *EMPTY_FOLDERS,
    *("/proc/stat", "/proc/uptime", "/proc/loadavg", "/proc/vmstat", "/sys/fs", "/sys/block", "/sys/class/block"),
    *("/sys/devices/system/cpu/cpufreq", "/sys/devices/system/cpu/cpuidle"),
)
"""Paths that the model sees empty, because they tell what else runs on the machine."""
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def create_request(
    image_id: str,
    image_config: Mapping[str, Any],
    limits: SandboxLimits,
    *,
    labels: Mapping[str, str],
    cpus: Sequence[int],
    gpus: Sequence[Gpu] = (),
    cdi: bool = False,
    runtime: str | None = None,
    seccomp: str,
    by_files: bool = False,
    shared: Path | None = None,
    read_only: Sequence[str] = (),
) -> dict[str, Any]:
    """The body of the engine's `POST /containers/create`.

    `image_config` is the image's own configuration. `shared` is a folder on the host that contains the folders of
    the protocol; without it they are in the container's memory. `read_only` names folders that this engine would
    leave writable in spite of a read-only root.

    Raises:
        ProtocolViolation: the image declares a volume at a system folder such as `/proc`.
    """
    folders = protocol_folders(limits, by_files=by_files)
    tmpfs = _tmpfs(image_config, limits, read_only)
    if shared is None:
        tmpfs |= {str(folder): f"rw,nosuid,nodev,noexec,size={n},mode=1777" for folder, n in folders.items()}
    mounts = [] if shared is None else [_bind_mount(shared / folder.name, folder) for folder in folders]
    environment = model_environment(limits, path=_image_path(image_config))
    environment["NVIDIA_VISIBLE_DEVICES"] = _visible_gpus(gpus, cdi=cdi)
    host_config = _host_config(limits, cpus, seccomp) | {"Tmpfs": tmpfs, "Mounts": mounts}
    if gpus:
        host_config["DeviceRequests"] = [device_request(gpus, cdi=cdi)]
    if runtime:
        host_config["Runtime"] = runtime
    return {
        "Image": image_id,
        "User": _user(image_config, shared),
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": dict(labels),
        "Hostname": "model",
        "NetworkDisabled": True,
        "Healthcheck": {"Test": ["NONE"]},
        "StopTimeout": 0,
        "HostConfig": host_config,
    }


def _bind_mount(source: Path, target: PurePosixPath) -> dict[str, Any]:
    """A folder on the host that the container can read and write."""
    return {"Type": "bind", "Source": str(source), "Target": str(target), "ReadOnly": False}


def _host_config(limits: SandboxLimits, cpus: Sequence[int], seccomp: str) -> dict[str, Any]:
    """The restrictions that every model gets."""
    return {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "MaskedPaths": list(_MASKED),
        "ShmSize": SHM_BYTES,
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp}"],
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "MemorySwappiness": 0,
        # An engine refuses more CPUs than the machine has.
        "NanoCpus": int(min(limits.cpus, len(cpus)) * 1e9),
        "CpusetCpus": ",".join(map(str, cpus)),
        "PidsLimit": limits.pids,
        "Ulimits": [
            {"Name": name, "Soft": value, "Hard": value}
            for name, value in (
                ("nofile", limits.open_files),
                ("nproc", max(limits.pids, 1)),
                ("fsize", limits.tmpfs_bytes),
                ("core", 0),
            )
        ],
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": str(max(limits.log_bytes, 4_096)), "max-file": "1"},
        },
        "Init": True,
        "RestartPolicy": {"Name": "no"},
        "Privileged": False,
        "PublishAllPorts": False,
    }


def _visible_gpus(gpus: Sequence[Gpu], *, cdi: bool) -> str:
    """The GPUs for the engine's NVIDIA runtime, which would otherwise obey an image that requests all of them."""
    return ",".join(gpu.uuid for gpu in gpus) if gpus and not cdi else "void"


def _tmpfs(image_config: Mapping[str, Any], limits: SandboxLimits, read_only: Sequence[str]) -> dict[str, str]:
    """The folders in the container's memory, with their mount options."""
    volumes = [str(name) for name in image_config.get("Volumes") or {}]
    for name in volumes:
        if posixpath.normpath("/" + name.lstrip("/")).split("/")[1] in ("", "proc", "sys", "dev"):
            raise ProtocolViolation(f"the image declares the volume {name[:100]!a}; write to /tmp instead")
    tmpfs = {"/tmp": f"rw,nosuid,nodev,size={limits.tmpfs_bytes},mode=1777"}
    # Without this, a volume that the image declares would be on the host's disk, without a size limit.
    tmpfs |= dict.fromkeys(volumes, f"rw,nosuid,nodev,size={VOLUME_BYTES}")
    tmpfs |= dict.fromkeys(read_only, "ro,nosuid,nodev,noexec,size=4096")
    return tmpfs


def _user(image_config: Mapping[str, Any], shared: Path | None) -> str:
    """The container's user and group, as numbers.

    The user is random, and no other model has it: across all containers, the kernel counts processes and file
    watches by user, and allows signals by user. The group is the image's own if it is a number, so that files of
    this group can be read. A harness that is not root and shares a folder uses its own user and group.
    """
    if shared is not None and os.geteuid() != 0:
        return f"{os.geteuid()}:{os.getegid()}"
    uid = random_uid()
    image_user, _, image_group = str(image_config.get("User") or "").partition(":")
    group = image_group or image_user
    return f"{uid}:{int(group) if group.isdecimal() and 0 < int(group) < 2**31 else uid}"


def _image_path(image_config: Mapping[str, Any]) -> str:
    """The image's own search path for programs."""
    for entry in image_config.get("Env") or []:
        if str(entry).startswith("PATH="):
            return str(entry).removeprefix("PATH=")
    return _DEFAULT_PATH
