"""Copies that hashes do not show: the same weights in another file, and models whose enhanced audio is the same.

`copies.without_duplicates(likenesses=...)` uses the pairs that are found here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.copies import DuplicateRule, Likeness, contest_of
from soundsright.core.audio import Audio
from soundsright.core.content import files_below
from soundsright.core.errors import InfrastructureFault, ModelFault
from soundsright.core.ports import ImageRunner, Pool, Runner
from soundsright.core.results import Evaluation
from soundsright.core.submission import FetchedModel
from soundsright.services.rounds.clipset import ClipSet, read_wav
from soundsright.services.rounds.enhanced_clips import EnhancedClips
from soundsright.services.rounds.job_results import result_of

if TYPE_CHECKING:
    from soundsright.copies import TensorFingerprint

PROBE_CLIPS = 12

MAX_FAILED_FILES = 4
"""How many files of an entry can fail alone before the remaining ones are not read."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TensorsCompared:
    """The pairs of entries with the same tensors. By entry id: the unread files, and sketches of the tensors."""

    pairs: tuple[Likeness, ...]
    unread: Mapping[str, tuple[str, ...]]
    sketches: Mapping[str, str]


def same_tensor_pairs(
    models: Sequence[FetchedModel],
    pool: Pool,
    *,
    since: Callable[[str, str], int] | None = None,
    raise_if_cancelled: Callable[[], None] = lambda: None,
) -> TensorsCompared:
    """Compare the tensors of all entries for one task and rate. A job reads the files of each entry, without links.

    `since(entry_id, sketch)` gives the block since which an entry has had the tensors of a sketch.
    `raise_if_cancelled` runs before each comparison.

    Raises:
        InfrastructureFault: a worker failed, and the entry is not to blame.
    """
    from soundsright.copies import same_weights, tensor_sketch

    jobs = {model.submission.entry_id: (model.path, _start_fingerprint(model, pool)) for model in models}
    fingerprints: dict[str, TensorFingerprint] = {}
    unread: dict[str, tuple[str, ...]] = {}
    for entry_id, (folder, job) in jobs.items():
        fingerprint = fingerprints[entry_id] = _fingerprint(job, folder, pool)
        if fingerprint.unread:
            # Without the folder of the cache, which differs between machines.
            unread[entry_id] = tuple(reason.removeprefix(f"{folder}/") for reason in fingerprint.unread)
    for entry_id, reasons in unread.items():
        _log.info(
            "not compared", extra={"action": "tensors_unread", "entry": entry_id, "reasons": "; ".join(reasons)}
        )
    contests = {model.submission.entry_id: contest_of(model.submission.competition) for model in models}
    pairs: list[Likeness] = []
    for contest in dict.fromkeys(contests.values()):
        own = {entry_id: each for entry_id, each in fingerprints.items() if contests[entry_id] == contest}
        pairs += same_weights(own, since=since, check_stop=raise_if_cancelled)
    sketches = {entry_id: tensor_sketch(each.summaries) for entry_id, each in fingerprints.items()}
    return TensorsCompared(tuple(pairs), unread, sketches)


def sketch_of(model: FetchedModel, pool: Pool) -> str:
    """The sketch of a model's tensors. Files that cannot be read are left out.

    Raises:
        InfrastructureFault: a worker failed, and the model is not to blame.
    """
    from soundsright.copies import tensor_sketch

    return tensor_sketch(_fingerprint(_start_fingerprint(model, pool), model.path, pool).summaries)


def _fingerprint(job: Future[TensorFingerprint], folder: Path, pool: Pool) -> TensorFingerprint:
    try:
        return result_of(job)
    except ModelFault as fault:
        return _file_by_file(folder, pool, fault)


def _start_fingerprint(model: FetchedModel, pool: Pool) -> Future[TensorFingerprint]:
    from soundsright.copies import fingerprint_deadline_s, tensor_fingerprint

    paths = files_below(model.path)
    deadline_s = fingerprint_deadline_s(sum(path.stat().st_size for path in paths))
    return pool.submit(tensor_fingerprint, paths, deadline_s=deadline_s)


def _file_by_file(folder: Path, pool: Pool, fault: ModelFault) -> TensorFingerprint:
    """The tensors of a model whose files cannot be read in one job: a job reads each file on its own.

    After `MAX_FAILED_FILES` failures, the remaining files are listed as unread. This limits the time that a hostile
    entry takes. The largest files are read first.
    """
    from soundsright.copies import (
        fingerprint_deadline_s,
        merged_fingerprint,
        tensor_fingerprint,
    )

    parts: list[TensorFingerprint] = []
    unread: list[str] = []
    failures = 0
    for path in sorted(files_below(folder), key=lambda path: -path.stat().st_size):
        if failures == MAX_FAILED_FILES:
            unread.append(f"{path}: it was not read, because {failures} other files failed")
            continue
        deadline_s = fingerprint_deadline_s(path.stat().st_size)
        try:
            parts.append(result_of(pool.submit(tensor_fingerprint, [path], deadline_s=deadline_s)))
        except ModelFault as file_fault:
            failures += 1
            unread.append(f"{path}: {file_fault}")
    whole = merged_fingerprint(parts)
    unread += whole.unread
    return replace(whole, unread=tuple(unread or [f"all files in one job: {fault}"]))


def same_image_pairs(models: Sequence[FetchedModel], runner: Runner) -> list[Likeness]:
    """The pairs of entries whose images consist of the same layers, if the runner knows them.

    Their names and digests can differ: an image can be pushed again under another manifest.
    """
    if not isinstance(runner, ImageRunner):
        return []
    layers = {}
    for model in models:
        try:
            layers[model.submission.entry_id] = runner.image_layers(model)
        except InfrastructureFault as fault:
            _log.warning("layers are unknown", extra={"action": "layers_unknown", "reason": str(fault)})
    return [
        Likeness(first, second, DuplicateRule.SHARED_CHECKPOINT, {"shared_layers": str(len(layers[first]))})
        for first, second in combinations(layers, 2)
        if layers[first] and layers[first] == layers[second]
    ]


def near_copy_pairs(
    clips: ClipSet,
    enhanced: Path,
    evaluations: Sequence[Evaluation],
    *,
    unread: Collection[str] = (),
    read: Callable[[Path], Audio] = read_wav,
) -> list[Likeness]:
    """The pairs of entries whose enhanced audio agrees as only copies do, over the first clips that all ran.

    `enhanced` has a folder per entry, named by its id. Only clips with scores are read, because a stopped process
    can leave other files there. `unread` are the entries with files of weights that could not be read.
    `read` gives the signal of a file.

    Raises:
        InfrastructureFault: an enhanced clip cannot be read.
    """
    from soundsright.copies import near_copies

    ran_by_all = [{clip.clip_id for clip in each.clips} for each in evaluations]
    probes = [c for c in clips.clip_ids if all(c in ran for ran in ran_by_all)][:PROBE_CLIPS]
    in_order = sorted(evaluations, key=lambda each: (each.submission.block, each.submission.uid))
    outputs = {each.submission.entry_id: _enhanced(probes, enhanced, each, read) for each in in_order}
    return near_copies(
        [clips.clean(clip_id).samples for clip_id in probes],
        [clips.degraded(clip_id).audio.samples for clip_id in probes],
        outputs,
        unread=unread,
        sample_rate_hz=clips.competition.sample_rate_hz,
    )


def _enhanced(
    clip_ids: Sequence[str], enhanced: Path, evaluation: Evaluation, read: Callable[[Path], Audio]
) -> EnhancedClips:
    """The enhanced audio of an entry for these clips."""
    scored = {clip.clip_id for clip in evaluation.clips if clip.scores is not None}
    return EnhancedClips(clip_ids, enhanced / evaluation.submission.entry_id, scored, read)
