"""Draws a round's set again where a validator has its material, and compares it with the signed results.

Drawing and scoring the unprocessed input needs no image and no GPU. Signals are as in the executor.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.competition import Competition
from soundsright.core.material import Material
from soundsright.core.ports import Pool
from soundsright.core.results import ClipResult
from soundsright.core.schedule import seed_of_round
from soundsright.services.executor.results import RoundResults
from soundsright.services.rounds import (
    PRIVATE_FOLDER,
    ClipSet,
    SetRequest,
    finish_set,
    make_private,
    start_set,
    start_unprocessed,
)

UNPROCESSED_TOLERANCE = 1e-4
"""The largest difference of the unprocessed input's scores: libraries of two machines round otherwise."""


@dataclass(frozen=True)
class Redrawing:
    """The means to draw sets again: a folder, whose content is removed, and a pool that is opened for each set."""

    folder: Path
    open_pool: Callable[[], AbstractContextManager[Pool]]
    jobs: int = 1

    def difference(self, results: RoundResults, competition: Competition, material: Material) -> str:
        """The difference of the results' set from the one that seed and material give; empty if it does not.

        Raises:
            UsageError: the recordings cannot be read.
            InfrastructureFault: the disk or a worker failed.
        """
        challenge = results.challenge
        seed = seed_of_round(challenge.block_hash, challenge.competition_id)
        with self._private_folder() as folder, self.open_pool() as pool:
            request = SetRequest(competition, seed, challenge.clips, material, folder / "set")
            clips = finish_set(request, start_set(request, pool, jobs=self.jobs))
            if clips.digest != results.set_digest:
                version = results.machine.get("soundsright", "of an unknown version")
                return (
                    f"its set has the digest {results.set_digest[:12]}, and its seed gives {clips.digest[:12]} here"
                    f" (the executor runs soundsright {version})"
                )
            if clips.groups != results.judged.groups:
                return "its groups of clips are not those of its set"
            metrics = tuple(competition.metric_weights)
            return _difference_of_scores(results.judged.unprocessed, clips, _scores(clips, metrics, pool))

    @contextmanager
    def _private_folder(self) -> Iterator[Path]:
        """An empty folder that only its owner can read, because recordings may be private."""
        shutil.rmtree(self.folder, ignore_errors=True)
        folder = self.folder / PRIVATE_FOLDER
        make_private(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def _scores(clips: ClipSet, metrics: tuple[str, ...], pool: Pool) -> dict[str, Mapping[str, float]]:
    jobs = start_unprocessed(clips, metrics, pool)
    return {clip_id: job.result().scores for clip_id, job in zip(clips.clip_ids, jobs, strict=True)}


def _difference_of_scores(
    stated: tuple[ClipResult, ...], clips: ClipSet, own: Mapping[str, Mapping[str, float]]
) -> str:
    by_id = {clip.clip_id: clip.scores or {} for clip in stated}
    if by_id.keys() != set(clips.clip_ids):
        return "the scores of its unprocessed input are not those of its clips"
    for clip_id, scores in own.items():
        for metric, value in scores.items():
            said = by_id[clip_id].get(metric)
            if said is None or not abs(said - value) <= UNPROCESSED_TOLERANCE:
                return f"the unprocessed clip {clip_id} has {metric} {said}, and it is {value:.6g} here"
    return ""
