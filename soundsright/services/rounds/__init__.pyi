from . import steps
from .clipset import (
    ClipSet,
    DrawnClips,
    SetRequest,
    draw_to_disk,
    finish_set,
    flush_files,
    make_folder,
    read_wav,
    reference_without_value,
    start_set,
    unfit_of,
    write_manifest,
    write_text,
    write_wav,
)
from .context import EarlierEntry, RoundContext
from .corpus_check import public_competitions
from .enhanced_clips import EnhancedClips
from .evaluator import batches_of
from .faults import UNSCORABLE, Cancelled, EntryStuck, ProgramFault, unexpected_errors_as_stuck
from .fetch_models import fetched_contents
from .fingerprints import PROBE_CLIPS, same_tensor_pairs, sketch_of
from .hiding import PRIVATE_FOLDER, make_private, recipe_sha256, shown_line, signal_sha256
from .job_results import result_of
from .last_entries import StandingEntries, StandingEntry, standing_entries
from .opening import (
    OpenedMaterial,
    commitment_to,
    is_public,
    material_digest,
    opened,
    opened_private,
    retirement,
    roots_of,
)
from .outcome import RoundOutcome
from .plan import BegunRound, RoundPlan, plan_facts
from .progress import Event
from .recorded_results import LONGEST_CLIP_S, Difference
from .recorded_round import RecordedRound, RecordedSet, plan_document
from .replay import Heard, Replayed, Unchecked, json_differences, replayed
from .round_material import commitment_of, committed_block, material_of_round
from .run import JudgedEntries, RoundService, begun, judged_entries, seed_hash
from .scoring import (
    DECIDED_DECIMALS,
    Scored,
    decided_scores,
    evidence_of_files,
    score_files,
    start_scoring,
    start_unprocessed,
)
from .screening import check_fetched, checked_dockerfile, screened

__all__ = [
    "DECIDED_DECIMALS",
    "LONGEST_CLIP_S",
    "PRIVATE_FOLDER",
    "PROBE_CLIPS",
    "UNSCORABLE",
    "BegunRound",
    "Cancelled",
    "ClipSet",
    "Difference",
    "DrawnClips",
    "EarlierEntry",
    "EnhancedClips",
    "EntryStuck",
    "Event",
    "Heard",
    "JudgedEntries",
    "OpenedMaterial",
    "ProgramFault",
    "RecordedRound",
    "RecordedSet",
    "Replayed",
    "RoundContext",
    "RoundOutcome",
    "RoundPlan",
    "RoundService",
    "Scored",
    "SetRequest",
    "StandingEntries",
    "StandingEntry",
    "Unchecked",
    "batches_of",
    "begun",
    "check_fetched",
    "checked_dockerfile",
    "commitment_of",
    "commitment_to",
    "committed_block",
    "decided_scores",
    "draw_to_disk",
    "evidence_of_files",
    "fetched_contents",
    "finish_set",
    "flush_files",
    "is_public",
    "json_differences",
    "judged_entries",
    "make_folder",
    "make_private",
    "material_digest",
    "material_of_round",
    "opened",
    "opened_private",
    "plan_document",
    "plan_facts",
    "public_competitions",
    "read_wav",
    "recipe_sha256",
    "reference_without_value",
    "replayed",
    "result_of",
    "retirement",
    "roots_of",
    "same_tensor_pairs",
    "score_files",
    "screened",
    "seed_hash",
    "shown_line",
    "signal_sha256",
    "sketch_of",
    "standing_entries",
    "start_scoring",
    "start_set",
    "start_unprocessed",
    "steps",
    "unexpected_errors_as_stuck",
    "unfit_of",
    "write_manifest",
    "write_text",
    "write_wav",
]
