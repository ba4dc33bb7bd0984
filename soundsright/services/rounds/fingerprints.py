"""Copies that no hash shows: the same weights in another file, and models that answer as one.

The pairs are for `ranking.duplicates.without_duplicates(likenesses=...)`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.copies import Likeness
from soundsright.core.audio import Samples
from soundsright.core.content import files_below
from soundsright.core.errors import ModelFault
from soundsright.core.ports import Pool
from soundsright.core.results import Evaluation
from soundsright.core.submission import FetchedModel
from soundsright.services.rounds.clipset import ClipSet, read_wav
from soundsright.services.rounds.jobs import result_on

if TYPE_CHECKING:
    from soundsright.copies import TensorFingerprint, TensorSummary

PROBE_CLIPS = 12

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TensorsCompared:
    """The pairs of entries that hold the same tensors; by entry id, which files could not be compared.

    `sketches` are, by entry id, what is remembered of the tensors that were read.
    """

    pairs: tuple[Likeness, ...]
    unread: Mapping[str, tuple[str, ...]]
    sketches: Mapping[str, str]


def same_tensor_pairs(
    models: Sequence[FetchedModel],
    pool: Pool,
    *,
    since: Callable[[str, str], int] | None = None,
    go_on: Callable[[], None] = lambda: None,
) -> TensorsCompared:
    """Compare what the files of a competition's entries hold, each entry's read by a job. Links are not followed.

    `since` tells the block since which an entry has held the tensors of a sketch. `go_on` is called before each
    comparison, and may raise to stop.

    Raises:
        InfrastructureFault: a worker failed that is not the entry's doing.
    """
    from soundsright.copies import fingerprint_deadline_s, same_tensors, tensor_fingerprint, tensor_sketch

    jobs: dict[str, tuple[Path, Future[TensorFingerprint]]] = {}
    for model in models:
        paths = files_below(model.path)
        deadline_s = fingerprint_deadline_s(sum(path.stat().st_size for path in paths))
        job = pool.submit(tensor_fingerprint, paths, deadline_s=deadline_s)
        jobs[model.submission.entry_id] = (model.path, job)
    found: dict[str, tuple[TensorSummary, ...]] = {}
    unread: dict[str, tuple[str, ...]] = {}
    for entry_id, (folder, job) in jobs.items():
        try:
            fingerprint = result_on(job)
        except ModelFault as fault:
            unread[entry_id] = (f"all files: {fault}",)
            continue
        found[entry_id] = fingerprint.summaries
        if fingerprint.unread:
            # Without the cache's place, which is this machine's own.
            unread[entry_id] = tuple(reason.removeprefix(f"{folder}/") for reason in fingerprint.unread)
    for entry_id, reasons in unread.items():
        _log.info(
            "not compared", extra={"action": "tensors_unread", "entry": entry_id, "reasons": "; ".join(reasons)}
        )
    competitions = dict.fromkeys(model.submission.competition.id for model in models)
    entered = {model.submission.entry_id: model.submission.competition.id for model in models}
    pairs = [
        pair
        for competition_id in competitions
        for pair in same_tensors(
            {entry_id: tensors for entry_id, tensors in found.items() if entered[entry_id] == competition_id},
            since=since,
            go_on=go_on,
        )
    ]
    return TensorsCompared(tuple(pairs), unread, {entry_id: tensor_sketch(one) for entry_id, one in found.items()})


def near_copy_pairs(clips: ClipSet, enhanced: Path, evaluations: Sequence[Evaluation]) -> list[Likeness]:
    """The pairs of entries whose answers agree as only copies do, over the first clips of the set.

    Only answers that were scored count: `enhanced` holds a folder per entry, named by its id, with their WAVs, and
    whatever else a stopped process left there.

    Raises:
        InfrastructureFault: an answer cannot be read back.
    """
    from soundsright.copies import near_copies

    probes = clips.clip_ids[:PROBE_CLIPS]
    clean = [clips.clean(clip_id).samples for clip_id in probes]

    def outputs(evaluation: Evaluation) -> list[Samples | None]:
        scored = {clip.clip_id for clip in evaluation.clips if clip.scores is not None}
        folder = enhanced / evaluation.submission.entry_id
        return [read_wav(folder / f"{clip_id}.wav").samples if clip_id in scored else None for clip_id in probes]

    return near_copies(clean, {e.submission.entry_id: outputs(e) for e in evaluations})
