"""Scores folders or lists of recordings: pairs the files by name, measures each clip, and always reports them all.

The clips of a set are those of the clean side. A clip whose enhanced file is missing, unreadable or refused by
`metrics.validate` is a failure and counts at each metric's floor; the denominator never shrinks. The clean and
the noisy side are the user's own: where one of their files cannot be used, nothing is scored and all such files
are named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from soundsright.core.content import sha256_of_file
from soundsright.core.errors import AudioFileError, AudioRejected, UsageError, WorkerDied
from soundsright.core.ports import Pool
from soundsright.core.results import ClipResult, Failure
from soundsright.metrics import known_metrics, metric
from soundsright.services.scoring.reading import difference_to_clean, enhanced_audio, mono_facts

MAX_LIST_BYTES = 64_000_000
DEFAULT_METRICS = ("PESQ_WB", "ESTOI", "STOI", "SI_SDR", "SI_SIR", "SI_SAR")

_NAMED = 5  # of many names, as many are written out


@dataclass(frozen=True)
class ClipFiles:
    """One clip's files, and how long the clean one lasts. `enhanced` is None where there is none."""

    id: str
    clean: Path
    enhanced: Path | None
    noisy: Path | None
    audio_s: float = 0.0


@dataclass(frozen=True)
class ScoreSet:
    """The clips in the order of their names, their one sample rate, and enhanced names that no clean file has."""

    clips: tuple[ClipFiles, ...]
    sample_rate_hz: int
    extra: tuple[str, ...]


@dataclass(frozen=True)
class ScoreOptions:
    """What is measured, and whether a delay or another length is mended first (never in a competition)."""

    metrics: tuple[str, ...]
    align: bool = False


@dataclass(frozen=True)
class FileDigests:
    """Hex SHA-256 of each of a clip's files; None where there is none, or an earlier report does not tell."""

    clean: str | None = None
    enhanced: str | None = None
    noisy: str | None = None


@dataclass(frozen=True)
class ScoredClip:
    """A result, the digest of all it was measured from (`digest_of_inputs`), and those of its files."""

    result: ClipResult
    inputs: str
    files: FileDigests = FileDigests()
    align: bool | None = None


@dataclass(frozen=True)
class _ReferenceProblem:
    """What a worker found wrong with the user's own side."""

    problem: str


def listed_files(source: Path) -> dict[str, Path]:
    """Audio files by clip: of a folder with all below it, or of a Kaldi list (`.scp`: one `clip path` per line).

    A folder's clips are named by the path below it without the suffix. Paths of a list are taken from the current
    folder; lines that run commands are refused.

    Raises:
        UsageError: if there is nothing, a name stands for two files or is no UTF-8, or a line is not of that form.
    """
    if source.is_dir():
        from soundsright.data import SUFFIXES

        found = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        pairs = [(path.relative_to(source).with_suffix("").as_posix(), path) for path in found]
    elif source.suffix == ".scp" and source.is_file():
        pairs = list(_scp_lines(source))
    else:
        raise UsageError(f"{source} is neither a folder nor a .scp list", "Give one of them.")
    if not pairs:
        raise UsageError(f"{source} holds no audio", "Give a folder or a list of recordings.")
    if not_utf8 := [name for name, path in pairs if not _is_utf8(f"{name}{path}")]:
        raise UsageError(f"{source}: {some_of(not_utf8)} are named in no UTF-8", "Rename these files.")
    files = dict(pairs)
    if len(files) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UsageError(f"{source}: {some_of(twice)} stand for two files each", "Keep one of them.")
    return files


def score_set(clean: Path, enhanced: Path, noisy: Path | None = None) -> ScoreSet:
    """Pair the files by name and check the user's own sides, from the headers alone.

    Raises:
        UsageError: if the sides share no names, clean or noisy files are missing, unreadable or not of one channel,
            or the clean ones have two rates.
    """
    references, answers = listed_files(clean), listed_files(enhanced)
    if not references.keys() & answers.keys():
        raise UsageError(
            f"{clean} and {enhanced} share no names ({some_of(references)} against {some_of(answers)})",
            "Name each enhanced file like its clean one.",
        )
    inputs = listed_files(noisy) if noisy is not None else None
    if inputs is not None and (missing := sorted(references.keys() - inputs.keys())):
        raise UsageError(f"{noisy} lacks {some_of(missing)}", "Give a noisy file for each clean one.")
    named = tuple(
        ClipFiles(name, references[name], answers.get(name), None if inputs is None else inputs[name])
        for name in sorted(references)
    )
    clips, sample_rate_hz = _measured(named)
    return ScoreSet(clips, sample_rate_hz, tuple(sorted(answers.keys() - references.keys())))


def chosen_metrics(names: Sequence[str], *, sample_rate_hz: int, has_noisy: bool) -> tuple[str, ...]:
    """The metrics asked for, each once; or the usual ones that the rate and the sides given allow.

    Raises:
        UsageError: a rate at which no metric is defined, an unknown metric, one that the rate does not allow, or
            one that needs the noisy side.

    >>> chosen_metrics((), sample_rate_hz=8_000, has_noisy=False)
    ('PESQ_NB', 'ESTOI', 'STOI', 'SI_SDR')
    """
    rates = sorted({rate for each in known_metrics().values() for rate in each.sample_rates_hz})
    if sample_rate_hz not in rates:
        raise UsageError(
            f"No metric is defined at {sample_rate_hz} Hz",
            f"Resample clean and enhanced files to one of {', '.join(map(str, rates))} Hz.",
        )
    if not names:
        usual = DEFAULT_METRICS if sample_rate_hz >= 16_000 else ("PESQ_NB", *DEFAULT_METRICS[1:])
        return tuple(name for name in usual if has_noisy or not metric(name).needs_noisy)
    wanted = tuple(dict.fromkeys(metric(name).name for name in names))
    for name in wanted:
        each = metric(name)
        if sample_rate_hz not in each.sample_rates_hz:
            raise UsageError(
                f"{name} is not defined at {sample_rate_hz} Hz",
                f"Leave it out, or use clips at {', '.join(map(str, each.sample_rates_hz))} Hz.",
            )
        if each.needs_noisy and not has_noisy:
            raise UsageError(f"{name} needs the noisy signals", "Add --noisy, or leave the metric out.")
    return wanted


def score_files(
    clips: ScoreSet,
    options: ScoreOptions,
    *,
    pool: Pool | None = None,
    done: Mapping[str, ScoredClip] | None = None,
    on_clip: Callable[[ClipFiles, ClipResult], None] = lambda files, result: None,
) -> tuple[ClipResult, ...]:
    """Every clip's result, in the order of the set, whatever the number of workers.

    `done` holds results of an earlier run; one is kept where its files and options are still the same.

    A clip that ends its worker, or hangs it, is a failure of its own (`unscorable`).

    Raises:
        UsageError: if a clean or noisy file turns out to be unusable.
        InfrastructureFault: if the workers failed for a reason of their own.
    """
    kept = {
        clip.id: done[clip.id].result
        for clip in clips.clips
        if done is not None and clip.id in done and done[clip.id].inputs == digest_of_inputs(clip, options)
    }
    waiting = [clip for clip in clips.clips if clip.id not in kept]
    futures = {clip.id: _submitted(pool, clip, options) for clip in waiting} if pool is not None else {}
    results: list[ClipResult] = []
    problems: list[str] = []
    for clip in clips.clips:
        try:
            outcome = kept.get(clip.id) or (
                futures[clip.id].result() if clip.id in futures else _result_of(clip, options)
            )
        except WorkerDied as error:
            outcome = ClipResult(clip.id, failure=Failure("unscorable", error.problem))
        if isinstance(outcome, _ReferenceProblem):
            problems.append(outcome.problem)
        else:
            on_clip(clip, outcome)
            results.append(outcome)
    if problems:
        raise UsageError(f"{some_of(problems)}", "Replace these files; nothing can be measured against them.")
    return tuple(results)


def _submitted(pool: Pool, clip: ClipFiles, options: ScoreOptions) -> Future[ClipResult | _ReferenceProblem]:
    from soundsright.metrics import scoring_deadline_s

    return pool.submit(_result_of, clip, options, deadline_s=scoring_deadline_s(clip.audio_s))


def file_digests(clip: ClipFiles) -> FileDigests:
    """Of the clip's files as they are on disk now."""

    def of(path: Path | None) -> str | None:
        return sha256_of_file(path) if path is not None and path.is_file() else None

    return FileDigests(of(clip.clean), of(clip.enhanced), of(clip.noisy))


def digest_of_inputs(clip: ClipFiles, options: ScoreOptions, files: FileDigests | None = None) -> str:
    """SHA-256 of the options and of each file's bytes, or `files` where known; a missing file counts as such."""
    found = file_digests(clip) if files is None else files
    digest = hashlib.sha256(repr((clip.id, options)).encode())
    for each in (found.clean, found.enhanced, found.noisy):
        digest.update(b"-" if each is None else bytes.fromhex(each))
    return digest.hexdigest()


def scored_clip(clip: ClipFiles, result: ClipResult, options: ScoreOptions) -> ScoredClip:
    """A result with what it was measured from; each file is read once."""
    files = file_digests(clip)
    return ScoredClip(result, digest_of_inputs(clip, options, files), files, options.align)


def _result_of(clip: ClipFiles, options: ScoreOptions) -> ClipResult | _ReferenceProblem:
    """One clip from its files, each read once. Runs in a worker, whose errors come back as values."""
    from soundsright.data import read_file
    from soundsright.metrics import score_clip

    try:
        clean = read_file(clip.clean)
        noisy = read_file(clip.noisy) if clip.noisy is not None else None
    except AudioFileError as error:
        return _ReferenceProblem(error.problem)
    if noisy is not None and (difference := difference_to_clean(noisy, clean)):
        return _ReferenceProblem(f"{clip.noisy}: {difference}")
    try:
        if clip.enhanced is None:
            raise AudioRejected(clip.id, "missing", "no enhanced file of that name")
        enhanced = enhanced_audio(clip.id, clip.enhanced, clean, align=options.align)
        scores = score_clip(clean, enhanced, noisy, options.metrics)
    except AudioRejected as error:
        return ClipResult(clip.id, failure=Failure(error.code, str(error)))
    return ClipResult(clip.id, scores=scores)


def _measured(clips: Sequence[ClipFiles]) -> tuple[tuple[ClipFiles, ...], int]:
    """The clips with their lengths, and their one rate, after a look at each header of the user's own sides."""
    by_rate: dict[int, list[str]] = {}
    measured, problems = [], []
    for clip in clips:
        try:
            for path in (clip.noisy, clip.clean):
                if path is not None:
                    facts = mono_facts(path)
        except AudioFileError as error:
            problems.append(error.problem)
        else:
            by_rate.setdefault(facts.sample_rate_hz, []).append(clip.id)
            measured.append(replace(clip, audio_s=facts.duration_s or 0.0))
    if problems:
        raise UsageError(some_of(problems), "Replace these files; nothing can be measured against them.")
    if len(by_rate) > 1:
        rates = "; ".join(f"{rate} Hz: {some_of(names)}" for rate, names in sorted(by_rate.items()))
        raise UsageError(
            f"The clean files have {len(by_rate)} sample rates ({rates})", "Score each rate by itself."
        )
    return tuple(measured), next(iter(by_rate))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _scp_lines(source: Path) -> Iterator[tuple[str, Path]]:
    if source.stat().st_size > MAX_LIST_BYTES:
        raise UsageError(f"{source} is over {MAX_LIST_BYTES} bytes", "Split the list.")
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is no text in UTF-8 ({error.reason})", "Give a Kaldi list.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, _, path = line.strip().partition(" ")
        if not path.strip() or "|" in path:
            raise UsageError(
                f"{source}, line {number}: {line[:80]!r} is not `clip path`",
                "Write a name and a file; no commands.",
            )
        yield name, Path(path.strip())


def some_of(names: Sequence[str] | Mapping[str, object]) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
