"""How large a study must be: the numbers of `soundsright plan-study` as records."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError
from soundsright.core.groups import FEWEST_GROUPS

if TYPE_CHECKING:
    from soundsright.ranking import MeasuredComponents, StudyTest, VarianceComponents

_MAIN_FACTORS = ("noise", "room")
_SPEAKER_SHARES = (1.0, 0.5, 0.25, 0.1)
"""Parts that the speakers may add to the rest of the variance: the cheapest study has one of them."""
_STEPS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class StudyNeed:
    """A study that is large enough: its clips and groups, its power, and the smallest effect that it detects.

    Attributes:
        clips: the clips of the set, on which both systems run.
        groups: the noises or rooms, among which the clips divide evenly; None: one of its own for each clip.
        speakers: the number of speakers, who cost as much as noises; None if the components do not say.
    """

    clips: int
    groups: int | None
    speakers: int | None
    power: float
    detectable: float


@dataclass(frozen=True)
class StudyCell:
    """One size in the table: the power for the asked effect, and the effect that is found with the asked power."""

    clips: int
    groups: int | None
    power: float
    detectable: float


@dataclass(frozen=True)
class StudyPlan:
    """The sizes that a comparison of two systems needs to hold for new material.

    Attributes:
        competition: whose components were used; empty for reports.
        factor: `noise` or `room`: what the clips share most of their differences with.
        typical: the need of a typical pair of systems; None if no number of clips is enough.
        cautious: the same for a pair with larger components than nine of ten pairs.
        ceiling: the power that endless clips would give a typical pair with the given noises or rooms.
        prompts: the prompts of the study; None: one of its own for each clip.
    """

    metric: str
    unit: str
    effect: float
    power: float
    alpha: float
    two_sided: bool
    competition: str
    factor: str
    prompts: int | None
    typical: StudyNeed | None
    cautious: StudyNeed | None
    ceiling: float
    table: tuple[StudyCell, ...]
    components: MeasuredComponents

    def power_at(self, clips: int, groups: int | None) -> float:
        """The power of a typical pair with this many clips and noises, and the planned speakers.

        With None, each clip has a noise of its own.
        """
        from soundsright.ranking import StudyTest

        planner = _Planner(
            self.effect, self.power, StudyTest(self.alpha, self.two_sided), self.factor, groups, self.prompts, 0.0
        )
        also = {"speaker": self.typical.speakers} if self.typical and self.typical.speakers else {}
        return planner.cell(self.components.typical, clips, groups, also).power


def plan_study(
    metric: str,
    effect: float,
    *,
    power: float = 0.9,
    competition: str | None = None,
    alpha: float = 0.05,
    two_sided: bool = True,
    noises: int | None = None,
    prompts: int | None = None,
    noise_cost: float = 5.0,
    run: str | os.PathLike[str] | None = None,
    reports: Sequence[str | os.PathLike[str]] = (),
    manifest: str | os.PathLike[str] | None = None,
) -> StudyPlan:
    """How many clips, noises and speakers show a difference of two systems for new noises and new speech.

    Args:
        metric: its name in the registry.
        effect: the difference of the means, in the metric's unit, above 0.
        power: the probability to find it, between 0.5 and 1.
        competition: whose variance components to use; the default is the first one that has the metric.
        alpha: the level of the test.
        two_sided: whether the test asks for a difference in both directions, as `compare` does. The test for a
            title is one-sided.
        noises: the number of noises (rooms for dereverberation) that you have; the default is the cheapest number.
        prompts: the number of spoken sentences; the default is one of its own for each clip.
        noise_cost: what one more noise or speaker costs, in clips.
        run: the folder of a finished run whose entries show the components.
        reports: two files of `score --json` on one set, instead.
        manifest: the manifest of that set (JSON lines).

    Raises:
        UsageError: a number is out of range, the metric is unknown, or there are no components for it.

    Example:
        import soundsright
        plan = soundsright.plan_study("PESQ_WB", 0.05, power=0.9)
        print(plan.typical.clips, plan.typical.groups)
    """
    from soundsright.library.study_components import (
        components_of_package,
        components_of_reports,
        components_of_run,
    )
    from soundsright.metrics import metric as metric_of
    from soundsright.ranking import StudyTest

    _check(effect, power, alpha, noises, prompts, noise_cost)
    known = metric_of(metric)
    if run is not None and reports:
        raise UsageError("Components come from a run or from reports, not from both", "Leave one of them out.")
    if bool(reports) != (manifest is not None):
        raise UsageError("Reports and the manifest of their set belong together", "Give both, or neither.")
    if run is not None:
        competition, components = components_of_run(known.name, competition, run)
    elif manifest is not None:
        components = components_of_reports(known.name, reports, manifest)
    else:
        competition, components = components_of_package(known.name, competition)
    planner = _Planner(
        effect, power, StudyTest(alpha, two_sided), _main_factor(components), noises, prompts, noise_cost
    )
    planner.check_measured(components)
    typical = planner.need(components.typical)
    return StudyPlan(
        known.name,
        known.unit,
        effect,
        power,
        alpha,
        two_sided,
        competition or "",
        planner.factor,
        prompts,
        typical,
        planner.need(components.cautious),
        planner.ceiling(components.typical),
        planner.table(components.typical, typical),
        components,
    )


def _check(
    effect: float, power: float, alpha: float, noises: int | None, prompts: int | None, noise_cost: float
) -> None:
    if not 0 < effect < math.inf:
        raise UsageError(
            f"An effect of {effect:g} cannot be planned for",
            "Give the smallest difference that matters to you, above 0.",
        )
    if not 0.5 < power < 1:
        raise UsageError(f"A power of {power:g} is not between 0.5 and 1", "Give 0.8 or 0.9, for example.")
    if not 1e-6 <= alpha < 0.5:
        raise UsageError(f"A level of {alpha:g} is not between 0.000001 and 0.5", "Give 0.05, for example.")
    for name, count in (("noises", noises), ("prompts", prompts)):
        if count is not None and not FEWEST_GROUPS <= count <= 100_000:
            raise UsageError(
                f"{count} {name} cannot be planned for",
                f"Give {FEWEST_GROUPS} to 100000: fewer say nothing about new ones.",
            )
    if not 0 <= noise_cost < 1e6:
        raise UsageError(f"A noise cannot cost {noise_cost:g} clips", "Give 0 or more.")


def _main_factor(components: MeasuredComponents) -> str:
    return next((factor for factor in _MAIN_FACTORS if factor in components.groups), _MAIN_FACTORS[0])


@dataclass(frozen=True)
class _Planner:
    effect: float
    power: float
    test: StudyTest
    factor: str
    noises: int | None
    prompts: int | None
    noise_cost: float

    @property
    def others(self) -> dict[str, int]:
        return {} if self.prompts is None else {"prompt": self.prompts}

    def check_measured(self, components: MeasuredComponents) -> None:
        """Refuse a number of noises if the components do not tell noises from clips."""
        if self.noises is not None and self.factor not in components.typical.factors:
            raise UsageError(
                f"In {components.source}, too few clips share a {self.factor}, so its part of the differences is "
                "unknown",
                f"Plan without a number of {self.factor}s, or give clips of which several share one.",
            )

    def groups(self, count: int | None) -> dict[str, int]:
        return self.others if count is None else {**self.others, self.factor: count}

    def cell(
        self,
        components: VarianceComponents,
        clips: int,
        count: int | None,
        also: Mapping[str, int] | None = None,
    ) -> StudyCell:
        from soundsright.ranking import StudyDesign, least_detectable_effect, study_power

        design = StudyDesign(clips, {**self.groups(count), **(also or {})})
        return StudyCell(
            clips,
            count,
            study_power(self.effect, components, design, self.test),
            least_detectable_effect(self.power, components, design, self.test),
        )

    def need(self, components: VarianceComponents) -> StudyNeed | None:
        """The cheapest study that reaches the power, the speakers included."""
        from soundsright.ranking import StudyDesign, enough_groups

        first = self.size(components, {})
        if first is None:
            return None
        (clips, count), speakers = first, None
        least = math.inf
        for share in _SPEAKER_SHARES if "speaker" in components.factors else ():
            design = StudyDesign(first[0], self.groups(first[1]))
            several = max(FEWEST_GROUPS, enough_groups(components, "speaker", design, share) or 0)
            # The speakers' part widens the spread, so the study must grow with it.
            found = self.size(components, {"speaker": several})
            if found is not None and (cost := found[0] + self.noise_cost * ((found[1] or 0) + several)) < least:
                least, (clips, count), speakers = cost, found, min(several, found[0])
        groups = {} if speakers is None else {"speaker": speakers}
        cell = self.cell(components, clips, count, groups)
        return StudyNeed(clips, count, speakers, cell.power, cell.detectable)

    def size(self, components: VarianceComponents, also: Mapping[str, int]) -> tuple[int, int | None] | None:
        """Clips, and noises if they are shared, of the cheapest study with these groups of other factors too."""
        from soundsright.ranking import cheapest_design, fewest_clips

        if self.factor in components.factors and self.noises is None:
            found = cheapest_design(
                self.effect,
                self.power,
                components,
                self.factor,
                group_cost=self.noise_cost,
                others={**self.others, **also},
                test=self.test,
            )
            return None if found is None else (found.clips, found.count(self.factor))
        groups = {**self.groups(self.noises), **also}
        clips = fewest_clips(self.effect, self.power, components, groups, self.test)
        return None if clips is None else (clips, self.noises)

    def ceiling(self, components: VarianceComponents) -> float:
        from soundsright.ranking import MOST_CLIPS, StudyDesign, study_power

        return study_power(self.effect, components, StudyDesign(MOST_CLIPS, self.groups(self.noises)), self.test)

    def table(self, components: VarianceComponents, need: StudyNeed | None) -> tuple[StudyCell, ...]:
        """Cells around the need; only sizes with at least as many clips as noises, and three noises."""
        clips = need.clips if need else 4 * (self.noises or 100)
        count = self.noises if need is None else need.groups
        also = {"speaker": need.speakers} if need and need.speakers else {}
        if self.factor in components.factors and count is None:
            count = clips
        widths = sorted({max(FEWEST_GROUPS, _round(clips * step, step)) for step in _STEPS})
        if count is None:
            return tuple(self.cell(components, width, None, also) for width in widths)
        heights = sorted({max(FEWEST_GROUPS, _round(count * step, step)) for step in _STEPS})
        return tuple(
            self.cell(components, width, height, also) for height in heights for width in widths if width >= height
        )


def _round(number: float, step: float) -> int:
    """The need itself, and other sizes to two digits.

    >>> _round(287.0, 1.0), _round(143.5, 0.5)
    (287, 140)
    """
    return round(number) if step == 1 or number < 10 else int(float(f"{number:.2g}"))
