"""What a model reached: per clip, per entry, per competition, and the weights that follow.

Scores are keyed by the names of the metric registry; shares are percent of a round's emission.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from soundsright.core.competition import Competition
from soundsright.core.submission import Submission


@dataclass(frozen=True)
class Failure:
    """Why a clip has no enhanced audio: a stable code and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True)
class ClipResult:
    """One clip of one entry: scores, or the named failure, never both and never neither.

    Raises:
        ValueError: if both or neither are given, or a score is not finite.
    """

    clip_id: str
    scores: Mapping[str, float] | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if (self.scores is None) == (self.failure is None):
            raise ValueError(f"clip {self.clip_id}: exactly one of scores and failure must be given")
        for name, value in (self.scores or {}).items():
            if not math.isfinite(value):
                raise ValueError(f"clip {self.clip_id}: {name} is {value}")


@dataclass(frozen=True)
class Timing:
    """Measured by the host: seconds of work, seconds of audio, bytes.

    `build_s` is what building took, for this run or ahead of it; 0 where nothing had to be built. The last two are
    of the model's GPU: the most of its memory that was in use, and the mean share of the time that it worked, from
    0 to 1; None where there was none.
    """

    load_s: float = 0.0
    enhance_s: float = 0.0
    audio_s: float = 0.0
    peak_memory_bytes: int = 0
    build_s: float = 0.0
    peak_gpu_memory_bytes: int | None = None
    gpu_utilisation: float | None = None

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of enhancement per second of audio; None where nothing was enhanced."""
        return self.enhance_s / self.audio_s if self.audio_s > 0 else None


@dataclass(frozen=True)
class Evaluation:
    """All clips of one entry in one round: `len(clips)` is the size of the set, whatever the model did.

    `log` is the end of what a failing model wrote: for its author, and of no influence.
    """

    submission: Submission
    round_id: str
    clips: tuple[ClipResult, ...]
    timing: Timing = field(default_factory=Timing)
    log: str = ""

    @property
    def failed(self) -> int:
        return sum(clip.failure is not None for clip in self.clips)


@dataclass(frozen=True)
class Estimate:
    """A mean with the ends of its 95 % confidence interval over `n` clips."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Standing:
    """One entry under one metric: its estimate and its share of the prize.

    `rank` counts from 1 by the mean; `needed` is the mean that would have taken the prize, None where no mean
    would have; `reason` says in one sentence why the share is what it is.
    """

    submission: Submission
    metric: str
    estimate: Estimate
    share: float
    rank: int = 0
    needed: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Refusal:
    """An entry that took no part in the ranking, and why."""

    hotkey: str
    uid: int | None
    label: str
    competition_id: str | None
    code: str
    sentence: str
    evidence: Mapping[str, str] = field(default_factory=dict)


class PrizeReason(StrEnum):
    """Why one metric's prize goes to its winner, or to nobody."""

    TAKEN = "taken"
    """A challenger reached the margin over the champion and passed the test."""
    UNCHALLENGED = "unchallenged"
    """The champion keeps the title: there is no other entry with a score."""
    CHALLENGERS_TOO_WEAK = "challengers_too_weak"
    """The champion keeps the title: no other entry beats the unprocessed input."""
    MARGIN_MISSED = "margin_missed"
    """The champion keeps the title: the best challenger did not reach the margin."""
    TEST_IMPOSSIBLE = "test_impossible"
    """The champion keeps the title: the best challenger could not be tested."""
    TEST_FAILED = "test_failed"
    """The champion keeps the title: the best challenger's lead could be chance."""
    OPEN_TITLE = "open_title"
    """The best mean wins: no champion takes part."""
    WON_BACK = "won_back"
    """The best mean wins: it is the former champion's, with another model."""
    CHAMPION_TOO_WEAK = "champion_too_weak"
    """The best mean wins: the champion does not beat the unprocessed input."""
    NOBODY_BEATS_UNPROCESSED = "nobody_beats_unprocessed"
    """Nobody is paid."""
    NO_ENTRY = "no_entry"
    """Nobody entered, and the rules pay the absent champion."""
    NO_USABLE_SCORE = "no_usable_score"
    """Nobody is paid: no entry has a usable score."""


@dataclass(frozen=True)
class Decision:
    """Who takes one metric's prize and why. `winner` is None if nobody is paid.

    `sentence` says it in words, and `evidence` holds the numbers behind it, by name.
    """

    metric: str
    winner: Submission | None
    reason: PrizeReason
    champion_took_part: bool
    sentence: str
    evidence: Mapping[str, float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Leaderboard:
    """One competition's result. `standings` hold every entry under every metric, best total share first.

    `unprocessed` holds the degraded input's own rows: what every entry must beat, and what nobody is paid for.
    """

    competition: Competition
    round_id: str
    standings: tuple[Standing, ...]
    decisions: tuple[Decision, ...]
    refusals: tuple[Refusal, ...] = ()
    unprocessed: tuple[Standing, ...] = ()

    def share_of(self, submission: Submission) -> float:
        return math.fsum(s.share for s in self.standings if s.submission == submission)


@dataclass(frozen=True)
class Weights:
    """What a round pays: finite, non-negative, summing to one, or empty where nothing is paid.

    Raises:
        ValueError: otherwise.
    """

    by_uid: Mapping[int, float]

    def __post_init__(self) -> None:
        values = list(self.by_uid.values())
        if any(not math.isfinite(v) or v < 0 for v in values):
            raise ValueError("weights must be finite and not negative")
        if values and not math.isclose(math.fsum(values), 1.0, abs_tol=1e-9):
            raise ValueError(f"weights sum to {math.fsum(values)!r}, not 1")
