from .base_image import check_base, required_packages
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
    "check_base",
    "local_registry",
    "publish_image",
    "required_packages",
]
