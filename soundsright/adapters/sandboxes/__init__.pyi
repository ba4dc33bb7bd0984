from .bubblewrap import BubblewrapSandbox
from .gpu import Gpu, GpuPool, GpuWatch, chosen_gpus, device_request, find_gpus, gpu_use
from .local import checked_interpreter
from .process import ProcessSandbox
from .reach import TCP_PORT, Way, connect_inside, connect_to, listening_ports, open_inside
from .resources import CpuPool, concurrency, memory_bytes, usable_cpus
from .runs import Run, Runs
from .seccomp import engine_profile
from .session import (
    FIRST_UID,
    FOLDER,
    INPUT,
    OUTPUT,
    RUN_BYTES,
    SHM_BYTES,
    SOCKET,
    UIDS,
    Session,
    client_of,
    loaded,
    model_environment,
)
from .supervised import PRIVATE_PREFIX, private_directory

__all__ = [
    "FIRST_UID",
    "FOLDER",
    "INPUT",
    "OUTPUT",
    "PRIVATE_PREFIX",
    "RUN_BYTES",
    "SHM_BYTES",
    "SOCKET",
    "TCP_PORT",
    "UIDS",
    "BubblewrapSandbox",
    "CpuPool",
    "Gpu",
    "GpuPool",
    "GpuWatch",
    "ProcessSandbox",
    "Run",
    "Runs",
    "Session",
    "Way",
    "checked_interpreter",
    "chosen_gpus",
    "client_of",
    "concurrency",
    "connect_inside",
    "connect_to",
    "device_request",
    "engine_profile",
    "find_gpus",
    "gpu_use",
    "listening_ports",
    "loaded",
    "memory_bytes",
    "model_environment",
    "open_inside",
    "private_directory",
    "usable_cpus",
]
