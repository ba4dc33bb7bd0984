from .base_image import check_base, pull_base, required_packages
from .build_limits import BuildLimits
from .docker import DockerSandbox, DockerSettings
from .engine import Engine
from .image_content import image_content_digest
from .loopback import LocalRegistry, local_registry
from .publish import publish_image

__all__ = [
    "BuildLimits",
    "DockerSandbox",
    "DockerSettings",
    "Engine",
    "LocalRegistry",
    "check_base",
    "image_content_digest",
    "local_registry",
    "publish_image",
    "pull_base",
    "required_packages",
]
