from .repositories import HubRepository, HubServer
from .server import served_hub

__all__ = ["HubRepository", "HubServer", "served_hub"]
