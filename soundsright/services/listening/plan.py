"""Blind listening tests: what is played in which order, who counts, and what the votes say.

    acr     absolute category rating (after ITU-T P.808): one clip at a time, 1 bad to 5 excellent
    ccr     comparison category rating (after ITU-T P.808): the input and a version of it, -3 much worse to 3 better
    mushra  after ITU-R BS.1534-3: all versions of a clip against the open reference, 0 to 100

Every test holds the clean signal as hidden reference and the degraded input as anchor; MUSHRA has a further one,
the clean signal low-passed at 3.5 kHz. A rater is left out by a rule that is fixed before the first vote, never by
hand. A mean has its 95 % interval over raters, since one rater's votes are not independent. Votes come from
strangers' browsers: every one is checked against the trial that it answers.
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
    """One test: `entries` are keys of a competition's entries, `clips` ids of its set.

    Raises:
        UsageError: an unknown method, or more than a person can be asked to hear.
    """

    name: str
    method: str
    competition: str
    entries: tuple[str, ...]
    clips: tuple[str, ...]
    seed: int

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"Unknown method {self.method!r}", f"Choose from {', '.join(METHODS)}.")
        if not 1 <= len(self.entries) <= MAX_ENTRIES or len(set(self.entries)) != len(self.entries):
            raise UsageError(
                f"{len(self.entries)} entries cannot be tested", f"Choose 1 to {MAX_ENTRIES}, each once."
            )
        if not 1 <= len(self.clips) <= MAX_CLIPS:
            raise UsageError(f"{len(self.clips)} clips cannot be tested", f"Choose 1 to {MAX_CLIPS}.")

    @property
    def conditions(self) -> tuple[str, ...]:
        """What is rated: entries, the hidden reference, the anchors."""
        extra = (REFERENCE, ANCHOR, LOW_ANCHOR) if self.method == "mushra" else (REFERENCE, ANCHOR)
        return (*self.entries, *extra)


@dataclass(frozen=True)
class Trial:
    """One question. `stimuli` are conditions in the order shown; `rated` are those that get a score.

    Under `ccr` the pair is the input and the rated condition, in either order.
    """

    clip: str
    stimuli: tuple[str, ...]
    rated: tuple[str, ...]


@dataclass(frozen=True)
class Vote:
    """One score: under `ccr` of the condition against the input, whichever came first."""

    rater: str
    clip: str
    condition: str
    score: float


@dataclass(frozen=True)
class Heard:
    """What the listeners said: estimates by condition, and the raters left out, each with the reason."""

    estimates: Mapping[str, Estimate]
    votes: Mapping[str, int]
    raters: int
    excluded: Mapping[str, str]


def trials_for(test: ListeningTest, rater: int) -> tuple[Trial, ...]:
    """Rater number `rater`'s questions, in an order of their own."""
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
    """A rater's answer to a trial, one score per rated stimulus in the order shown.

    Raises:
        UsageError: the answer does not fit the trial.
    """
    low, high = SCALES[test.method]
    if len(scores) != len(trial.rated):
        raise UsageError(f"{len(scores)} scores for {len(trial.rated)} stimuli", "Rate each of them.")
    for score in scores:
        if not (math.isfinite(score) and low <= score <= high and score == round(score)):
            raise UsageError(
                f"A score of {score:g} is not on the scale", f"Give a whole number {low:g} to {high:g}."
            )
    # Asked as "the second against the first": turned round where the input came second.
    turn = -1.0 if test.method == "ccr" and trial.stimuli[1] == ANCHOR and trial.stimuli[0] != ANCHOR else 1.0
    return [Vote(rater, trial.clip, c, turn * s) for c, s in zip(trial.rated, scores, strict=True)]


def exclusions(test: ListeningTest, votes: Sequence[Vote]) -> dict[str, str]:
    """Raters whose votes do not count, with the reason.

    `mushra` (BS.1534-3): the hidden reference is put below 90, or the low-passed anchor above 90, for more than
    15 % of the clips. `acr`: the hidden reference is not put above the input on average. `ccr`: the same, or the
    input is heard to differ from itself by more than one step on average. All: one score for everything, or a
    test that was not finished.
    """
    found: dict[str, str] = {}
    asked = len(test.clips) * len(test.conditions)
    for rater in dict.fromkeys(vote.rater for vote in votes):
        own = [vote for vote in votes if vote.rater == rater]
        by_condition = {c: [v.score for v in own if v.condition == c] for c in test.conditions}
        if len(own) < asked:
            found[rater] = f"answered {len(own)} of {asked}"
        # The size alone: a comparison's sign was turned with the order.
        elif len({abs(vote.score) for vote in own}) == 1:
            found[rater] = "gave one score to everything"
        elif test.method == "mushra":
            if _share(score < _MUSHRA_GOOD for score in by_condition[REFERENCE]) > _MUSHRA_SHARE:
                found[rater] = "put the hidden reference below 90 too often"
            elif _share(score > _MUSHRA_GOOD for score in by_condition[LOW_ANCHOR]) > _MUSHRA_SHARE:
                found[rater] = "put the low-passed anchor above 90 too often"
        elif fmean(by_condition[REFERENCE]) <= fmean(by_condition[ANCHOR]):
            found[rater] = "did not put the clean signal above the input"
        elif test.method == "ccr" and fmean(abs(s) for s in by_condition[ANCHOR]) > 1:
            found[rater] = "heard the input differ from itself"
    return found


def heard(test: ListeningTest, votes: Sequence[Vote]) -> Heard:
    """The test's result: means over the raters that count, intervals by rater."""
    out = exclusions(test, votes)
    counted = [vote for vote in votes if vote.rater not in out]
    estimates: dict[str, Estimate] = {}
    numbers: dict[str, int] = {}
    for condition in test.conditions:
        own = [vote for vote in counted if vote.condition == condition]
        numbers[condition] = len(own)
        if own:
            estimates[condition] = mean_estimate([v.score for v in own], clusters=[v.rater for v in own])
    return Heard(estimates, numbers, len({vote.rater for vote in votes}), out)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values)
