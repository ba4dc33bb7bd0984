"""The sources of the variance components of a planned study: the package, a finished run, or two score reports."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.ranking import MeasuredComponents
    from soundsright.services.records import RunCompetition

_FEWEST_SYSTEMS = 3


def components_of_package(metric: str, competition: str | None) -> tuple[str, MeasuredComponents]:
    """The competition and its shipped components of a metric; the default is the first one that has it.

    Raises:
        UsageError: the competition is unknown, or no components of the metric are shipped for it.
    """
    from soundsright.core.competition import PUBLISHED, competition_by_id
    from soundsright.ranking import shipped_components

    shipped = shipped_components()
    chosen = competition_by_id(competition).id if competition else None
    for each in PUBLISHED:
        if chosen in (None, each.id) and metric in shipped.get(each.id, {}):
            return each.id, shipped[each.id][metric]
    known = sorted({name for id_, metrics in shipped.items() if chosen in (None, id_) for name in metrics})
    place = f" for {chosen}" if chosen else ""
    raise UsageError(
        f"SoundsRight has no variance components of {metric}{place}",
        f"Choose from {', '.join(known)}, or measure them in a run of your own with --run FOLDER.",
    )


def components_of_run(
    metric: str, competition: str | None, folder: str | os.PathLike[str]
) -> tuple[str, MeasuredComponents]:
    """The competition of a run and the components of its entries that answered every clip.

    With fewer than three such entries, the unprocessed input counts as one more.

    Raises:
        UsageError: the run cannot be read, lacks the competition or the metric, keeps its material private, or has
            too few clips or entries.
    """
    from soundsright.library.runs import open_run

    run = open_run(folder)
    ids = [each.doc.id for each in run.competitions]
    wanted = [
        each
        for each in run.competitions
        if (each.doc.id.casefold() == competition.casefold() if competition else metric in each.metrics)
    ]
    if not wanted:
        what = f"has no competition {competition}" if competition else f"did not measure {metric}"
        raise UsageError(f"The run {os.fspath(folder)} {what}", f"It has {', '.join(ids)}.")
    found = wanted[0]
    if metric not in found.metrics:
        raise UsageError(
            f"The run {os.fspath(folder)} did not measure {metric} in {found.doc.id}",
            f"Choose from {', '.join(found.metrics)}.",
        )
    systems = {
        entry.key: found.values(entry, metric)
        for entry in found.entries
        if all(metric in entry.scores.get(clip, {}) for clip in found.clip_ids)
    }
    if len(systems) < _FEWEST_SYSTEMS:
        systems[found.unprocessed.key] = found.values(found.unprocessed, metric)
    factors = _factors_of_run(found, folder)
    return found.doc.id, _measured(systems, factors, f"the run {Path(folder).name}")


def components_of_reports(
    metric: str, reports: Sequence[str | os.PathLike[str]], manifest: str | os.PathLike[str]
) -> MeasuredComponents:
    """The components of the difference of two reports of `score --json` on one set, with the set's manifest.

    Raises:
        UsageError: there are not two reports, one cannot be read or lacks the metric, they are not of one set, or
            the manifest does not say what the clips share.
    """
    from soundsright.library.comparison import compare

    if len(reports) != 2:
        raise UsageError(f"A comparison needs two reports, not {len(reports)}", "Give two files of `score --json`.")
    compared = compare(*(os.fspath(path) for path in reports), metrics=[metric], resamples=100)
    factors = _factors_of_manifest(Path(manifest), compared.clip_ids)
    differences = compared[metric].by_clip
    names = " and ".join(Path(path).stem for path in reports)
    return _measured({"a": differences, "b": [0.0] * len(differences)}, factors, f"the reports {names}")


def _measured(
    systems: Mapping[str, Sequence[float]], factors: Mapping[str, Sequence[str]], source: str
) -> MeasuredComponents:
    from soundsright.ranking import measured_components

    clips = len(next(iter(systems.values()), ()))
    try:
        return measured_components(systems, factors, source=f"{source} ({clips} clips, {len(systems)} systems)")
    except ValueError as error:
        raise UsageError(
            f"Variance components cannot be measured in {source}: {error}",
            "Give one with at least ten clips and two systems that differ.",
        ) from error


def _factors_of_run(found: RunCompetition, folder: str | os.PathLike[str]) -> dict[str, Sequence[str]]:
    from soundsright.data import groups_of

    recipes = {clip: found.recipes[clip] for clip in found.clip_ids}
    known = groups_of({clip: {"speech": r.speech, "noise": r.noise, "rir": r.rir} for clip, r in recipes.items()})
    if known is None:
        raise UsageError(
            f"The run {os.fspath(folder)} does not say which noise, room or speech its clips have",
            "Disclose the run first, or give another one.",
        )
    speakers = [recipe.speaker for recipe in recipes.values()]
    return {**known.factors, **({"speaker": [str(s) for s in speakers]} if all(speakers) else {})}


def _factors_of_manifest(path: Path, clip_ids: Sequence[str]) -> dict[str, Sequence[str]]:
    from soundsright.services.scoring import read_groups

    factors: dict[str, Sequence[str]] = dict(read_groups(path, clip_ids).factors)
    with suppress(UsageError):  # A manifest without speakers says nothing about them.
        factors |= read_groups(path, clip_ids, "speaker").factors
    return factors
