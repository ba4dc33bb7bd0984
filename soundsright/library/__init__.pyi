from .comparison import MetricComparison, SystemComparison, compare
from .entry import model_of_folder, verified_entry, verify
from .planning import StudyCell, StudyNeed, StudyPlan, plan_study
from .published_tables import LikeColumn, LikeTable, like
from .rulesets import organiser_of
from .runs import open_run
from .sandboxes import SandboxChoice, check_folder, opened_sandbox
from .scoring import (
    FolderScore,
    SetGroups,
    UtteranceScore,
    score,
    score_folder,
    scored_report,
    scored_set,
    set_groups,
)
from .sets import generate, read_set, set_job
from .speech import SpeechChoice, check_price, chosen_speech, installed_speech, speech_description

__all__ = [
    "FolderScore",
    "LikeColumn",
    "LikeTable",
    "MetricComparison",
    "SandboxChoice",
    "SetGroups",
    "SpeechChoice",
    "StudyCell",
    "StudyNeed",
    "StudyPlan",
    "SystemComparison",
    "UtteranceScore",
    "check_folder",
    "check_price",
    "chosen_speech",
    "compare",
    "generate",
    "installed_speech",
    "like",
    "model_of_folder",
    "open_run",
    "opened_sandbox",
    "organiser_of",
    "plan_study",
    "read_set",
    "score",
    "score_folder",
    "scored_report",
    "scored_set",
    "set_groups",
    "set_job",
    "speech_description",
    "verified_entry",
    "verify",
]
