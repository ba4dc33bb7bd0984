"""Blind listening tests: methods, trials, votes, the rules that exclude raters, and the result.

    acr     absolute category rating (after ITU-T P.808): one recording, 1 bad to 5 excellent
    ccr     comparison category rating (after ITU-T P.808): two versions, -3 much worse to 3 much better
    mushra  after ITU-R BS.1534-3: all versions of a clip and the open reference, 0 to 100

Every test contains the clean signal as a hidden reference and the degraded input as an anchor. MUSHRA adds a second
anchor, the clean signal low-passed at 3.5 kHz. Some questions come twice. `screening.py` has the rules that exclude
raters, which are fixed before the first vote. Votes come from browsers of strangers, so each one is checked against
its trial.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundsright.core.errors import UsageError
from soundsright.core.results import Estimate

METHODS = ("acr", "ccr", "mushra")
REFERENCE, ANCHOR, LOW_ANCHOR = "clean", "degraded", "lowpass"
SCALES: Mapping[str, tuple[float, float]] = {"acr": (1, 5), "ccr": (-3, 3), "mushra": (0, 100)}
SCALE_NAMES: Mapping[str, str] = {"acr": "MOS", "ccr": "CMOS over the input", "mushra": "MUSHRA"}
MAX_ENTRIES, MAX_CLIPS = 12, 60


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
    repeats: int = 0
    """Questions that each rater gets twice. 0 in plans of old versions, which had none."""

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
        if not 0 <= self.repeats <= self.questions:
            raise UsageError(
                f"A test of {self.questions} questions cannot repeat {self.repeats}",
                f"Choose 0 to {self.questions}.",
            )

    @property
    def conditions(self) -> tuple[str, ...]:
        """The versions of a clip that are rated: entries, hidden reference and anchors."""
        extra = (REFERENCE, ANCHOR, LOW_ANCHOR) if self.method == "mushra" else (REFERENCE, ANCHOR)
        return (*self.entries, *extra)

    @property
    def questions(self) -> int:
        """The number of questions, without the repeated ones."""
        return len(self.clips) * (1 if self.method == "mushra" else len(self.conditions))


def usual_repeats(method: str, questions: int) -> int:
    """The number of repeated questions that tells a rater from chance: a fifth, but at least 8 (`mushra`: 2)."""
    return min(questions, max(2 if method == "mushra" else 8, questions // 5))


@dataclass(frozen=True)
class Trial:
    """One question. `stimuli` are the conditions in the order shown; `rated` are those that get a score.

    In `ccr`, the two stimuli are the input and the rated condition, in random order. `repeat` marks the second copy
    of a question. Its answer is only compared with the first one.
    """

    clip: str
    stimuli: tuple[str, ...]
    rated: tuple[str, ...]
    repeat: bool = False


@dataclass(frozen=True)
class Vote:
    """One score. In `ccr` it compares the condition with the input, whichever of them played first."""

    rater: str
    clip: str
    condition: str
    score: float
    repeat: bool = False


@dataclass(frozen=True)
class ListeningResult:
    """Estimates and numbers of votes by condition; `excluded` has the excluded raters with the reason."""

    estimates: Mapping[str, Estimate]
    votes: Mapping[str, int]
    raters: int
    excluded: Mapping[str, str]


def trials_for(test: ListeningTest, rater: int) -> tuple[Trial, ...]:
    """The questions of rater number `rater`, in random order. The repeated ones are drawn for each rater."""
    rng = np.random.default_rng([test.seed, rater])
    trials: list[Trial] = []
    for clip in test.clips:
        if test.method == "mushra":
            trials.append(_all_versions(test, clip, rng))
        else:
            trials += [_one_version(test, clip, condition, rng) for condition in test.conditions]
    for again in _in_turn([trials[i] for i in rng.permutation(len(trials))])[: test.repeats]:
        if test.method == "mushra":
            trials.append(replace(_all_versions(test, again.clip, rng), repeat=True))
        else:
            trials.append(replace(_one_version(test, again.clip, again.rated[0], rng), repeat=True))
    return tuple(trials[i] for i in rng.permutation(len(trials)))


def _in_turn(trials: Sequence[Trial]) -> list[Trial]:
    """The questions in an order that takes the conditions in turn, so that the first ones differ in quality."""
    seen: Counter[str] = Counter()
    turns = []
    for trial in trials:
        turns.append(seen[trial.rated[0]] if len(trial.rated) == 1 else 0)
        seen[trial.rated[0]] += 1
    return [trials[i] for i in sorted(range(len(trials)), key=turns.__getitem__)]


def _all_versions(test: ListeningTest, clip: str, rng: np.random.Generator) -> Trial:
    order = tuple(str(c) for c in rng.permutation(test.conditions))
    return Trial(clip, order, order)


def _one_version(test: ListeningTest, clip: str, condition: str, rng: np.random.Generator) -> Trial:
    stimuli: tuple[str, ...] = (condition,)
    if test.method == "ccr":
        stimuli = (ANCHOR, condition) if rng.random() < 0.5 else (condition, ANCHOR)
    return Trial(clip, stimuli, (condition,))


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
    pairs = zip(trial.rated, scores, strict=True)
    return [Vote(rater, trial.clip, c, sign * s, trial.repeat) for c, s in pairs]
