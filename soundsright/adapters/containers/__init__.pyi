from .build_limits import BuildLimits
from .docker import DockerSandbox, DockerSettings
from .engine import Engine

__all__ = [
    "BuildLimits",
    "DockerSandbox",
    "DockerSettings",
    "Engine",
]
