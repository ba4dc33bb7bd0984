"""The life of a recording, counted in rounds.

The recordings of a corpus are in cohorts 0, 1, 2 …, and `uses` neighbouring cohorts are in use in a round: in the
corpus' round n (0 for its first) the cohorts n to n + uses - 1. Each round retires one cohort and brings a fresh
one. So every round draws from the same number of cohorts, and the answer follows from the corpus and
the round's number alone: a validator that missed a round, or was killed in one, still agrees with the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from soundsright.core.errors import UsageError

DEFAULT_USES = 5
"""With five cohorts in use, a fifth of the recordings of a round is fresh."""
DEFAULT_FRESH = 20
"""Fresh recordings of speech in a round, if the corpus is large enough."""
MAX_USES = 100
MAX_ROUND = 1_000_000_000


@dataclass(frozen=True)
class Life:
    """When each of `cohorts` cohorts is in use. `first_round` is the number of the corpus' first round.

    >>> life = Life(first_round=10, uses=3, cohorts=5)
    >>> list(life.in_use(11)), list(life.fresh(11)), life.retired_round_of(1), life.last_round
    ([1, 2, 3], [3], 12, 12)
    """

    first_round: int
    uses: int
    cohorts: int

    @property
    def last_round(self) -> int:
        """The last round for which there are recordings."""
        return self.first_round + self.cohorts - self.uses

    def in_use(self, number: int) -> range:
        """The cohorts from which round `number` draws.

        Raises:
            UsageError: the corpus begins later, or its recordings are used up.
        """
        if number < self.first_round:
            raise UsageError(
                f"Round {number} lies before the corpus' first round, {self.first_round}",
                "Use the corpus of that time, or build one with an earlier --first-round.",
            )
        if number > self.last_round:
            raise UsageError(
                f"The corpus has recordings for rounds up to {self.last_round}, and this is round {number}",
                "Add recordings with `soundsright corpus add`. For a new corpus, build it with "
                f"--first-round {number}.",
            )
        begin = number - self.first_round
        return range(begin, begin + self.uses)

    def fresh(self, number: int) -> range:
        """The cohorts that no round before `number` used. In the first round these are all cohorts in use.

        Raises:
            UsageError: as `in_use`.
        """
        used = self.in_use(number)
        return used if number == self.first_round else used[-1:]

    def retired_round_of(self, cohort: int) -> int:
        """The first round that can no longer use the cohort."""
        return self.first_round + cohort + 1

    def rounds_of(self, cohort: int) -> range:
        """The rounds that use the cohort."""
        retired = self.retired_round_of(cohort)
        return range(max(self.first_round, retired - self.uses), min(retired, self.last_round + 1))

    def rounds_left(self, number: int) -> int:
        """For how many rounds there are recordings, from round `number` on."""
        return max(0, self.last_round - max(number, self.first_round) + 1)


def spread(count: int, cohorts: int) -> list[int]:
    """The cohort of each of `count` recordings, in order: sizes differ by at most one.

    >>> spread(7, 3)
    [0, 0, 0, 1, 1, 2, 2]
    """
    return [index * cohorts // count for index in range(count)]
