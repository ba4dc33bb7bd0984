"""Two systems on one set, clip by clip: the numbers of `soundsright compare` as records."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from soundsright.core.errors import UsageError
from soundsright.core.results import ClipResult, Estimate, Failure
from soundsright.library.scoring import FolderScore, UtteranceScore

if TYPE_CHECKING:
    from soundsright.core.groups import ClipGroups
    from soundsright.services.scoring import ScoreReport

Scored: TypeAlias = "FolderScore | Mapping[str, UtteranceScore] | str | os.PathLike[str]"
"""A system's scores: a scored folder, scores by clip, or the path of a report that `score --json` wrote."""

LEVEL = 0.05


@dataclass(frozen=True)
class MetricComparison:
    """One metric of system A minus system B, over the clips of the set.

    Attributes:
        metric: its name in the registry.
        difference: the mean difference in the metric's unit, with its 95 % interval. It has none for one clip, or
            for two groups or fewer.
        p_value: of the two-sided paired test.
        p_value_holm: the same after Holm's correction over the metrics of this comparison.
        effect_size: Cohen's d of the paired differences; 0 if all differences are equal.
        by_clip: the difference of each clip, in the order of `SystemComparison.clip_ids`.
        undefined: the clips without a value on one side or both; they count as the floor there.
        mean_defined: the mean difference over the `n_defined` clips whose clean and noisy recordings allow a
            value; None if there are none. A clip on which one side failed is among them, with the floor.
    """

    metric: str
    difference: Estimate
    p_value: float
    p_value_holm: float
    effect_size: float
    by_clip: tuple[float, ...]
    undefined: int = 0
    mean_defined: float | None = None
    n_defined: int = 0

    @property
    def better(self) -> str | None:
        """The better system, `a` or `b`; None unless the interval excludes 0 and `p_value_holm` is at most 0.05."""
        from soundsright.metrics import metric

        certain = self.difference.is_above(0.0) or self.difference.is_below(0.0)
        if not certain or self.p_value_holm > LEVEL:
            return None
        return "a" if metric(self.metric).at_least_as_good(self.difference.mean, 0.0) else "b"


@dataclass(frozen=True)
class SystemComparison:
    """Two systems on one set. `groups` says what its clips share; None if each counts as independent.

    `notes` lists facts about the two sides that could not be checked. `failed_a` and `failed_b` have the failure of
    each clip that could not be scored on that side, by clip.
    """

    clip_ids: tuple[str, ...]
    metrics: Mapping[str, MetricComparison]
    groups: ClipGroups | None = None
    notes: tuple[str, ...] = ()
    failed_a: Mapping[str, Failure] = field(default_factory=dict)
    failed_b: Mapping[str, Failure] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> MetricComparison:
        return self.metrics[metric]

    @property
    def least_p_value_holm(self) -> float:
        """The smallest corrected p-value that is possible with this number of clips or groups.

        A two-sided sign-flip test on n groups cannot fall below 2 of the 2^n ways to flip, and Holm multiplies the
        smallest p-value by the number of metrics.
        """
        return min(1.0, len(self.metrics) * 2.0 ** (1 - self.witnesses))

    @property
    def witnesses(self) -> int:
        """The clips, or the groups of the factor that has the fewest."""
        return len(self.clip_ids) if self.groups is None else min(self.groups.counts.values())


def compare(
    a: Scored,
    b: Scored,
    *,
    metrics: Sequence[str] = (),
    manifest: str | os.PathLike[str] | None = None,
    cluster_by: str = "auto",
    resamples: int = 10_000,
    seed: int = 0,
) -> SystemComparison:
    """Compare two systems on the same set, paired by clip: A minus B for each metric.

    If it is known what the clips share, intervals and p-values hold for new noises or rooms and new prompts
    (Student's of the mean that is clustered both ways). Otherwise each clip counts as independent: BCa bootstrap,
    and a permutation test.

    Args:
        a: a result of `score_folder`, results of `score` by clip, or the path of a report.
        b: the same for the other system, on the same clips.
        metrics: names; the default is all metrics that both sides have.
        manifest: the set's manifest (JSON lines), which says what the clips share. Without it, the groups are those
            in the reports, if they have any.
        cluster_by: "auto": noise or room, and prompt, as far as the manifest says them; fields of the manifest,
            separated by commas; or "none": each clip counts as independent.
        resamples: draws of the bootstrap and of the permutation test, 100 to 1 000 000.
        seed: seed of the resampling; the same seed gives the same numbers.

    Raises:
        UsageError: the two sides have different clips, were scored against different clean files or with different
            `align`, or lack a metric.

    Example:
        import soundsright
        a = soundsright.score_folder("clean", "system-a")
        b = soundsright.score_folder("clean", "system-b")
        result = soundsright.compare(a, b)["SI_SDR"]
        print(result.difference, result.p_value_holm, result.better)
    """
    import numpy as np

    from soundsright.ranking import holm, paired_comparison
    from soundsright.services.scoring import values_of

    if not 100 <= resamples <= 1_000_000:
        raise UsageError(f"{resamples} resamples is out of range", "Choose 100 to 1000000.")
    name_a, name_b = _name_of(a, "A"), _name_of(b, "B")
    report_a, report_b = _report_of(a, name_a), _report_of(b, name_b)
    clips_a, clips_b, notes = _paired(name_a, report_a, name_b, report_b)
    names = _shared_metrics(metrics, clips_a, clips_b)
    ids = tuple(clip.clip_id for clip in clips_a)
    groups, more = _groups(
        name_a, report_a, report_b, ids, None if manifest is None else Path(manifest), cluster_by
    )
    labels = None if groups is None else groups.labels(ids)
    values = {name: (values_of(clips_a, name), values_of(clips_b, name)) for name in names}
    compared = {
        name: paired_comparison(
            *values[name], rng=np.random.default_rng([seed, index]), labels=labels, resamples=resamples
        )
        for index, name in enumerate(names)
    }
    adjusted = holm({name: each.p_value for name, each in compared.items()})
    comparisons = {
        name: MetricComparison(
            name,
            each.difference,
            each.p_value,
            adjusted[name],
            each.effect_size,
            tuple(x - y for x, y in zip(*values[name], strict=True)),
            *_defined(clips_a, clips_b, name, values[name]),
        )
        for name, each in compared.items()
    }
    return SystemComparison(ids, comparisons, groups, (*notes, *more), _failures(clips_a), _failures(clips_b))


def _failures(clips: Sequence[ClipResult]) -> dict[str, Failure]:
    return {clip.clip_id: clip.failure for clip in clips if clip.failure is not None}


def _defined(
    a: Sequence[ClipResult], b: Sequence[ClipResult], name: str, values: tuple[Sequence[float], Sequence[float]]
) -> tuple[int, float | None, int]:
    """The clips without a value on a side, and the mean difference over the clips that could have one, with their
    number."""
    import math

    from soundsright.services.scoring import has_no_reference

    undefined = sum(name in one.no_value or name in other.no_value for one, other in zip(a, b, strict=True))
    differences = [
        x - y
        for one, other, x, y in zip(a, b, *values, strict=True)
        if not has_no_reference(one, name) and not has_no_reference(other, name)
    ]
    return undefined, math.fsum(differences) / len(differences) if differences else None, len(differences)


def _name_of(scored: Scored, otherwise: str) -> str:
    return str(scored) if isinstance(scored, str | os.PathLike) else otherwise


def _report_of(scored: Scored, name: str) -> ScoreReport:
    from soundsright.services.scoring import FileDigests, ScoreReport, read_report

    if isinstance(scored, FolderScore):
        return scored.report
    if isinstance(scored, str | os.PathLike):
        return read_report(Path(scored))
    clips = tuple(
        ClipResult(clip_id, dict(each.scores), no_value={name: str(why) for name, why in each.no_value.items()})
        for clip_id, each in scored.items()
    )
    if not clips:
        raise UsageError(f"{name} has no clips", "Give at least one scored clip.")
    return ScoreReport(clips, tuple(FileDigests() for _ in clips))


def _groups(
    a: str, first: ScoreReport, second: ScoreReport, ids: Sequence[str], manifest: Path | None, cluster_by: str
) -> tuple[ClipGroups | None, list[str]]:
    """The groups of the clips, by the manifest or the reports, and a note if the reports differ."""
    from soundsright.services.scoring import AUTOMATIC, INDEPENDENT, read_groups

    if cluster_by == INDEPENDENT:
        return None, []
    if manifest is not None:
        clean = {clip.clip_id: files.clean for clip, files in zip(first.clips, first.files, strict=True)}
        return read_groups(manifest, ids, cluster_by, [clean[clip_id] for clip_id in ids]), []
    if cluster_by != AUTOMATIC:
        raise UsageError(
            f"--cluster-by {cluster_by} needs the set's manifest",
            "Give it with --manifest, or use --cluster-by none.",
        )
    known = [report.groups for report in (first, second) if report.groups is not None]
    differ = len(known) == 2 and (
        list(known[0].factors) != list(known[1].factors) or known[0].labels(ids) != known[1].labels(ids)
    )
    notes = [f"The reports group their clips differently. The groups here are those of {a}."] if differ else []
    return (known[0] if known else None), notes


def _paired(
    a: str, first: ScoreReport, b: str, second: ScoreReport
) -> tuple[list[ClipResult], list[ClipResult], tuple[str, ...]]:
    """The clips of both sides in the order of their names, and notes on facts that could not be checked."""
    by_id = {clip.clip_id: clip for clip in second.clips}
    if differing := sorted({clip.clip_id for clip in first.clips} ^ by_id.keys()):
        raise UsageError(
            f"{a} and {b} do not have the same clips: {len(differing)} differ, such as {differing[0]}",
            "Compare reports of one set.",
        )
    if others := first.differing(second, "clean"):
        raise UsageError(
            f"{a} and {b} were scored against different clean files: {len(others)} of {len(by_id)} clips, "
            f"such as {others[0]}",
            "Compare reports of one set.",
        )
    if None not in (first.align, second.align) and first.align is not second.align:
        aligned, plain = (a, b) if first.align else (b, a)
        raise UsageError(f"{aligned} was scored with --align, {plain} without", "Score both with the same options.")
    notes = [f"{name} is partial: {own.stopped}" for name, own in ((a, first), (b, second)) if own.stopped]
    if unchecked := [name for name, report in ((a, first), (b, second)) if not report.names_its_files]:
        notes.append(
            "It is not known whether both reports are of one set and scored alike. An earlier version wrote "
            f"{' and '.join(unchecked)} without the SHA-256 of the clean files."
        )
    if others := first.differing(second, "noisy"):
        notes.append(f"{len(others)} clips had different noisy files, such as {others[0]}.")
    ordered = sorted(first.clips, key=lambda clip: clip.clip_id)
    return ordered, [by_id[clip.clip_id] for clip in ordered], tuple(notes)


def _shared_metrics(chosen: Sequence[str], *sides: Sequence[ClipResult]) -> list[str]:
    from soundsright.metrics import metric
    from soundsright.services.scoring import measured_metrics

    measured = [measured_metrics(side) for side in sides]
    common = [name for name in measured[0] if name in measured[1]]
    if not chosen:
        if not common:
            raise UsageError("The reports have no metric in common", "Score both with the same metrics.")
        return [metric(name).name for name in common]
    names = [metric(name).name for name in chosen if name.strip()]
    if lacking := [name for name in names if name not in common]:
        raise UsageError(f"One of the reports lacks {', '.join(lacking)}", "Score both with it, or leave it out.")
    return names
