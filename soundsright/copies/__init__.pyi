from .behaviour import near_copies
from .duplicates import (
    Duplicate,
    DuplicateRule,
    Likeness,
    Unique,
    contest_of,
    contested_marks,
    earliest_of_duplicates,
    without_duplicates,
)
from .tensors import (
    TensorFingerprint,
    TensorSummary,
    fingerprint_deadline_s,
    merged_fingerprint,
    same_tensors,
    same_weights,
    sketch_holds,
    tensor_fingerprint,
    tensor_sketch,
)

__all__ = [
    "Duplicate",
    "DuplicateRule",
    "Likeness",
    "TensorFingerprint",
    "TensorSummary",
    "Unique",
    "contest_of",
    "contested_marks",
    "earliest_of_duplicates",
    "fingerprint_deadline_s",
    "merged_fingerprint",
    "near_copies",
    "same_tensors",
    "same_weights",
    "sketch_holds",
    "tensor_fingerprint",
    "tensor_sketch",
    "without_duplicates",
]
