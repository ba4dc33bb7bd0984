from . import database
from .accounts import SqlAccounts
from .artifacts import Artifacts
from .counters import SqlCounters
from .looking import look_at_file
from .records import SqlRecords
from .redis_counters import RedisCounters
from .store import SqlState

__all__ = [
    "Artifacts",
    "RedisCounters",
    "SqlAccounts",
    "SqlCounters",
    "SqlRecords",
    "SqlState",
    "database",
    "look_at_file",
]
