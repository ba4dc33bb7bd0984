"""Copies that no hash shows: the same weights in another file, and models that answer as one.

Sizes are in bytes. Both functions give pairs for `ranking.duplicates.without_duplicates(likenesses=...)`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.audio import Samples
from soundsright.core.content import files_below
from soundsright.core.submission import FetchedModel, Submission
from soundsright.ranking.duplicates import Likeness
from soundsright.services.clipset import ClipSet, read_wav

if TYPE_CHECKING:
    from soundsright.ranking.tensors import TensorSummary

MIN_FILE_BYTES = 512
MAX_FILE_BYTES = 2_000_000_000
PROBE_CLIPS = 12

_log = logging.getLogger(__name__)


def model_tensors(folder: Path) -> tuple[TensorSummary, ...]:
    """The summaries of all tensors in a model's files, in the order of the paths. Links are not followed."""
    from soundsright.ranking.containers import tensors_of
    from soundsright.ranking.tensors import tensor_summaries

    found: list[TensorSummary] = []
    for path in files_below(folder):
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            _log.warning("too large to compare its tensors", extra={"action": "file_skipped", "path": str(path)})
        elif size >= MIN_FILE_BYTES:
            found.extend(tensor_summaries(tensors_of(path.read_bytes())))
    return tuple(found)


def same_tensor_pairs(models: Sequence[FetchedModel]) -> list[Likeness]:
    """The pairs of entries that hold the same tensors."""
    from soundsright.ranking.tensors import same_tensors

    return same_tensors({model.submission.entry_id: model_tensors(model.path) for model in models})


def near_copy_pairs(clips: ClipSet, enhanced: Path, entries: Sequence[Submission]) -> list[Likeness]:
    """The pairs of entries whose answers agree as only copies do, over the first clips of the set.

    `enhanced` holds a folder per entry, named by its id, with a WAV per clip; a clip that failed has none.

    Raises:
        InfrastructureFault: a file cannot be read back.
    """
    from soundsright.ranking.near_copies import near_copies

    probes = clips.clip_ids[:PROBE_CLIPS]
    clean = [clips.clean(clip_id).samples for clip_id in probes]

    def outputs(entry: Submission) -> list[Samples | None]:
        paths = [enhanced / entry.entry_id / f"{clip_id}.wav" for clip_id in probes]
        return [read_wav(path).samples if path.exists() else None for path in paths]

    return near_copies(clean, {entry.entry_id: outputs(entry) for entry in entries})
