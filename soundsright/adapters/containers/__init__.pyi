from .build_limits import BuildLimits
from .docker import DockerSandbox, DockerSettings
from .engine import Engine
from .loopback import LocalRegistry, local_registry
from .publish import publish_image

__all__ = [
    "BuildLimits",
    "DockerSandbox",
    "DockerSettings",
    "Engine",
    "LocalRegistry",
    "local_registry",
    "publish_image",
]
