from .core.audio import Audio, Clip
from .core.errors import AudioRejected, InfrastructureFault, SoundsRightError, UsageError
from .core.results import ClipResult, Estimate
from .data import SetRecipe, SetReport
from .library import (
    FolderScore,
    MetricComparison,
    SandboxChoice,
    StudyPlan,
    SystemComparison,
    UtteranceScore,
    compare,
    generate,
    open_run,
    plan_study,
    read_set,
    score,
    score_folder,
    verify,
)
from .metrics import NoValue
from .services.local import Verification
from .services.records import Run

__version__: str

__all__ = [
    "Audio",
    "AudioRejected",
    "Clip",
    "ClipResult",
    "Estimate",
    "FolderScore",
    "InfrastructureFault",
    "MetricComparison",
    "NoValue",
    "Run",
    "SandboxChoice",
    "SetRecipe",
    "SetReport",
    "SoundsRightError",
    "StudyPlan",
    "SystemComparison",
    "UsageError",
    "UtteranceScore",
    "Verification",
    "compare",
    "generate",
    "open_run",
    "plan_study",
    "read_set",
    "score",
    "score_folder",
    "verify",
]
