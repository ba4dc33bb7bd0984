"""Power of a comparison for new material: how many clips, noises and prompts show a difference of a given size.

Effects and standard errors are in the metric's unit. The variance of the mean difference is the sum over factors of
component / groups, plus the clip's component / clips. The test is that of `clustered_mean`: Student's t with
Satterthwaite's degrees of freedom. If there is an effect, t has a noncentral distribution, with noncentrality
effect / standard error.

A `StudyDesign` is balanced: every group of a factor has equally many clips, and the factors are crossed, as in sets
whose clips take turns with their material. Then the degrees of freedom have a closed form, which
`tests/ranking/test_power.py` compares with those of `group_design`.

Sources: Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988; Westfall, Kenny, Judd, "Statistical
Power and Optimal Design in Experiments in Which Samples of Participants Respond to Samples of Stimuli", J. Exp.
Psychology: General 143(5), 2014; Satterthwaite, "An Approximate Distribution of Estimates of Variance Components",
Biometrics Bulletin 2(6), 1946.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from soundsright.core.groups import FEWEST_GROUPS
from soundsright.ranking.clustered import SKEWNESS_FACTOR, hall_inverse
from soundsright.ranking.components import VarianceComponents

MOST_CLIPS = 100_000
TESTED_FACTORS = ("noise", "room", "prompt")
"""The factors that the test of new material counts. Others, such as the speaker, widen the spread alone."""


@dataclass(frozen=True)
class StudyDesign:
    """A number of clips, and of equally large groups for some factors.

    A factor that is not in `groups` has a group of its own for each clip.

    Raises:
        ValueError: a number is below 1.
    """

    clips: int
    groups: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min([self.clips, *self.groups.values()]) < 1:
            raise ValueError("a study needs at least one clip and one group of each factor")

    def count(self, factor: str) -> int:
        """The groups of a factor; there are never more than clips."""
        return min(self.groups.get(factor, self.clips), self.clips)


@dataclass(frozen=True)
class StudyTest:
    """The test that the study ends with: its level, and whether it asks for a difference in both directions."""

    alpha: float = 0.05
    two_sided: bool = True


def standard_error(components: VarianceComponents, design: StudyDesign) -> float:
    """The standard deviation of the mean difference over studies of this design with new material.

    >>> round(standard_error(VarianceComponents({"noise": 1.0}, 3.0), StudyDesign(100, {"noise": 25})), 6)
    0.264575
    """
    groups = sum(value / design.count(factor) for factor, value in components.factors.items())
    return math.sqrt(groups + components.clip / design.clips)


def degrees_of_freedom(components: VarianceComponents, design: StudyDesign) -> float:
    """Satterthwaite's degrees of freedom of the test, between 1 and the clips less one.

    The test sums squares over the groups of each factor and subtracts those over the cells of two factors. In a
    balanced crossed design its quadratic form has one eigenvalue on the space of each factor and one on the
    interaction. With none, one or two factors that several clips share; further ones are left out, fewest groups
    first.
    """
    clips = design.clips
    shared = sorted(
        ((design.count(f), components.factors.get(f, 0.0)) for f in TESTED_FACTORS if design.count(f) < clips),
    )[:2]
    if not shared:
        return float(clips - 1)
    rest = components.clip + sum(
        value for factor, value in components.factors.items() if design.count(factor) == clips
    )
    cells = min(clips, math.prod(count for count, _ in shared)) if len(shared) == 2 else 0
    per_cell = clips / cells if cells else 0.0
    spaces = [(count - 1, clips / count - per_cell, rest + value * clips / count) for count, value in shared]
    if cells:
        spaces.append((max(cells - sum(count for count, _ in shared) + 1, 0), -per_cell, rest))
    expected = sum(size * weight * variance for size, weight, variance in spaces)
    spread = sum(size * (weight * variance) ** 2 for size, weight, variance in spaces)
    fewest = float(shared[0][0] - 1)
    degrees = expected**2 / spread if expected > 0 and spread > 0 else fewest
    return min(max(degrees, 1.0), float(clips - 1))


def study_power(
    effect: float, components: VarianceComponents, design: StudyDesign, test: StudyTest | None = None
) -> float:
    """The probability that the test finds a difference of this size.

    It is 0 if a factor has fewer than three groups, or so few groups that no p-value reaches alpha: with G groups
    the least p-value is 2^(1 - G), and 2^-G for one direction.

    >>> round(study_power(0.5, VarianceComponents({}, 1.0), StudyDesign(64)), 3)
    0.976
    """
    from scipy.special import stdtrit

    test = test or StudyTest()
    fewest = min(design.count(factor) for factor in TESTED_FACTORS)
    least_p_value = 2.0 ** (1 - fewest if test.two_sided else -fewest)
    if fewest < FEWEST_GROUPS or test.alpha < least_p_value:
        return 0.0
    degrees = degrees_of_freedom(components, design)
    noncentrality = abs(effect) / standard_error(components, design)
    if not test.two_sided:
        return _one_sided_power(noncentrality, degrees, fewest, test.alpha)
    critical = float(stdtrit(degrees, 1 - test.alpha / 2))
    # The wrong direction counts too; beyond a noncentrality of 4 it is below 1e-6.
    wrong = _above(critical, degrees, -noncentrality) if noncentrality < 4 else 0.0
    return min(_above(critical, degrees, noncentrality) + wrong, 1.0)


def _above(critical: float, degrees: float, noncentrality: float) -> float:
    """The probability that noncentral t exceeds the critical value."""
    from scipy.special import nctdtr, ndtr

    # Use a normal approximation where nctdtr loses its digits (Johnson, Welch, Biometrika 31, 1940).
    if noncentrality > 20 or degrees > 300:
        shifted = noncentrality - critical * (1 - 1 / (4 * degrees))
        return float(ndtr(shifted / math.sqrt(1 + critical**2 / (2 * degrees))))
    return 1 - float(nctdtr(degrees, noncentrality, critical))


def _one_sided_power(noncentrality: float, degrees: float, groups: int, alpha: float) -> float:
    """The power of `clustered_p_values`, which also corrects for the skewness that the groups happen to show.

    The sample skewness of G normal values is near normal, with variance 6 G (G - 1) / ((G - 2) (G + 1) (G + 3))
    (Joanes, Gill, The Statistician 47(1), 1998). The skewness of their mean is smaller by the square root of G. The
    power is the mean over this distribution.
    """
    import numpy as np
    from scipy.special import stdtrit

    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    spread = math.sqrt(6 * (groups - 1) / ((groups - 2) * (groups + 1) * (groups + 3)))
    skewness = SKEWNESS_FACTOR * spread * nodes
    t = stdtrit(degrees, 1 - alpha)
    critical = np.maximum(t, hall_inverse(np.full(len(nodes), t), skewness))
    powers = [_above(float(each), degrees, noncentrality) for each in critical]
    return float(np.dot(weights, powers) / weights.sum())


def least_detectable_effect(
    power: float, components: VarianceComponents, design: StudyDesign, test: StudyTest | None = None
) -> float:
    """The smallest difference that the test finds with this power; infinite if none does."""
    error = standard_error(components, design)
    high = error
    while study_power(high, components, design, test) < power:
        high *= 2
        if high > 1e9 * error:
            return math.inf
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if study_power(middle, components, design, test) >= power else (middle, high)
    return high


def fewest_clips(
    effect: float,
    power: float,
    components: VarianceComponents,
    groups: Mapping[str, int],
    test: StudyTest | None = None,
) -> int | None:
    """The fewest clips with these groups that reach the power; None if `MOST_CLIPS` do not.

    There are at least as many clips as groups of each factor.
    """
    return _first(
        lambda clips: study_power(effect, components, StudyDesign(clips, groups), test) >= power,
        max([FEWEST_GROUPS, *groups.values()]),
        MOST_CLIPS,
    )


def cheapest_design(
    effect: float,
    power: float,
    components: VarianceComponents,
    factor: str,
    *,
    group_cost: float,
    others: Mapping[str, int] | None = None,
    test: StudyTest | None = None,
) -> StudyDesign | None:
    """The design with the least cost, clips plus `group_cost` for each group of the factor; None if none is enough.

    A new noise recording costs more than one more clip with an old noise. `others` fixes the groups of other
    factors.
    """
    others = others or {}

    def clips_of(count: int) -> int | None:
        return fewest_clips(effect, power, components, {**others, factor: count}, test)

    # Enough clips with each its own group: no design needs more groups than that.
    alone = fewest_clips(effect, power, components, others, test)
    if alone is None:
        return None
    fewest = _first(lambda count: clips_of(count) is not None, FEWEST_GROUPS, alone)
    if fewest is None:
        return None
    best: tuple[float, int, int] | None = None
    for count in _steps(fewest, alone):
        clips = clips_of(count)
        if clips is not None:
            cost = clips + group_cost * count
            best = min(best or (math.inf, 0, 0), (cost, count, clips))
    assert best is not None
    return StudyDesign(best[2], {**others, factor: best[1]})


def enough_groups(
    components: VarianceComponents, factor: str, design: StudyDesign, share: float = 0.1
) -> int | None:
    """The fewest groups of a factor outside the test that add at most this share to the variance of the mean.

    None if the factor was not measured.

    >>> enough_groups(VarianceComponents({"speaker": 0.1}, 1.0), "speaker", StudyDesign(100))
    100
    """
    if factor not in components.factors:
        return None
    rest = standard_error(components, design) ** 2 - components.factors[factor] / design.count(factor)
    if rest <= 0 or components.factors[factor] <= 0:
        return 1
    return min(design.clips, math.ceil(components.factors[factor] / (share * rest) * (1 - 1e-9)))


def _steps(low: int, high: int) -> Sequence[int]:
    """Whole numbers from low to high, closer together where they are small: at most 5 % apart."""
    numbers = [low]
    while numbers[-1] < high:
        numbers.append(min(high, max(numbers[-1] + 1, int(numbers[-1] * 1.05))))
    return numbers


def _first(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The first number from low to high that holds, of a condition that once true stays true."""
    if low > high or not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
