from .bundle import bundle_bytes, write_bundle
from .corpus_words import WITHHELD, payment_sentence
from .feedback import DOCUMENT_SCHEMA, Feedback, SignedFeedback, open_feedback, sign_feedback
from .feedback_store import FeedbackFile, FeedbackStore, SignedFeedbackFile, read_document, read_feedback
from .fields import SafeName, ShortText
from .outcome import results_of, scores_of, scores_text, write_json
from .outcome_feedback import feedback_of
from .ranks import PossibleRanks, possible_ranks
from .reading import read_results, read_scores
from .results import (
    RESULTS_SCHEMA,
    CompetitionDoc,
    DecisionDoc,
    EstimateDoc,
    MetricDoc,
    RecipeDoc,
    Results,
    RowDoc,
    ScoreLine,
)
from .reveal import REVEAL_SCHEMA, RevealDocument, SignedReveal, open_reveal, reveal_document, sign_reveal
from .runs import (
    BUNDLE,
    REFERENCES,
    UNPROCESSED,
    Run,
    RunCompetition,
    RunEntry,
    find_runs,
    read_runs,
    run_of,
    run_stamp,
    slug,
)
from .signed import (
    MAX_ENVELOPE_BYTES,
    DocumentKind,
    Envelope,
    ValidSignature,
    open_envelope,
    sign_document,
)
from .versions import scoring_versions

__all__ = [
    "BUNDLE",
    "DOCUMENT_SCHEMA",
    "MAX_ENVELOPE_BYTES",
    "REFERENCES",
    "RESULTS_SCHEMA",
    "REVEAL_SCHEMA",
    "UNPROCESSED",
    "WITHHELD",
    "CompetitionDoc",
    "DecisionDoc",
    "DocumentKind",
    "Envelope",
    "EstimateDoc",
    "Feedback",
    "FeedbackFile",
    "FeedbackStore",
    "MetricDoc",
    "PossibleRanks",
    "RecipeDoc",
    "Results",
    "RevealDocument",
    "RowDoc",
    "Run",
    "RunCompetition",
    "RunEntry",
    "SafeName",
    "ScoreLine",
    "ShortText",
    "SignedFeedback",
    "SignedFeedbackFile",
    "SignedReveal",
    "ValidSignature",
    "bundle_bytes",
    "feedback_of",
    "find_runs",
    "open_envelope",
    "open_feedback",
    "open_reveal",
    "payment_sentence",
    "possible_ranks",
    "read_document",
    "read_feedback",
    "read_results",
    "read_runs",
    "read_scores",
    "results_of",
    "reveal_document",
    "run_of",
    "run_stamp",
    "scores_of",
    "scores_text",
    "scoring_versions",
    "sign_document",
    "sign_feedback",
    "sign_reveal",
    "slug",
    "write_bundle",
    "write_json",
]
