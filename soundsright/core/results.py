"""Results: of one clip, of one entry, of one competition, and the weights that follow from them.

Scores are by metric, under the names of the metric registry. Shares are percent of a round's emission.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from soundsright.core.competition import Competition
from soundsright.core.errors import OVER_MEMORY, ModelCrashed, ModelTimeout
from soundsright.core.stopping import Stops
from soundsright.core.submission import Submission


@dataclass(frozen=True)
class Failure:
    """Why a clip has no enhanced audio: a code that never changes, and a sentence."""

    code: str
    detail: str

    @property
    def is_limit(self) -> bool:
        """Whether the model reached its limit of time or memory, which depends on the machine.

        >>> Failure("timeout", "").is_limit, Failure("crashed", "ended").is_limit
        (True, False)
        """
        over_memory = self.code == ModelCrashed.code and self.detail.startswith(OVER_MEMORY)
        return self.code == ModelTimeout.code or over_memory


@dataclass(frozen=True)
class ClipResult:
    """The result of one clip of one entry: either scores or a failure.

    `no_value` has the code of the reason for each metric that has no value and scores its floor, if it is known.

    Raises:
        ValueError: if both or neither are given, or a score is not finite.
    """

    clip_id: str
    scores: Mapping[str, float] | None = None
    failure: Failure | None = None
    no_value: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.scores is None) == (self.failure is None):
            raise ValueError(f"clip {self.clip_id}: exactly one of scores and failure must be given")
        for name, value in (self.scores or {}).items():
            if not math.isfinite(value):
                raise ValueError(f"clip {self.clip_id}: {name} is {value}")


@dataclass(frozen=True)
class Timing:
    """The host's measurements: seconds of work, seconds of audio, bytes.

    `build_s` is the time to build the model's image, 0 if it existed before. The last two are about the model's
    GPU: the peak memory in use, and the mean share of time in which it worked, from 0 to 1. They are None without a
    GPU.
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
        """Seconds of enhancement per second of audio; None if nothing was enhanced."""
        return self.enhance_s / self.audio_s if self.audio_s > 0 else None


@dataclass(frozen=True)
class Evaluation:
    """The results of all clips of one entry in one round. A failed clip has a result too.

    `log` is the end of a failing model's output. It helps the model's author and has no influence on scores.
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
    """A mean over `n` clips, with the ends of its 95 % confidence interval.

    `low` and `high` are None if there is no interval: there is one clip, or the clips form two groups or fewer.
    `effective_n` is the number of independent clips that would be as certain as these. It is None if each clip
    counts as independent.

    Raises:
        ValueError: if only one end of the interval is given.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    effective_n: float | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has both ends or none")

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval; None without one.

        >>> Estimate(2.0, 1.5, 2.5, 9).half_width
        0.5
        """
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    def is_above(self, value: float) -> bool:
        """Whether the whole interval lies above `value`. Without an interval, it does not."""
        return self.low is not None and self.low > value

    def is_below(self, value: float) -> bool:
        """Whether the whole interval lies below `value`. Without an interval, it does not."""
        return self.high is not None and self.high < value


@dataclass(frozen=True)
class Standing:
    """One entry under one metric: its mean and its share of the prize.

    `rank` is the rank by the mean, from 1. `needed` is the mean that would have taken the prize, or None if no mean
    would have. `reason` explains the share.
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
    """An entry that is not ranked, and the reason."""

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
    CHALLENGERS_STOPPED = "challengers_stopped"
    """The champion keeps the title: every challenger stopped early, because it could not win any more."""
    MARGIN_MISSED = "margin_missed"
    """The champion keeps the title: the best challenger did not reach the margin."""
    TEST_IMPOSSIBLE = "test_impossible"
    """The champion keeps the title: the best challenger could not be tested."""
    TEST_FAILED = "test_failed"
    """The champion keeps the title: the best challenger's lead could be chance."""
    OPEN_TITLE = "open_title"
    """The best mean wins: no champion takes part."""
    WON_BACK = "won_back"
    """The best mean wins: it belongs to the former champion, with another model."""
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
    """The winner of one metric's prize, and the reason. `winner` is None if nobody is paid.

    `sentence` says the same in words. `evidence` has the numbers behind it, by name. `title_since_block` is the
    block since which the winner's title counts as held.
    """

    metric: str
    winner: Submission | None
    reason: PrizeReason
    champion_took_part: bool
    sentence: str
    evidence: Mapping[str, float | str | bool] = field(default_factory=dict)
    title_since_block: int | None = None


class ApartReason(StrEnum):
    """Why an entry that ran is ranked apart and not paid."""

    MEMORISED = "memorised"
    """It gains more on recordings that were used before than on new ones."""
    HELD = "held"
    """Its scores are higher than any enhancer reaches. The organiser decides."""
    REFUSED = "refused"
    """The organiser refused it after its scores were held."""


@dataclass(frozen=True)
class Apart:
    """An entry that is ranked apart and not paid: the reason, a sentence, and the numbers behind it."""

    submission: Submission
    reason: ApartReason
    sentence: str
    evidence: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Leaderboard:
    """One competition's result. `standings` has every entry under every metric, the largest total share first.

    `unprocessed` has the rows of the degraded input itself, which every entry must beat. `apart` are the entries
    that ran and are not ranked with the others. `unmeasured` has a sentence for each test of them that this round
    did not allow, by reason. `stops` says which entries stopped early; None if every entry ran on the whole set.
    """

    competition: Competition
    round_id: str
    standings: tuple[Standing, ...]
    decisions: tuple[Decision, ...]
    refusals: tuple[Refusal, ...] = ()
    unprocessed: tuple[Standing, ...] = ()
    apart: tuple[Apart, ...] = ()
    unmeasured: Mapping[ApartReason, str] = field(default_factory=dict)
    stops: Stops | None = None

    def share_of(self, submission: Submission) -> float:
        return math.fsum(s.share for s in self.standings if s.submission == submission)


@dataclass(frozen=True)
class Weights:
    """The weights of a round, by uid. They are not negative and sum to 1. If nothing is paid, they are empty.

    Raises:
        ValueError: if a weight is negative or not finite, or the sum is not 1.
    """

    by_uid: Mapping[int, float]

    def __post_init__(self) -> None:
        values = list(self.by_uid.values())
        if any(not math.isfinite(v) or v < 0 for v in values):
            raise ValueError("weights must be finite and not negative")
        if values and not math.isclose(math.fsum(values), 1.0, abs_tol=1e-9):
            raise ValueError(f"weights sum to {math.fsum(values)!r}, not 1")
