from .trial import VALIDATOR, Staged, StagedHub, TrialEntry, read_entries, stage
from .verification import METRICS, Step, Verification, verify

__all__ = [
    "METRICS",
    "VALIDATOR",
    "Staged",
    "StagedHub",
    "Step",
    "TrialEntry",
    "Verification",
    "read_entries",
    "stage",
    "verify",
]
