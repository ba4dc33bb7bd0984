from .corpus_rounds import next_round, record_round, rounds_file
from .model_errors import model_error
from .trial import VALIDATOR, Staged, StagedHub, TrialEntry, read_entries, stage, trial_rules
from .verification import METRICS, Step, Verification, verify

__all__ = [
    "METRICS",
    "VALIDATOR",
    "Staged",
    "StagedHub",
    "Step",
    "TrialEntry",
    "Verification",
    "model_error",
    "next_round",
    "read_entries",
    "record_round",
    "rounds_file",
    "stage",
    "trial_rules",
    "verify",
]
