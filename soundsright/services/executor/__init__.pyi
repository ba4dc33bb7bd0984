from . import executor_steps
from .calibration import Reference, ReferenceModel, built_in_reference
from .checking import ResultsCheck, RoundCheck, Verdict
from .comparing import ComparedTime, Comparison, compared, differences_from_rules
from .context import ExecutorContext, JudgedSet
from .judging import ImageJudge
from .meter import ImageMeter, sandbox_limits
from .paying import ImageOrder, Reading, order_of_rows, payees_of
from .pulling import PULL_FAILED, forget_images, pulled
from .recomputing import Recomputed, recomputed
from .redrawing import Redrawing
from .results import MeasuredEntry, RoundResults, open_results
from .run_records import MeasurementLog, ReferenceStep, RunStep, StepLog
from .scored_clips import unprocessed_results
from .seen_rounds import SeenRounds
from .service import ExecutorService
from .signed_order import SignedOrder
from .store import SUBMISSIONS, ExecutorStore
from .subsystem import ExecutorSubsystem
from .tracking import RoundTracker, TrackedImage, tracked_images
from .view import ExecutorView

__all__ = [
    "PULL_FAILED",
    "SUBMISSIONS",
    "ComparedTime",
    "Comparison",
    "ExecutorContext",
    "ExecutorService",
    "ExecutorStore",
    "ExecutorSubsystem",
    "ExecutorView",
    "ImageJudge",
    "ImageMeter",
    "ImageOrder",
    "JudgedSet",
    "MeasuredEntry",
    "MeasurementLog",
    "Reading",
    "Recomputed",
    "Redrawing",
    "Reference",
    "ReferenceModel",
    "ReferenceStep",
    "ResultsCheck",
    "RoundCheck",
    "RoundResults",
    "RoundTracker",
    "RunStep",
    "SeenRounds",
    "SignedOrder",
    "StepLog",
    "TrackedImage",
    "Verdict",
    "built_in_reference",
    "compared",
    "differences_from_rules",
    "executor_steps",
    "forget_images",
    "open_results",
    "order_of_rows",
    "payees_of",
    "pulled",
    "recomputed",
    "sandbox_limits",
    "tracked_images",
    "unprocessed_results",
]
