"""Scores of one utterance and of a folder: the numbers of `soundsright score` as records."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError
from soundsright.core.results import ClipResult, Failure
from soundsright.library import signals
from soundsright.library.signals import Signal

if TYPE_CHECKING:
    from soundsright.core.groups import ClipGroups
    from soundsright.core.ports import Pool
    from soundsright.metrics import NoValue
    from soundsright.services.scoring import (
        ClipFiles,
        MetricSummary,
        ScoredClip,
        ScoreOptions,
        ScoreReport,
        ScoreSet,
    )


@dataclass(frozen=True)
class UtteranceScore:
    """The scores of one utterance, each in its metric's unit.

    `scores` has every metric. A metric without a value has its floor there, as in every mean of SoundsRight, and
    the reason in `no_value`.
    """

    scores: Mapping[str, float]
    no_value: Mapping[str, NoValue]
    sample_rate_hz: int

    def __getitem__(self, metric: str) -> float:
        return self.scores[metric]


@dataclass(frozen=True)
class FolderScore:
    """The scores of a folder, one `ClipResult` per clean recording.

    `ignored` lists enhanced recordings without a clean one of the same name. `notes` are sentences on blank clean
    recordings and on noisy ones that equal them; `hints` on answers that are all late, clipped or copies.
    """

    report: ScoreReport
    metrics: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def clips(self) -> tuple[ClipResult, ...]:
        """Scores or a named failure for each clip, in the order of the clips' names."""
        return self.report.clips

    @property
    def failures(self) -> dict[str, Failure]:
        """The failure of each clip that could not be scored, by clip."""
        return {clip.clip_id: clip.failure for clip in self.clips if clip.failure is not None}

    @property
    def summaries(self) -> dict[str, MetricSummary]:
        """Mean, 95 % interval, median and failures by metric. A failed or undefined clip counts as the floor.

        `undefined` counts the clips without a value. `mean_defined` is the mean over the `n_defined` clips whose
        clean and noisy recordings allow a value; a clip that the system failed on stays there, as the floor.
        """
        from soundsright.services.scoring import summaries

        return summaries(self.clips, self.metrics, self.report.groups)

    def values(self, metric: str) -> list[float]:
        """One value per clip, in the order of `clips`; the floor for a failed clip."""
        from soundsright.services.scoring import values_of

        return values_of(self.clips, metric)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON report that `soundsright score --json` writes and `soundsright compare` reads."""
        from soundsright.services.scoring import checked_targets, report_json

        target = Path(path)
        checked_targets(target)
        target.write_text(report_json(self.report, self.metrics), encoding="utf-8")


def score(
    clean: Signal,
    enhanced: Signal,
    sample_rate_hz: int | None = None,
    *,
    noisy: Signal | None = None,
    metrics: Sequence[str] = (),
    align: bool = False,
) -> UtteranceScore:
    """Score one enhanced utterance against its clean reference.

    Args:
        clean: the reference; an array of shape `(n,)`, full scale ±1, a path, or an `Audio`. Integer arrays are
            scaled by their full scale.
        enhanced: the model's output, of the same rate and exactly the same length.
        sample_rate_hz: the rate of the arrays. Paths and `Audio` have their own.
        noisy: the model's input; SI_SIR and SI_SAR need it.
        metrics: names from `soundsright metrics`. The default is PESQ_WB (PESQ_NB at 8 kHz), ESTOI, STOI, SI_SDR
            and, with `noisy`, SI_SIR and SI_SAR.
        align: correct a delay and another length of up to 0.5 s first. No competition does this.

    Raises:
        UsageError: a file is missing or cannot be used, the clean or noisy signal is not one channel of finite
            samples, their lengths differ, or a metric is unknown or not defined here.
        AudioRejected: the enhanced signal has another rate or length, more than one channel, or is not finite.

    Example:
        import soundfile, soundsright
        clean, rate = soundfile.read("clean.wav")
        result = soundsright.score(clean, soundfile.read("enhanced.wav")[0], rate)
        print(result["SI_SDR"])                 # dB
        print(result.no_value)                  # {} if every metric has a value
    """
    from soundsright.metrics import measured_clip
    from soundsright.services.scoring import chosen_metrics, difference_to_clean

    reference = signals.reference("clean", clean, sample_rate_hz)
    degraded = (
        None if noisy is None else signals.reference("noisy", noisy, sample_rate_hz or reference.sample_rate_hz)
    )
    if degraded is not None and (difference := difference_to_clean(degraded, reference)):
        raise UsageError(f"The noisy signal has {difference}", "Give the noisy signal of this clean one.")
    names = chosen_metrics(metrics, sample_rate_hz=reference.sample_rate_hz, has_noisy=noisy is not None)
    answer = signals.enhanced(enhanced, reference, sample_rate_hz, align=align)
    measured = measured_clip(reference, answer, degraded, names)
    return UtteranceScore(
        {name: each.score for name, each in measured.items()},
        {name: each.no_value for name, each in measured.items() if each.no_value is not None},
        reference.sample_rate_hz,
    )


def score_folder(
    clean: str | os.PathLike[str],
    enhanced: str | os.PathLike[str],
    *,
    noisy: str | os.PathLike[str] | None = None,
    metrics: Sequence[str] = (),
    align: bool = False,
    workers: int = 1,
    manifest: str | os.PathLike[str] | None = None,
    cluster_by: str = "auto",
    on_clip: Callable[[ClipResult], None] = lambda result: None,
) -> FolderScore:
    """Score a folder of enhanced recordings against the clean ones of the same names.

    Every clean recording counts. A clip whose enhanced file is missing or cannot be scored is a named failure, and
    counts at each metric's floor.

    Args:
        clean: a folder with its subfolders, or a Kaldi list (`.scp`).
        enhanced: the same for the model's outputs.
        noisy: the same for the model's inputs; SI_SIR and SI_SAR need them.
        metrics: as in `score`.
        align: as in `score`.
        workers: processes; the scores do not depend on their number.
        manifest: the set's manifest (JSON lines), which says what the clips share. Without it, the manifest beside
            the folder `clean` is used, if it is that of these files.
        cluster_by: "auto": intervals hold for new noises or rooms and new prompts, as far as the manifest says
            them; fields of the manifest, separated by commas; or "none": each clip counts as independent.
        on_clip: is called with each result, in the order of the clips.

    Raises:
        UsageError: a folder has no recordings, the folders share no names, a clean or noisy recording cannot be
            used, or a metric is unknown or not defined here.
        InfrastructureFault: the workers failed.

    Example:
        import soundsright
        result = soundsright.score_folder("clean", "enhanced", noisy="noisy", workers=4)
        print(result.summaries["PESQ_WB"].mean, result.summaries["PESQ_WB"].low)
        print(result.failures)                  # {} if every clip was scored
        result.write("enhanced.json")           # for `soundsright compare`
    """
    from soundsright.services.scoring import ScoreOptions, chosen_metrics, score_set

    pairs = score_set(Path(clean), Path(enhanced), None if noisy is None else Path(noisy), align=align)
    names = chosen_metrics(metrics, sample_rate_hz=pairs.sample_rate_hz, has_noisy=noisy is not None)
    groups = set_groups(pairs, Path(clean), None if manifest is None else Path(manifest), cluster_by)
    return scored_set(
        pairs,
        ScoreOptions(names, align=align),
        workers=workers,
        groups=groups.groups,
        on_clip=lambda scored: on_clip(scored.result),
    )


def scored_set(
    pairs: ScoreSet,
    options: ScoreOptions,
    *,
    workers: int,
    groups: ClipGroups | None = None,
    done: Mapping[str, ScoredClip] | None = None,
    on_clip: Callable[[ScoredClip], None] = lambda scored: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> FolderScore:
    """Score the pairs on a pool of `workers` processes. `done` has results of an earlier run, by clip.

    `on_note` gets what is doubtful about the clean and noisy recordings before anything is scored.

    Raises:
        UsageError: a clean or noisy recording cannot be used.
        InfrastructureFault: the workers failed.
    """
    from soundsright.metrics import AnswerSigns, answer_hints
    from soundsright.services.scoring import reference_notes, score_files, scored_clip

    measured: list[ScoredClip] = []
    signs: list[AnswerSigns] = []

    def add_scored(files: ClipFiles, result: ClipResult) -> None:
        measured.append(scored_clip(files, result, options))
        on_clip(measured[-1])

    with _pool(workers) as pool:
        notes = reference_notes(pairs, pool)
        for note in notes:
            on_note(note)
        score_files(pairs, options, pool=pool, done=done, on_clip=add_scored, on_signs=signs.append)
    report = scored_report(measured, pairs, options, groups)
    return FolderScore(report, options.metrics, pairs.extra, tuple(notes), tuple(answer_hints(signs)))


def scored_report(
    measured: Sequence[ScoredClip],
    pairs: ScoreSet,
    options: ScoreOptions,
    groups: ClipGroups | None,
    *,
    stopped: str = "",
) -> ScoreReport:
    """The report of the clips that were measured. `stopped` says why these are not all."""
    from soundsright.services.records import scoring_versions
    from soundsright.services.scoring import ScoreReport

    return ScoreReport(
        tuple(each.result for each in measured),
        tuple(each.files for each in measured),
        pairs.sample_rate_hz,
        options.align,
        None if stopped else groups,
        scoring_versions(),
        stopped,
    )


@dataclass(frozen=True)
class SetGroups:
    """The groups of a set's clips, and the manifest that says it; both None if each counts as independent.

    `found` says that nobody named the manifest: it lies beside the clean recordings.
    """

    groups: ClipGroups | None = None
    manifest: Path | None = None
    found: bool = False


def set_groups(pairs: ScoreSet, clean: Path, manifest: Path | None, cluster_by: str) -> SetGroups:
    """The groups of the clips, by the given manifest or the one beside the folder `clean`.

    Raises:
        UsageError: the manifest lacks a clip or a field, does not say what clips share, or describes other clean
            files; or fields were named, and there is no manifest.
    """
    from soundsright.core.content import sha256_of_file
    from soundsright.services.scoring import AUTOMATIC, INDEPENDENT, found_groups, read_groups

    if cluster_by == INDEPENDENT:
        return SetGroups()
    found = found_groups(pairs, clean) if manifest is None else None
    if found is not None and cluster_by == AUTOMATIC:
        return SetGroups(found[1], found[0], found=True)
    path = manifest if found is None else found[0]
    if path is None:
        if cluster_by == AUTOMATIC:
            return SetGroups()
        raise UsageError(
            f"--cluster-by {cluster_by} needs the set's manifest",
            "Give it with --manifest, or use --cluster-by none.",
        )
    hashes = [sha256_of_file(clip.clean) for clip in pairs.clips]
    groups = read_groups(path, [clip.id for clip in pairs.clips], cluster_by, hashes)
    return SetGroups(groups, path, found=manifest is None)


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[Pool]:
    # One worker is a separate process too, so a clip that ends or hangs it is only that clip's failure.
    from soundsright.adapters.machine import ProcessPool
    from soundsright.metrics import warm_up

    pool = ProcessPool(workers, warm_up=warm_up)
    try:
        yield pool
    finally:
        pool.close()
