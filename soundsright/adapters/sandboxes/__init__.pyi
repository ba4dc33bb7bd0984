# Sandboxes, built in and added by other packages.
from .bubblewrap import BubblewrapSandbox
from .endpoint import EndpointRunner
from .exposed import PrivatePaths, exposure
from .local import checked_interpreter
from .plugins import SANDBOX_PLUGINS, SandboxFactory, SandboxOptions, plugged_sandbox
from .process import ProcessSandbox

# isort: split
# The resources of this machine.
from .gpu import Gpu, GpuPool, chosen_gpus, device_request, find_gpus, gpu_use
from .reservations import ReservedResources, ResourcePool
from .resources import concurrency, memory_bytes, usable_cpus

# isort: split
# Parts for sandboxes of other rooms, such as containers: the model's surroundings.
from .cgroups import limit_socket_buffers
from .environment import (
    SHM_BYTES,
    SOCKET,
    VOLUME_BYTES,
    model_environment,
    protocol_folders,
    random_uid,
)
from .group_peak import GroupPeak
from .machine_files import EMPTY_FILES, EMPTY_FOLDERS
from .private_directories import PRIVATE_PREFIX, private_directory
from .seccomp import engine_profile

# isort: split
# Parts for the same: the connections to a started model, and its run.
from .connections import TCP_PORT, ModelConnector, SandboxNamespaces, unix_connection
from .session import ModelSession, StartedModel, loaded_session
from .stopping import STOPPED, StopSource, StopToken

__all__ = [
    "EMPTY_FILES",
    "EMPTY_FOLDERS",
    "PRIVATE_PREFIX",
    "SANDBOX_PLUGINS",
    "SHM_BYTES",
    "SOCKET",
    "STOPPED",
    "TCP_PORT",
    "VOLUME_BYTES",
    "BubblewrapSandbox",
    "EndpointRunner",
    "Gpu",
    "GpuPool",
    "GroupPeak",
    "ModelConnector",
    "ModelSession",
    "PrivatePaths",
    "ProcessSandbox",
    "ReservedResources",
    "ResourcePool",
    "SandboxFactory",
    "SandboxNamespaces",
    "SandboxOptions",
    "StartedModel",
    "StopSource",
    "StopToken",
    "checked_interpreter",
    "chosen_gpus",
    "concurrency",
    "device_request",
    "engine_profile",
    "exposure",
    "find_gpus",
    "gpu_use",
    "limit_socket_buffers",
    "loaded_session",
    "memory_bytes",
    "model_environment",
    "plugged_sandbox",
    "private_directory",
    "protocol_folders",
    "random_uid",
    "unix_connection",
    "usable_cpus",
]
