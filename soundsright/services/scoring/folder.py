"""Score folders or lists of recordings: pair the files by name, measure each clip, and report all of them.

The clean files define the clips of the set. If an enhanced file is missing, unreadable or rejected by
`metrics.validate`, its clip fails and counts as each metric's floor: the number of clips never shrinks. The clean
and noisy files are your own, so if any of them cannot be used, nothing is scored and the error names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from soundsright.core.content import sha256_of_file
from soundsright.core.errors import AudioFileError, AudioRejected, UsageError, WorkerDied
from soundsright.core.ports import Pool
from soundsright.core.results import ClipResult, Failure
from soundsright.metrics import METRICS, AnswerSigns, Metric, check_packages, known_metrics, metric
from soundsright.services.scoring.listing import listed_files, some_of
from soundsright.services.scoring.reading import (
    check_header,
    difference_to_clean,
    enhanced_audio,
    exact_frames,
    header_difference,
    mono_facts,
    naming_remedy,
)

DEFAULT_METRICS = ("PESQ_WB", "ESTOI", "STOI", "SI_SDR", "SI_SIR", "SI_SAR")

_MISSING = "there is no enhanced file with this name"


@dataclass(frozen=True)
class ClipFiles:
    """The files of one clip, and the duration of the clean one. `enhanced` is None if it is missing."""

    id: str
    clean: Path
    enhanced: Path | None
    noisy: Path | None
    audio_s: float = 0.0


@dataclass(frozen=True)
class ScoreSet:
    """The clips by name, their common sample rate, and `extra`: enhanced files without a clean file.

    `notes` says what was left out of the folders. `unusable` has the failure of each clip whose enhanced file is
    missing or, by its header, cannot be scored.
    """

    clips: tuple[ClipFiles, ...]
    sample_rate_hz: int
    extra: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unusable: Mapping[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreOptions:
    """The metrics, and whether to correct delay and length before measuring (never in a competition)."""

    metrics: tuple[str, ...]
    align: bool = False


@dataclass(frozen=True)
class FileDigests:
    """Hex SHA-256 of each file of a clip. None if there is no file, or an old report did not store it."""

    clean: str | None = None
    enhanced: str | None = None
    noisy: str | None = None


@dataclass(frozen=True)
class ScoredClip:
    """A result, the digest of everything that it depends on (`digest_of_inputs`), and the digests of its files."""

    result: ClipResult
    inputs: str
    files: FileDigests = FileDigests()
    align: bool | None = None


@dataclass(frozen=True)
class _Measured:
    """The result of a clip, and what its answer shows; None if it could not be read."""

    result: ClipResult
    signs: AnswerSigns | None = None


@dataclass(frozen=True)
class _ReferenceProblem:
    """A problem with a clean or noisy file, as a worker reports it."""

    problem: str


def score_set(clean: Path, enhanced: Path, noisy: Path | None = None, *, align: bool = False) -> ScoreSet:
    """Pair the files by name and compare their rates and lengths. Only the headers are read.

    Raises:
        UsageError: no names match. Or a clean or noisy file is missing, unreadable or has several channels, a noisy
            file has another rate or length than its clean one, or the clean files have different sample rates.
    """
    listings = [listed_files(source) for source in (clean, enhanced, noisy) if source is not None]
    references, outputs = listings[0].files, listings[1].files
    if not references.keys() & outputs.keys():
        raise UsageError(
            f"{clean} and {enhanced} share no names (clean: {some_of(references)}; enhanced: {some_of(outputs)})",
            naming_remedy(references, outputs),
        )
    inputs = listings[2].files if noisy is not None else None
    if inputs is not None and (missing := sorted(references.keys() - inputs.keys())):
        raise UsageError(f"{noisy} has no file for {some_of(missing)}", "Add a noisy file for each clean file.")
    named = tuple(
        ClipFiles(name, references[name], outputs.get(name), None if inputs is None else inputs[name])
        for name in sorted(references)
    )
    clips, sample_rate_hz = _measured(named)
    notes = tuple(dict.fromkeys(note for listing in listings for note in listing.notes))
    failures = {clip.id: failure for clip in clips if (failure := _header_failure(clip, sample_rate_hz, align))}
    return ScoreSet(clips, sample_rate_hz, tuple(sorted(outputs.keys() - references.keys())), notes, failures)


def chosen_metrics(names: Sequence[str], *, sample_rate_hz: int, has_noisy: bool) -> tuple[str, ...]:
    """The metrics in `names`, each once. If there are none: the default metrics that the rate and the files allow.

    Raises:
        UsageError: no metric is defined at this rate; or a metric is unknown, not defined at this rate, needs the
            noisy files, or needs a package that is not installed.

    >>> chosen_metrics((), sample_rate_hz=8_000, has_noisy=False)
    ('PESQ_NB', 'ESTOI', 'STOI', 'SI_SDR')
    """
    if sample_rate_hz not in _rates_hz(METRICS):
        # Metrics of other packages are loaded only here, so that a broken one does no harm elsewhere.
        rates_hz = _rates_hz(known_metrics())
        if sample_rate_hz not in rates_hz:
            raise UsageError(
                f"No metric is defined at {sample_rate_hz} Hz",
                f"Resample the clean and enhanced files to one of {', '.join(map(str, rates_hz))} Hz.",
            )
    if isinstance(names, str):
        raise UsageError(f"metrics is the text {names!r}, not a list", 'Give a list, for example ["PESQ_WB"].')
    if not names:
        usual = DEFAULT_METRICS if sample_rate_hz >= 16_000 else ("PESQ_NB", *DEFAULT_METRICS[1:])
        return tuple(name for name in usual if has_noisy or not metric(name).needs_noisy)
    chosen = tuple(dict.fromkeys(metric(name).name for name in names))
    for name in chosen:
        each = metric(name)
        if sample_rate_hz not in each.sample_rates_hz:
            raise UsageError(
                f"{name} is not defined at {sample_rate_hz} Hz",
                f"Leave the metric out, or use clips at {', '.join(map(str, each.sample_rates_hz))} Hz.",
            )
        if each.needs_noisy and not has_noisy:
            raise UsageError(f"{name} needs the noisy signals", "Add --noisy, or leave the metric out.")
        check_packages(each)
    return chosen


def _rates_hz(metrics: Mapping[str, Metric]) -> list[int]:
    return sorted({rate_hz for each in metrics.values() for rate_hz in each.sample_rates_hz})


def score_files(
    clips: ScoreSet,
    options: ScoreOptions,
    *,
    pool: Pool | None = None,
    done: Mapping[str, ScoredClip] | None = None,
    on_clip: Callable[[ClipFiles, ClipResult], None] = lambda files, result: None,
    on_signs: Callable[[AnswerSigns], None] = lambda signs: None,
) -> tuple[ClipResult, ...]:
    """The result of every clip, in the order of the set. The number of workers changes nothing.

    `done` has results of an earlier run. A result is reused if its files are still the same and it has the metrics
    of `options`; `on_signs` gets no signs of it. A clip that crashes or hangs its worker fails with the code
    `unscorable`.

    Raises:
        UsageError: a clean or noisy file cannot be used.
        InfrastructureFault: the workers failed, and no clip caused it.
    """
    earlier = {clip.id: _reused(clip, (done or {}).get(clip.id), options) for clip in clips.clips}
    reused = {name: result for name, result in earlier.items() if result is not None}
    waiting = [clip for clip in clips.clips if clip.id not in reused]
    futures = {clip.id: _submitted(pool, clip, options) for clip in waiting} if pool is not None else {}
    results: list[ClipResult] = []
    problems: list[str] = []
    for clip in clips.clips:
        try:
            if clip.id in reused:
                outcome: _Measured | _ReferenceProblem = _Measured(reused[clip.id])
            else:
                outcome = futures[clip.id].result() if clip.id in futures else _result_of(clip, options)
        except WorkerDied as error:
            outcome = _Measured(ClipResult(clip.id, failure=Failure("unscorable", error.problem)))
        if isinstance(outcome, _ReferenceProblem):
            problems.append(outcome.problem)
        else:
            if outcome.signs is not None:
                on_signs(outcome.signs)
            on_clip(clip, outcome.result)
            results.append(outcome.result)
    if problems:
        raise UsageError(f"{some_of(problems)}", "Replace these files, then score again.")
    return tuple(results)


def _reused(clip: ClipFiles, earlier: ScoredClip | None, options: ScoreOptions) -> ClipResult | None:
    """The earlier result under the metrics of `options`. None if it lacks one, or if a recording has changed."""
    if earlier is None:
        return None
    files = file_digests(clip)
    if earlier.inputs == digest_of_scoring(clip.id, options, files):
        return earlier.result
    scores = earlier.result.scores or {}
    if not scores.keys() >= set(options.metrics) or earlier.inputs != digest_of_scoring(
        clip.id, replace(options, metrics=tuple(scores)), files
    ):
        return None
    return replace(
        earlier.result,
        scores={name: scores[name] for name in options.metrics},
        no_value={name: why for name, why in earlier.result.no_value.items() if name in options.metrics},
    )


def _submitted(pool: Pool, clip: ClipFiles, options: ScoreOptions) -> Future[_Measured | _ReferenceProblem]:
    from soundsright.metrics import scoring_deadline_s

    return pool.submit(_result_of, clip, options, deadline_s=scoring_deadline_s(clip.audio_s))


def file_digests(clip: ClipFiles) -> FileDigests:
    """The digests of the files that are on disk now."""

    def of(path: Path | None) -> str | None:
        return sha256_of_file(path) if path is not None and path.is_file() else None

    return FileDigests(of(clip.clean), of(clip.enhanced), of(clip.noisy))


def digest_of_inputs(clip: ClipFiles, options: ScoreOptions, files: FileDigests | None = None) -> str:
    """SHA-256 of the options and of each file, which may be missing. With `files`, no file is read."""
    return digest_of_scoring(clip.id, options, file_digests(clip) if files is None else files)


def digest_of_scoring(clip_id: str, options: ScoreOptions, files: FileDigests) -> str:
    """As `digest_of_inputs`, from the digests of the files."""
    digest = hashlib.sha256(repr((clip_id, options)).encode())
    for each in (files.clean, files.enhanced, files.noisy):
        digest.update(b"-" if each is None else bytes.fromhex(each))
    return digest.hexdigest()


def scored_clip(clip: ClipFiles, result: ClipResult, options: ScoreOptions) -> ScoredClip:
    """A result together with the digests of its inputs. Each file is read once."""
    files = file_digests(clip)
    return ScoredClip(result, digest_of_inputs(clip, options, files), files, options.align)


def _result_of(clip: ClipFiles, options: ScoreOptions) -> _Measured | _ReferenceProblem:
    """Score one clip; each file is read once. This runs in a worker, so errors are returned as values."""
    from soundsright.data import read_file
    from soundsright.metrics import answer_signs, measured_clip

    try:
        clean = read_file(clip.clean)
        noisy = read_file(clip.noisy) if clip.noisy is not None else None
    except AudioFileError as error:
        return _ReferenceProblem(error.problem)
    if noisy is not None and (difference := difference_to_clean(noisy, clean)):
        return _ReferenceProblem(f"{clip.noisy}: {difference}")
    try:
        if clip.enhanced is None:
            raise AudioRejected(clip.id, "missing", _MISSING)
        enhanced = enhanced_audio(clip.id, clip.enhanced, clean, align=options.align)
        measured = measured_clip(clean, enhanced, noisy, options.metrics)
    except AudioRejected as error:
        return _Measured(ClipResult(clip.id, failure=Failure(error.code, str(error))))
    result = ClipResult(
        clip.id,
        scores={name: each.score for name, each in measured.items()},
        no_value={name: str(each.no_value) for name, each in measured.items() if each.no_value is not None},
    )
    return _Measured(result, answer_signs(clean, enhanced, noisy))


def _measured(clips: Sequence[ClipFiles]) -> tuple[tuple[ClipFiles, ...], int]:
    """The clips with their durations, and their common rate, from the headers of the clean and noisy files."""
    by_rate: dict[int, list[str]] = {}
    measured, problems = [], []
    for clip in clips:
        try:
            facts = mono_facts(clip.clean)
            difference = "" if clip.noisy is None else header_difference(clip.noisy, clip.clean)
        except AudioFileError as error:
            problems.append(error.problem)
            continue
        by_rate.setdefault(facts.sample_rate_hz, []).append(clip.id)
        measured.append(replace(clip, audio_s=facts.duration_s or 0.0))
        if difference:
            problems.append(f"{clip.noisy}: {difference}")
    if len(by_rate) > 1:
        rates = "; ".join(f"{rate} Hz: {some_of(names)}" for rate, names in sorted(by_rate.items()))
        raise UsageError(
            f"The clean files have {len(by_rate)} sample rates ({rates})",
            "Score each rate separately.",
        )
    if problems:
        raise UsageError(some_of(problems), "Replace these files, then score again.")
    return tuple(measured), next(iter(by_rate))


def _header_failure(clip: ClipFiles, sample_rate_hz: int, align: bool) -> Failure | None:
    """Why the enhanced file of a clip cannot be scored, as far as the headers show."""
    try:
        if clip.enhanced is None:
            raise AudioRejected(clip.id, "missing", _MISSING)
        frames = exact_frames(clip.clean, mono_facts(clip.clean))
        check_header(clip.id, clip.enhanced, sample_rate_hz, frames, align=align)
    except AudioRejected as error:
        return Failure(error.code, str(error))
    return None
