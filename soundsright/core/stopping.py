"""When the clips of a competition are enough: what a round may decide before its set ends, and why it did.

Levels are probabilities. Means and leads are in the metric's unit, higher is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Stopping(StrEnum):
    """Whether every entry of a competition runs on the whole set."""

    FULL = "full"
    """Every entry runs on every clip."""
    SEQUENTIAL = "sequential"
    """Entries run in blocks of whole noises or rooms. Those that can no longer win stop early."""


HOPELESS_ALPHA = 0.01
"""The chance up to which a lead counts as ruled out, for one comparison over all looks."""

EARLY_PART = 0.02
"""The part of a ruleset's `alpha` that is spent on wins before the set ends. The last test has the rest."""

FEWEST_WITNESSES = 12
"""With fewer noises or rooms, every entry runs on the whole set."""


@dataclass(frozen=True)
class RuledOut:
    """Why an entry cannot win a metric: `by` is ahead, and the lead that the entry still needs is ruled out.

    `chance` is the probability that the rest of the set brings the entry that lead; at most `HOPELESS_ALPHA`,
    divided by the number of looks. `lead` is the entry's mean lead so far, and `needed` the lead that it needs on
    the whole set.
    """

    by: str
    chance: float
    lead: float
    needed: float


@dataclass(frozen=True)
class EarlyStop:
    """An entry that stopped before the end of the set: its clips and noises, and the evidence by metric."""

    hotkey: str
    clips: int
    set_clips: int
    witnesses: int
    ruled_out: Mapping[str, RuledOut]


@dataclass(frozen=True)
class Stops:
    """The decisions of a competition's looks at its clips.

    The entries that did not stop ran on `clips` of the set's `set_clips` clips, with `witnesses` of
    `set_witnesses` noises or rooms. `evidence` has, for each metric that a challenger won early, the capital
    against "no better than the champion". `whole` says why all entries ran on the whole set; it is empty if the
    round could stop early. `without` is an entry that ruled others out and is not ranked itself: then
    nobody counts as stopped, and the clips are those that all entries ran.
    """

    set_clips: int
    set_witnesses: int
    clips: int
    witnesses: int
    stopped: tuple[EarlyStop, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    whole: str = ""
    without: str = ""

    @property
    def ended_early(self) -> bool:
        """Whether nobody ran on the whole set."""
        return self.clips < self.set_clips

    def of(self, hotkey: str) -> EarlyStop | None:
        """The stop of an entry; None if it ran as long as anybody."""
        return next((stop for stop in self.stopped if stop.hotkey == hotkey), None)
