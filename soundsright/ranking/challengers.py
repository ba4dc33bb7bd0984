"""The challengers that count when many are tested against one champion.

Holm's correction divides the level by the number of tests. If every entry counted, entries that are clearly worse
than the champion would protect it: a lead with p = .0027 becomes .044 beside 15 of them, and .176 beside 63.

The procedure here looks at the p-values from 1 downwards and stops at one of three limits. What it has seen so far
chooses the limit. Given that, a challenger that is not better has a p-value that is uniform below the limit, or
larger. So p / limit is a p-value again, and Holm's correction over the challengers below the limit keeps the error
at alpha. This proof is for independent p-values, and is that of conditioning and discarding (Zhao, Small, Su,
"Multiple Testing When Many p-Values are Uniformly Conservative", JASA 114, 2019; Tian, Ramdas, "ADDIS", NeurIPS
2019).
`benchmarks/titles.py` measures it for dependent ones too: all differences contain the one champion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soundsright.core.rulesets import Ruleset
from soundsright.ranking.needed import holm_levels
from soundsright.ranking.statistics import holm

_FEW = 2
"""So few challengers all count: Holm's correction for two costs no more than halving the level."""


@dataclass(frozen=True)
class Counted:
    """The challengers that count, by their numbers, and the limit that their p-values were chosen by."""

    numbers: tuple[int, ...]
    limit: float

    @property
    def factor(self) -> float:
        """The number by which the smallest p-value is multiplied."""
        return max(len(self.numbers), 1) / self.limit


def counted_challengers(ruleset: Ruleset, p_values: Sequence[float]) -> Counted:
    """The challengers that count in Holm's correction, from their unadjusted p-values against the champion.

    >>> from soundsright.core.rulesets import SOUNDSRIGHT_V5
    >>> counted_challengers(SOUNDSRIGHT_V5, [0.03])
    Counted(numbers=(0,), limit=1.0)
    >>> counted_challengers(SOUNDSRIGHT_V5, [0.01, 0.9999, 1.0, 1.0])
    Counted(numbers=(0,), limit=0.999)
    >>> counted_challengers(SOUNDSRIGHT_V5, [0.01, 0.3, 0.8, 0.9])
    Counted(numbers=(0, 1), limit=0.5)
    """
    everybody = tuple(range(len(p_values)))
    if ruleset.serious_p is None or len(p_values) < 2:
        return Counted(everybody, 1.0)
    near = tuple(number for number in everybody if p_values[number] <= ruleset.hopeless_p)
    if len(near) <= _FEW:
        return Counted(near, ruleset.hopeless_p)
    return Counted(tuple(number for number in near if p_values[number] <= ruleset.serious_p), ruleset.serious_p)


def adjusted_p_values(ruleset: Ruleset, p_values: Sequence[float]) -> list[float]:
    """The p-values after the correction; 1 for a challenger that does not count."""
    counted = counted_challengers(ruleset, p_values)
    adjusted = holm({str(number): min(1.0, p_values[number] / counted.limit) for number in counted.numbers})
    return [adjusted.get(str(number), 1.0) for number in range(len(p_values))]


def needed_levels(ruleset: Ruleset, p_values: Sequence[float], alpha: float) -> list[float]:
    """The unadjusted p-value that each challenger needs to win, if the others stay the same.

    >>> from soundsright.core.rulesets import SOUNDSRIGHT_V5
    >>> needed_levels(SOUNDSRIGHT_V5, [0.2, 0.9999], alpha=0.05)
    [0.04995, 0.024975]
    """
    if ruleset.serious_p is None:
        return holm_levels(adjusted_p_values(ruleset, p_values), alpha)
    return [_level(ruleset, [*p_values[:own], *p_values[own + 1 :]], alpha) for own in range(len(p_values))]


def joining_level(ruleset: Ruleset, p_values: Sequence[float], alpha: float) -> float:
    """The unadjusted p-value that one more challenger would need beside these."""
    if ruleset.serious_p is None:
        return holm_levels([*adjusted_p_values(ruleset, p_values), None], alpha)[-1]
    return _level(ruleset, p_values, alpha)


def _level(ruleset: Ruleset, others: Sequence[float], alpha: float) -> float:
    """The level beside these: alpha x limit, divided by the number of those that count and do not win."""
    counted = counted_challengers(ruleset, [0.0, *others])
    rivals = sorted(others[number - 1] for number in counted.numbers if number)
    left = len(counted.numbers)
    for p_value in rivals:
        if left * p_value > alpha * counted.limit:
            break
        left -= 1
    return alpha * counted.limit / max(left, 1)
