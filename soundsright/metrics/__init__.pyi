from .align import MAX_DELAY_S, aligned
from .evidence import ClipEvidence, clip_evidence
from .facts import Direction, Metric, PluggedMetric
from .hallucination import FLAGGED_ABOVE, Change, Hallucination, Place, clip_hallucination
from .published import PUBLISHED_TABLES, Column, PublishedTable, published_table
from .registry import METRICS, check_packages, floors, known_metrics, metric
from .shared_clip import NoValue
from .signs import AnswerSigns, answer_hints, answer_signs
from .suite import Measurement, is_blank, measured_clip, score_clip, scoring_deadline_s, warm_up
from .undefined import why_undefined
from .validate import checked_enhanced, mono_audio

__all__ = [
    "FLAGGED_ABOVE",
    "MAX_DELAY_S",
    "METRICS",
    "PUBLISHED_TABLES",
    "AnswerSigns",
    "Change",
    "ClipEvidence",
    "Column",
    "Direction",
    "Hallucination",
    "Measurement",
    "Metric",
    "NoValue",
    "Place",
    "PluggedMetric",
    "PublishedTable",
    "aligned",
    "answer_hints",
    "answer_signs",
    "check_packages",
    "checked_enhanced",
    "clip_evidence",
    "clip_hallucination",
    "floors",
    "is_blank",
    "known_metrics",
    "measured_clip",
    "metric",
    "mono_audio",
    "published_table",
    "score_clip",
    "scoring_deadline_s",
    "warm_up",
    "why_undefined",
]
