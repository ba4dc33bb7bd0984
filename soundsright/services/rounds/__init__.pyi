from .answers import Cancelled, Scored, evidence_of_files, score_files
from .clipset import DrawnClips, SetRequest, draw_to_disk, read_wav, write_text, write_wav
from .run import ProgramFault, RoundService
from .screening import check_fetched, checked_dockerfile
from .types import Event, RoundOutcome, RoundPlan, entry_id_of, plan_facts

__all__ = [
    "Cancelled",
    "DrawnClips",
    "Event",
    "ProgramFault",
    "RoundOutcome",
    "RoundPlan",
    "RoundService",
    "Scored",
    "SetRequest",
    "check_fetched",
    "checked_dockerfile",
    "draw_to_disk",
    "entry_id_of",
    "evidence_of_files",
    "plan_facts",
    "read_wav",
    "score_files",
    "write_text",
    "write_wav",
]
