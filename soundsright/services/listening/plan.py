"""Blind listening tests: methods, trials, votes, the rules that exclude raters, and the result.

    acr     absolute category rating (after ITU-T P.808): one recording, 1 bad to 5 excellent
    ccr     comparison category rating (after ITU-T P.808): two versions, -3 much worse to 3 much better
    mushra  after ITU-R BS.1534-3: all versions of a clip and the open reference, 0 to 100

Every test contains the clean signal as a hidden reference and the degraded input as an anchor. MUSHRA adds a second
anchor, the clean signal low-passed at 3.5 kHz. The rules that exclude raters are fixed before the first vote. The
95 % interval of a mean is clustered by rater, because the votes of one rater are not independent. Votes come from
browsers of strangers, so each one is checked against its trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from soundsright.core.errors import UsageError
from soundsright.core.results import Estimate
from soundsright.ranking import mean_estimate

METHODS = ("acr", "ccr", "mushra")
REFERENCE, ANCHOR, LOW_ANCHOR = "clean", "degraded", "lowpass"
SCALES: Mapping[str, tuple[float, float]] = {"acr": (1, 5), "ccr": (-3, 3), "mushra": (0, 100)}
SCALE_NAMES: Mapping[str, str] = {"acr": "MOS", "ccr": "CMOS over the input", "mushra": "MUSHRA"}
MAX_ENTRIES, MAX_CLIPS = 12, 60
_MUSHRA_GOOD, _MUSHRA_SHARE = 90.0, 0.15


@dataclass(frozen=True)
class ListeningTest:
    """One test. `entries` are keys of entries of a competition, `clips` are ids of its set.

    Raises:
        UsageError: the method is unknown, or the test is empty or too long for a person.
    """

    name: str
    method: str
    competition: str
    entries: tuple[str, ...]
    clips: tuple[str, ...]
    seed: int

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"There is no method {self.method!r}", f"Choose one of {', '.join(METHODS)}.")
        if not 1 <= len(self.entries) <= MAX_ENTRIES or len(set(self.entries)) != len(self.entries):
            raise UsageError(
                f"A test cannot have these {len(self.entries)} entries",
                f"Choose 1 to {MAX_ENTRIES} different entries.",
            )
        if not 1 <= len(self.clips) <= MAX_CLIPS:
            raise UsageError(f"A test cannot have {len(self.clips)} clips", f"Choose 1 to {MAX_CLIPS} clips.")

    @property
    def conditions(self) -> tuple[str, ...]:
        """The versions of a clip that are rated: entries, hidden reference and anchors."""
        extra = (REFERENCE, ANCHOR, LOW_ANCHOR) if self.method == "mushra" else (REFERENCE, ANCHOR)
        return (*self.entries, *extra)


@dataclass(frozen=True)
class Trial:
    """One question. `stimuli` are the conditions in the order shown; `rated` are those that get a score.

    In `ccr`, the two stimuli are the input and the rated condition, in random order.
    """

    clip: str
    stimuli: tuple[str, ...]
    rated: tuple[str, ...]


@dataclass(frozen=True)
class Vote:
    """One score. In `ccr` it compares the condition with the input, whichever of them played first."""

    rater: str
    clip: str
    condition: str
    score: float


@dataclass(frozen=True)
class ListeningResult:
    """Estimates and numbers of votes by condition; `excluded` has the excluded raters with the reason."""

    estimates: Mapping[str, Estimate]
    votes: Mapping[str, int]
    raters: int
    excluded: Mapping[str, str]


def trials_for(test: ListeningTest, rater: int) -> tuple[Trial, ...]:
    """The questions of rater number `rater`, in random order."""
    rng = np.random.default_rng([test.seed, rater])
    trials: list[Trial] = []
    for clip in test.clips:
        if test.method == "mushra":
            order = tuple(str(c) for c in rng.permutation(test.conditions))
            trials.append(Trial(clip, order, order))
            continue
        for condition in test.conditions:
            stimuli: tuple[str, ...] = (condition,)
            if test.method == "ccr":
                stimuli = (ANCHOR, condition) if rng.random() < 0.5 else (condition, ANCHOR)
            trials.append(Trial(clip, stimuli, (condition,)))
    return tuple(trials[i] for i in rng.permutation(len(trials)))


def votes_of(test: ListeningTest, rater: str, trial: Trial, scores: Sequence[float]) -> list[Vote]:
    """The votes of a rater on a trial. `scores` has one score per rated stimulus, in the order shown.

    Raises:
        UsageError: the scores do not fit the trial or the scale.
    """
    low, high = SCALES[test.method]
    if len(scores) != len(trial.rated):
        raise UsageError(
            f"There are {len(scores)} scores for {len(trial.rated)} recordings", "Rate each recording once."
        )
    for score in scores:
        if not (math.isfinite(score) and low <= score <= high and score == round(score)):
            raise UsageError(
                f"The score {score:g} is not on the scale", f"Give a whole number from {low:g} to {high:g}."
            )
    # Raters compare the second recording with the first. If the input was second, reverse the sign.
    sign = -1.0 if test.method == "ccr" and trial.stimuli[1] == ANCHOR and trial.stimuli[0] != ANCHOR else 1.0
    return [Vote(rater, trial.clip, c, sign * s) for c, s in zip(trial.rated, scores, strict=True)]


def exclusions(test: ListeningTest, votes: Sequence[Vote]) -> dict[str, str]:
    """The raters whose votes do not count, with the reason.

    `mushra` (BS.1534-3): the rater scored the hidden reference below 90, or the low-passed anchor above 90, on more
    than 15 % of the clips. `acr` and `ccr`: the rater did not score the clean signal above the input on average.
    `ccr` also: the rater heard a difference of more than one step between the input and itself on average. All
    methods: the rater gave the same score to everything, or did not finish.
    """
    excluded: dict[str, str] = {}
    questions = len(test.clips) * len(test.conditions)
    for rater in dict.fromkeys(vote.rater for vote in votes):
        own = [vote for vote in votes if vote.rater == rater]
        scores = {c: [v.score for v in own if v.condition == c] for c in test.conditions}
        if len(own) < questions:
            excluded[rater] = f"answered {len(own)} of {questions}"
        # Compare sizes only: in `ccr`, the order of the recordings reverses the sign.
        elif len({abs(vote.score) for vote in own}) == 1:
            excluded[rater] = "gave one score to everything"
        elif test.method == "mushra":
            if _share(score < _MUSHRA_GOOD for score in scores[REFERENCE]) > _MUSHRA_SHARE:
                excluded[rater] = "scored the hidden reference below 90 too often"
            elif _share(score > _MUSHRA_GOOD for score in scores[LOW_ANCHOR]) > _MUSHRA_SHARE:
                excluded[rater] = "scored the low-passed anchor above 90 too often"
        elif fmean(scores[REFERENCE]) <= fmean(scores[ANCHOR]):
            excluded[rater] = "did not score the clean signal above the input"
        elif test.method == "ccr" and fmean(abs(score) for score in scores[ANCHOR]) > 1:
            excluded[rater] = "heard a difference between the input and itself"
    return excluded


def listening_result(test: ListeningTest, votes: Sequence[Vote]) -> ListeningResult:
    """Means over the raters whose votes count, with intervals clustered by rater."""
    excluded = exclusions(test, votes)
    counted = [vote for vote in votes if vote.rater not in excluded]
    estimates: dict[str, Estimate] = {}
    numbers: dict[str, int] = {}
    for condition in test.conditions:
        own = [vote for vote in counted if vote.condition == condition]
        numbers[condition] = len(own)
        if own:
            estimates[condition] = mean_estimate([v.score for v in own], [[v.rater for v in own]])
    return ListeningResult(estimates, numbers, len({vote.rater for vote in votes}), excluded)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values)
