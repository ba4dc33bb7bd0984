from . import executor_steps
from .store import SUBMISSIONS, ExecutorStore

__all__ = [
    "SUBMISSIONS",
    "ExecutorStore",
    "executor_steps",
]
