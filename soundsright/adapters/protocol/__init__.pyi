from .client import ModelClient
from .files import FileClient
from .http import BoundedSocket, Connect, TooLarge

__all__ = [
    "BoundedSocket",
    "Connect",
    "FileClient",
    "ModelClient",
    "TooLarge",
]
