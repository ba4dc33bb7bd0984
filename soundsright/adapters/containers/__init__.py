"""The sandbox that runs each model in a container of Docker or Podman.

`DockerSandbox` builds the image from the model's Dockerfile and starts it with as few privileges as possible.
It removes only the containers and images that it created.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
