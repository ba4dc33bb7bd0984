from . import database
from .artifacts import Artifacts
from .store import SqlState

__all__ = [
    "Artifacts",
    "SqlState",
    "database",
]
