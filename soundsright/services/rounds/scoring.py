"""The jobs that score clips, and those that look for tampering. Workers run them.

Signals are read from 16-bit WAV files. Times are in seconds.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.audio import Audio
from soundsright.core.ports import Pool
from soundsright.core.results import Evaluation
from soundsright.metrics import ClipEvidence, scoring_deadline_s
from soundsright.services.rounds.clipset import ClipSet, read_wav


@dataclass(frozen=True)
class Scored:
    """The scores of one clip by metric, and the seconds that they took."""

    scores: dict[str, float]
    busy_s: float


DECIDED_DECIMALS = 6
"""Rounds decide on scores of so many decimals, and publish the same, because processors differ in later digits."""


def decided_scores(clean: Audio, enhanced: Audio, degraded: Audio, names: tuple[str, ...]) -> dict[str, float]:
    """The scores of one clip by metric, as a round decides on them and publishes them.

    They are rounded to `DECIDED_DECIMALS` and stay in the range of their metric.
    """
    from soundsright.metrics import metric, score_clip

    scores = score_clip(clean, enhanced, degraded, names)
    return {name: decided_score(value, metric(name).low, metric(name).high) for name, value in scores.items()}


def decided_score(value: float, low: float, high: float) -> float:
    """The value rounded to `DECIDED_DECIMALS`, and not beyond the ends of its range.

    >>> decided_score(0.12345678, -1.0, 1.0), decided_score(4.99999996, 1.0, 4.9999999)
    (0.123457, 4.9999999)
    """
    return min(max(round(value, DECIDED_DECIMALS) + 0.0, low), high)


def score_files(clean: Path, degraded: Path, enhanced: Path, names: tuple[str, ...]) -> Scored:
    """Read the three signals of one clip and score it."""
    started = time.perf_counter()
    scores = decided_scores(read_wav(clean), read_wav(enhanced), read_wav(degraded), names)
    return Scored(scores, time.perf_counter() - started)


def evidence_of_files(clean: Path, degraded: Path, enhanced: Path) -> ClipEvidence:
    """Read the three signals of one clip and look for signs of tampering with a metric."""
    from soundsright.metrics import clip_evidence

    return clip_evidence(read_wav(clean), read_wav(enhanced), read_wav(degraded))


def start_scoring(
    clips: ClipSet, clip_id: str, enhanced: Path, metrics: tuple[str, ...], pool: Pool
) -> Future[Scored]:
    """Start the job that scores one enhanced clip."""
    return pool.submit(
        score_files,
        clips.folder / "clean" / f"{clip_id}.wav",
        clips.folder / "degraded" / f"{clip_id}.wav",
        enhanced,
        metrics,
        deadline_s=scoring_deadline_s(clips.durations_s[clip_id]),
    )


def start_unprocessed(clips: ClipSet, metrics: tuple[str, ...], pool: Pool) -> list[Future[Scored]]:
    """Start the jobs that score the degraded input itself: the row that every entry must beat."""
    return [
        start_scoring(clips, clip_id, clips.folder / "degraded" / f"{clip_id}.wav", metrics, pool)
        for clip_id in clips.clip_ids
    ]


@dataclass(frozen=True)
class EvidenceJobs:
    """The clips of an entry that have scores, and a job for each that looks for tampering."""

    clip_ids: tuple[str, ...]
    jobs: tuple[Future[ClipEvidence], ...]


def start_evidence(clips: ClipSet, evaluation: Evaluation, folder: Path, pool: Pool) -> EvidenceJobs:
    """Start the jobs that look for tampering in an entry's enhanced audio, which is in `folder`."""
    scored = tuple(clip.clip_id for clip in evaluation.clips if clip.scores is not None)
    jobs = (
        pool.submit(
            evidence_of_files,
            clips.folder / "clean" / f"{clip_id}.wav",
            clips.folder / "degraded" / f"{clip_id}.wav",
            folder / f"{clip_id}.wav",
            deadline_s=scoring_deadline_s(clips.durations_s[clip_id]),
        )
        for clip_id in scored
    )
    return EvidenceJobs(scored, tuple(jobs))
