"""What is asked of a container engine for one model: the whole of it, in one function.

Sizes in bytes.
"""

from __future__ import annotations

import os
import posixpath
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soundsright.adapters.sandboxes import (
    FIRST_UID,
    FOLDER,
    INPUT,
    OUTPUT,
    RUN_BYTES,
    SHM_BYTES,
    UIDS,
    Gpu,
    device_request,
    model_environment,
)
from soundsright.core.errors import ProtocolViolation
from soundsright.core.ports import SandboxLimits

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def container_settings(
    image_id: str,
    config: Mapping[str, Any],
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
    closed: Sequence[str] = (),
) -> dict[str, Any]:
    """The body of the engine's `POST /containers/create`. `config` is what the image says of itself.

    `shared` is a host folder that holds the folders of the protocol; without it they are memory of the container.
    `closed` are folders that this engine leaves writable under a read-only root.

    Raises:
        ProtocolViolation: the image declares a volume where none can be.
    """
    volumes = [str(name) for name in config.get("Volumes") or {}]
    for name in volumes:
        if posixpath.normpath("/" + name.lstrip("/")).split("/")[1] in ("", "proc", "sys", "dev"):
            raise ProtocolViolation(f"the image declares the volume {name[:100]!a}; write to /tmp instead")
    tmpfs = {
        "/tmp": f"rw,nosuid,nodev,size={limits.tmpfs_bytes},mode=1777",
        # Whatever an image declares as a volume would be a disk of the host without a bound.
        **dict.fromkeys(volumes, f"rw,nosuid,nodev,size={RUN_BYTES}"),
    }
    tmpfs.update(dict.fromkeys(closed, "ro,nosuid,nodev,noexec,size=4096"))
    mounts = []
    talk = {FOLDER: RUN_BYTES, **(dict.fromkeys((INPUT, OUTPUT), limits.tmpfs_bytes) if by_files else {})}
    for folder, size in talk.items():
        if shared is None:
            tmpfs[str(folder)] = f"rw,nosuid,nodev,noexec,size={size},mode=1777"
        else:
            source = str(shared / folder.name)
            mounts.append({"Type": "bind", "Source": source, "Target": str(folder), "ReadOnly": False})
    environment = model_environment(limits, path=_image_path(config))
    # CUDA's images ask for every GPU in their own environment, and an engine's runtime may hear them.
    environment["NVIDIA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in gpus) if gpus and not cdi else "void"
    host: dict[str, Any] = {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "Tmpfs": tmpfs,
        "Mounts": mounts,
        "ShmSize": SHM_BYTES,
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp}"],
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "MemorySwappiness": 0,
        "NanoCpus": int(limits.cpus * 1e9),
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
    if gpus:
        host["DeviceRequests"] = [device_request(gpus, cdi=cdi)]
    if runtime:
        host["Runtime"] = runtime
    return {
        "Image": image_id,
        "User": _user(config, shared),
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": dict(labels),
        "Hostname": "model",
        "NetworkDisabled": True,
        "Healthcheck": {"Test": ["NONE"]},
        "StopTimeout": 0,
        "HostConfig": host,
    }


def _user(config: Mapping[str, Any], shared: Path | None) -> str:
    """A user that nobody else is: the kernel counts processes, watches and signals by user, past every container.

    Its group is the image's own where that is a number, so that files meant for its members can be read. Where a
    folder is shared by a harness that is not root, both are the harness's.
    """
    if shared is not None and os.geteuid() != 0:
        return f"{os.geteuid()}:{os.getegid()}"
    number = FIRST_UID + secrets.randbelow(UIDS)
    named, _, group = str(config.get("User") or "").partition(":")
    own = group or named
    return f"{number}:{int(own) if own.isdecimal() and 0 < int(own) < 2**31 else number}"


def _image_path(config: Mapping[str, Any]) -> str:
    for entry in config.get("Env") or []:
        if str(entry).startswith("PATH="):
            return str(entry).removeprefix("PATH=")
    return _PATH
