from . import steps
from .clipset import (
    ClipSet,
    DrawnClips,
    SetRequest,
    draw_to_disk,
    read_wav,
    reference_without_value,
    unfit_of,
    write_manifest,
    write_text,
    write_wav,
)
from .context import RoundContext
from .corpus_check import public_competitions
from .faults import Cancelled, ProgramFault
from .hiding import PRIVATE_FOLDER, recipe_sha256, shown_line, signal_sha256
from .opening import OpenedMaterial, commitment_to, is_public, material_digest, opened, opened_private, retirement
from .outcome import RoundOutcome
from .plan import BegunRound, RoundPlan, plan_facts
from .progress import Event
from .run import RoundService
from .scoring import Scored, evidence_of_files, score_files
from .screening import check_fetched, checked_dockerfile

__all__ = [
    "PRIVATE_FOLDER",
    "BegunRound",
    "Cancelled",
    "ClipSet",
    "DrawnClips",
    "Event",
    "OpenedMaterial",
    "ProgramFault",
    "RoundContext",
    "RoundOutcome",
    "RoundPlan",
    "RoundService",
    "Scored",
    "SetRequest",
    "check_fetched",
    "checked_dockerfile",
    "commitment_to",
    "draw_to_disk",
    "evidence_of_files",
    "is_public",
    "material_digest",
    "opened",
    "opened_private",
    "plan_facts",
    "public_competitions",
    "read_wav",
    "recipe_sha256",
    "reference_without_value",
    "retirement",
    "score_files",
    "shown_line",
    "signal_sha256",
    "steps",
    "unfit_of",
    "write_manifest",
    "write_text",
    "write_wav",
]
