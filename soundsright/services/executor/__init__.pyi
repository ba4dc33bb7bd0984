from . import executor_steps
from .paying import ImageOrder, Reading, order_of_rows, payees_of
from .store import SUBMISSIONS, ExecutorStore
from .subsystem import ExecutorSubsystem

__all__ = [
    "SUBMISSIONS",
    "ExecutorStore",
    "ExecutorSubsystem",
    "ImageOrder",
    "Reading",
    "executor_steps",
    "order_of_rows",
    "payees_of",
]
