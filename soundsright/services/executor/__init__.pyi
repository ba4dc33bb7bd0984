from . import executor_steps
from .calibration import Reference, ReferenceModel, built_in_reference
from .meter import ImageMeter, sandbox_limits
from .paying import ImageOrder, Reading, order_of_rows, payees_of
from .run_records import MeasurementLog, ReferenceStep, RunStep, StepLog
from .scored_clips import unprocessed_results
from .store import SUBMISSIONS, ExecutorStore
from .subsystem import ExecutorSubsystem

__all__ = [
    "SUBMISSIONS",
    "ExecutorStore",
    "ExecutorSubsystem",
    "ImageMeter",
    "ImageOrder",
    "MeasurementLog",
    "Reading",
    "Reference",
    "ReferenceModel",
    "ReferenceStep",
    "RunStep",
    "StepLog",
    "built_in_reference",
    "executor_steps",
    "order_of_rows",
    "payees_of",
    "sandbox_limits",
    "unprocessed_results",
]
