"""Deals the clips of a set to the runs of an image: warm-up runs, which are not scored, then scoring runs.

Every run has clips of its own, so a model cannot answer from memory. Times are in seconds of audio.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.images import MAX_CLIPS

SHORTEST_CLIP_S = 3.0
"""The shortest clip of a set, unless a recording itself is shorter."""


@dataclass(frozen=True)
class DealtRuns:
    """The clip ids of each run, in the order of the runs."""

    warmups: tuple[tuple[str, ...], ...]
    scoring: tuple[tuple[str, ...], ...]

    @property
    def scored_ids(self) -> tuple[str, ...]:
        """The clips of all scoring runs, in their order."""
        return tuple(clip_id for run in self.scoring for clip_id in run)


def dealt_runs(durations_s: Mapping[str, float], rules: ExecutorRules) -> DealtRuns:
    """Deal a set's clips in their order. Clips that are left over are in no run.

    A run is full as soon as its audio is nearer to `run_audio_s` than half of its last clip.

    Raises:
        UsageError: the clips do not fill all runs.

    >>> rules = ExecutorRules(warmup_runs=1, scoring_runs=2, run_audio_s=6)
    >>> dealt_runs({f"c{n}": 3.0 for n in range(7)}, rules).scoring
    (('c2', 'c3'), ('c4', 'c5'))
    """
    wanted = rules.warmup_runs + rules.scoring_runs
    runs = [run for run, _ in zip(_full_runs(durations_s, rules.run_audio_s), range(wanted), strict=False)]
    if len(runs) < wanted:
        raise UsageError(
            f"A set of {len(durations_s)} clips with {math.fsum(durations_s.values()):.0f} s of audio fills "
            f"{len(runs)} of {wanted} runs ({rules.warmup_runs} warm-up, {rules.scoring_runs} scoring) of "
            f"{rules.run_audio_s:g} s",
            f"Draw {clips_needed(rules)} clips, or lower run_audio_s or the number of runs in [executor].",
        )
    return DealtRuns(tuple(runs[: rules.warmup_runs]), tuple(runs[rules.warmup_runs :]))


def clips_needed(rules: ExecutorRules, shortest_clip_s: float = SHORTEST_CLIP_S) -> int:
    """The number of clips that fills all runs, if none is shorter than that.

    >>> clips_needed(ExecutorRules(warmup_runs=2, scoring_runs=5, run_audio_s=24))
    56
    """
    per_run = max(1, math.ceil(rules.run_audio_s / shortest_clip_s - 0.5))
    return per_run * (rules.warmup_runs + rules.scoring_runs)


def clips_of_sets(setting: int, rules: ExecutorRules) -> int:
    """The number of clips in each set: that of EXECUTOR_CLIPS, or for 0 as many as fill all runs.

    Raises:
        UsageError: the setting is too low, or the runs need more clips than a set may have.

    >>> clips_of_sets(0, ExecutorRules()), clips_of_sets(80, ExecutorRules())
    (56, 80)
    """
    needed = clips_needed(rules)
    if needed > MAX_CLIPS:
        raise UsageError(
            f"The runs of [executor] need {needed:,} clips, and a set has at most {MAX_CLIPS:,}",
            "Lower run_audio_s, warmup_runs or scoring_runs.",
        )
    if setting:
        check_clips(setting, rules)
    return setting or needed


def check_clips(clips: int, rules: ExecutorRules) -> None:
    """Check that a set of so many clips fills all runs, before it is drawn.

    Raises:
        UsageError: it may not.
    """
    if clips < (needed := clips_needed(rules)):
        raise UsageError(
            f"EXECUTOR_CLIPS of the coordinator is {clips}, which is too few for {rules.warmup_runs} warm-up and "
            f"{rules.scoring_runs} scoring runs of {rules.run_audio_s:g} s",
            f"Set it to {needed} there, or to 0 for as many as the runs need.",
        )


def _full_runs(durations_s: Mapping[str, float], run_audio_s: float) -> Iterator[tuple[str, ...]]:
    run: list[str] = []
    audio_s = 0.0
    for clip_id, duration_s in durations_s.items():
        run.append(clip_id)
        audio_s += duration_s
        if audio_s + duration_s / 2 >= run_audio_s:
            yield tuple(run)
            run, audio_s = [], 0.0
