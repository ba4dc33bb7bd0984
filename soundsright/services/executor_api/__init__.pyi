from .app import MAX_UPDATE_BYTES, ExecutorAccess, executor_app
from .callers import PermittedValidators

__all__ = [
    "MAX_UPDATE_BYTES",
    "ExecutorAccess",
    "PermittedValidators",
    "executor_app",
]
