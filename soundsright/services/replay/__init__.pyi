from .answering import GivenAnswers, RunPorts
from .attestation import REPLAY, attestation_facts
from .attestations import (
    ATTESTATIONS,
    Attestation,
    FoundAttestations,
    SampleFacts,
    open_attestation,
    read_attestations,
)
from .bundle_audio import ON_RECORD, Listening, listening
from .clips import clips_again
from .deciding import decided_again, record_of_bundle
from .keeping import KeptWork
from .matching import LEAST_AGREEMENT_DB, match_of
from .plan import BLOCKS_AFTER, SampleBlock, ScoredPair, pairs_of, sample_block, sampled
from .refusing import FoundModels, models_again
from .report import ANSWERS, SCORES, Depth, ReplayReport, Sample, counted
from .running import run_again
from .scoring import CheckedScore, line_of, read_checked, scored_again, start_file

__all__ = [
    "ANSWERS",
    "ATTESTATIONS",
    "BLOCKS_AFTER",
    "LEAST_AGREEMENT_DB",
    "ON_RECORD",
    "REPLAY",
    "SCORES",
    "Attestation",
    "CheckedScore",
    "Depth",
    "FoundAttestations",
    "FoundModels",
    "GivenAnswers",
    "KeptWork",
    "Listening",
    "ReplayReport",
    "RunPorts",
    "Sample",
    "SampleBlock",
    "SampleFacts",
    "ScoredPair",
    "attestation_facts",
    "clips_again",
    "counted",
    "decided_again",
    "line_of",
    "listening",
    "match_of",
    "models_again",
    "open_attestation",
    "pairs_of",
    "read_attestations",
    "read_checked",
    "record_of_bundle",
    "run_again",
    "sample_block",
    "sampled",
    "scored_again",
    "start_file",
]
