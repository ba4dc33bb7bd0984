"""`soundsright score`: score a folder of enhanced recordings against the clean ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from soundsright.cli.shared.like_options import LikeChoice, like_options
from soundsright.cli.shared.options import FILE, FILE_OR_STDOUT, cluster_options, grouped, option
from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.cli.shared.scored_output import (
    print_failures,
    print_flagged,
    print_groups,
    print_missing_values,
    print_table,
)
from soundsright.cli.shared.set_groups import counted_clips
from soundsright.cli.shared.stopping import resumable
from soundsright.core.errors import UsageError, printable

if TYPE_CHECKING:
    from soundsright.library import FolderScore, SetGroups
    from soundsright.services.scoring import ScoredClip, ScoreOptions, ScoreSet

_RECORDINGS = click.Path(exists=True, path_type=Path)
_MEASURED_AT_16_KHZ = ("PESQ_", "CSIG", "CBAK", "COVL", "DNSMOS_")
"""The beginnings of the names of metrics that are defined only at 16 kHz."""
_PADDED = frozenset((".aac", ".m4a", ".mp4"))
"""The endings of files whose encoder adds silence that stays when they are read."""


@dataclass(frozen=True)
class _Recordings:
    """The recordings to score: folders or Kaldi lists with files of the same names."""

    clean: Path
    enhanced: Path
    noisy: Path | None


@dataclass(frozen=True)
class _Output:
    """The files to write, and whether to keep the scores of an earlier run."""

    report: Path | None
    clips: Path | None
    resume: bool

    @property
    def writes_lines(self) -> bool:
        return self.clips is not None and self.clips.suffix == ".jsonl"


@dataclass(frozen=True)
class _Clusters:
    """How clips are grouped for the intervals."""

    manifest: Path | None
    cluster_by: str


class _ScoreCommand(click.Command):
    """A command whose error for a missing option shows an example."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            example = "Example: soundsright score --clean set/clean --enhanced out"
            raise UsageError(error.format_message(), example) from error


@click.command("score", cls=_ScoreCommand)
@grouped(
    _Recordings,
    "recordings",
    option("--clean", required=True, type=_RECORDINGS, help="Clean recordings: a folder, or a Kaldi list (.scp)."),
    option("--enhanced", required=True, type=_RECORDINGS, help="Enhanced recordings of the same names."),
    option("--noisy", type=_RECORDINGS, help="Degraded recordings of the same names. SI_SIR and SI_SAR need them."),
)
@option(
    "--metrics",
    help="Names of metrics, separated by commas. `soundsright metrics` lists them. [default: PESQ_WB (PESQ_NB at "
    "8 kHz), ESTOI, STOI, SI_SDR and, with --noisy, SI_SIR and SI_SAR]",
)
@like_options
@grouped(
    _Output,
    "output",
    option("--json", "report", type=FILE_OR_STDOUT, help="Write the report as JSON to this file. -: stdout."),
    option(
        "--clips",
        type=FILE,
        help="Write one row per clip to this file. .jsonl is written clip by clip, .parquet at the end.",
    ),
    option("--resume", is_flag=True, help="Keep the scores in --clips FILE.jsonl, unless a recording has changed."),
)
@option(
    "--workers",
    default=1,
    type=click.IntRange(1, 256),
    envvar="SCORE_WORKERS",
    help="Worker processes. The scores do not depend on their number.",
)
@grouped(_Clusters, "clusters", *cluster_options)
@option("--align", is_flag=True, help="Correct delay and length, up to 0.5 s. No competition does this.")
@option(
    "--other-rates",
    type=click.Choice(["resample", "refuse"]),
    default="resample",
    help="PESQ, the composite metrics and DNSMOS need 16 kHz. Resample other clips, or refuse them.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    recordings: _Recordings,
    metrics: str | None,
    like: LikeChoice,
    output: _Output,
    workers: int,
    clusters: _Clusters,
    align: bool,
    other_rates: str,
) -> None:
    """Score a folder of enhanced recordings against the clean ones.

    \b
    soundsright score --clean set/clean --enhanced out --noisy set/noisy
    soundsright score --clean set/clean --enhanced out --json out.json --clips out.jsonl
    soundsright score --clean set/clean --enhanced out --like CMGAN

    Files belong together if they have the same name. Every clean file counts: if its enhanced file is missing or
    unusable, each metric gets its floor. The exit code is 1 if clips failed. The report is complete even then.
    """
    from soundsright.services.scoring import ScoreOptions, checked_targets, score_set, some_of, write_parquet

    checked_targets(output.report, output.clips, like.like_csv)
    done = _earlier_scores(output)
    pairs = score_set(recordings.clean, recordings.enhanced, recordings.noisy, align=align)
    wanted = like.metrics(metrics, pairs.sample_rate_hz)
    names = _metric_names(wanted, pairs.sample_rate_hz, has_noisy=recordings.noisy is not None)
    for note in _rate_notes(names, pairs.sample_rate_hz, other_rates):
        click.echo(note, err=True)
    for note in pairs.notes:
        click.echo(printable(note), err=True)
    if pairs.extra:
        count = len(pairs.extra)
        files = "1 enhanced file has" if count == 1 else f"{count} enhanced files have"
        click.echo(printable(f"{files} no clean file, so no score: {some_of(pairs.extra)}"), err=True)
    if done is not None and output.clips is not None:
        done = _kept_scores(output.clips, done, pairs, ScoreOptions(names, align=align))
    groups = _groups(pairs, recordings.clean, clusters)
    _tell_unusable(pairs)
    scores = _scored(pairs, names, output, done, groups, workers=workers, align=align)
    if output.clips is not None and output.clips.suffix == ".parquet":
        write_parquet(output.clips, scores.clips, names)
    like.write_csv(scores)
    _print_or_write(scores, groups, output, like=like, align=align)
    _tell_padding(pairs, scores)
    if scores.failures:
        context.exit(1)


def _metric_names(metrics: str | None, sample_rate_hz: int, *, has_noisy: bool) -> tuple[str, ...]:
    from soundsright.services.scoring import chosen_metrics

    chosen = [name for name in metrics.split(",") if name.strip()] if metrics is not None else []
    if metrics is not None and not chosen:
        raise UsageError("--metrics has no name", "Give one or more names, separated by commas.")
    return chosen_metrics(chosen, sample_rate_hz=sample_rate_hz, has_noisy=has_noisy)


def _scored(
    pairs: ScoreSet,
    names: tuple[str, ...],
    output: _Output,
    done: Mapping[str, ScoredClip] | None,
    groups: SetGroups,
    *,
    workers: int,
    align: bool,
) -> FolderScore:
    """Score the set. Each clip's line is written at once, so that a stopped run can be resumed."""
    from soundsright.library import scored_set
    from soundsright.services.scoring import ScoreOptions

    partial_result = str(output.clips) if output.writes_lines else None
    progress = ProgressLine("{done} of {total} clips")
    with resumable(partial_result), _line_writer(output, done) as write, progress:
        options = ScoreOptions(names, align=align)
        measured: list[ScoredClip] = []

        def on_clip(scored: ScoredClip) -> None:
            measured.append(scored)
            write(scored)
            progress(len(measured), len(pairs.clips))

        with _partial_report(output, measured, pairs, options):
            return scored_set(
                pairs,
                options,
                workers=workers,
                groups=groups.groups,
                done=done,
                on_clip=on_clip,
                on_note=lambda note: click.echo(printable(f"Note: {note}"), err=True),
            )


@contextlib.contextmanager
def _partial_report(
    output: _Output, measured: Sequence[ScoredClip], pairs: ScoreSet, options: ScoreOptions
) -> Iterator[None]:
    """If something stops the run, write the report of the clips that are scored."""
    from soundsright.library import scored_report
    from soundsright.services.scoring import report_json

    try:
        yield
    except BaseException as error:
        if output.report is not None and str(output.report) != "-" and measured:
            why = "interrupted" if isinstance(error, KeyboardInterrupt) else printable(str(error))
            why = f"{len(measured)} of {counted_clips(len(pairs.clips))}: {why}"
            report = scored_report(measured, pairs, options, None, stopped=why)
            try:
                _replace(output.report, [report_json(report, options.metrics)])
                note = f"{output.report} has the scores of {why}"
            except OSError as fault:
                note = f"Note: {output.report} was not written ({fault.strerror})"
            click.echo(printable(note), err=True)
        raise


def _tell_unusable(pairs: ScoreSet) -> None:
    """Say before the first score which enhanced files cannot be scored."""
    from soundsright.services.scoring import some_of

    if pairs.unusable:
        files = [f"{clip} ({failure.detail})" for clip, failure in pairs.unusable.items()]
        count = f"{len(files)} of {counted_clips(len(pairs.clips))}"
        click.echo(
            printable(f"Note: {count} cannot be scored and will count as floors: {some_of(files)}"), err=True
        )


def _tell_padding(pairs: ScoreSet, scores: FolderScore) -> None:
    """Explain lengths that differ because a format does not keep them."""
    has_other_length = any(clip.failure is not None and clip.failure.code == "length" for clip in scores.clips)
    padded = sorted({files.clean.suffix.lower() for files in pairs.clips} & _PADDED)
    if has_other_length and padded:
        click.echo(
            f"Clean files that end in {padded[0]} are longer than what was recorded, because the encoder adds "
            "silence. Score against the WAV or FLAC files that they were made from.",
            err=True,
        )


def _groups(pairs: ScoreSet, clean: Path, clusters: _Clusters) -> SetGroups:
    from soundsright.library import set_groups

    return set_groups(pairs, clean, clusters.manifest, clusters.cluster_by)


def _print_or_write(
    scores: FolderScore, groups: SetGroups, output: _Output, *, like: LikeChoice, align: bool
) -> None:
    from soundsright.services.scoring import report_json

    if output.report is not None:
        text = like.report(report_json(scores.report, scores.metrics), scores)
        if str(output.report) == "-":
            click.echo(text, nl=False)
            return
        output.report.write_text(text, encoding="utf-8")
    print_table(scores.summaries)
    print_groups(groups, len(scores.clips))
    like.show(scores)
    print_flagged(scores.clips)
    print_missing_values(scores.clips)
    for hint in scores.hints:
        click.echo(printable(f"Hint: {hint}"))
    print_failures(scores.clips, align=align)


def _rate_notes(names: Sequence[str], sample_rate_hz: int, other_rates: str) -> Iterator[str]:
    resampled = [name for name in names if name.startswith(_MEASURED_AT_16_KHZ) and sample_rate_hz != 16_000]
    if sample_rate_hz == 8_000:
        resampled = []  # PESQ_NB is defined at 8 kHz, and the other metrics refuse this rate themselves.
    if resampled and other_rates == "refuse":
        raise UsageError(
            f"{', '.join(resampled)} need 16 kHz, and the clips have {sample_rate_hz} Hz",
            "Leave them out, or use --other-rates resample.",
        )
    if resampled:
        yield f"{', '.join(resampled)}: measured at 16 kHz, after resampling from {sample_rate_hz} Hz (soxr, HQ)."


def _earlier_scores(output: _Output) -> Mapping[str, ScoredClip] | None:
    """The scores in the file of the earlier run, by clip; None if there are none."""
    from soundsright.services.scoring import read_clip_lines

    clips = output.clips
    if clips is not None and clips.suffix not in (".jsonl", ".parquet"):
        raise UsageError(f"--clips {clips} is neither .jsonl nor .parquet", "Use one of these endings.")
    if not output.resume:
        if clips is not None and output.writes_lines and clips.exists() and clips.stat().st_size:
            raise UsageError(
                f"--clips {clips} already has scores", "Add --resume to continue, or give another file."
            )
        return None
    if clips is None or not output.writes_lines:
        raise UsageError("--resume needs the scores of an earlier run", "Add --clips with its FILE.jsonl.")
    return read_clip_lines(clips) if clips.exists() else None


def _kept_scores(
    clips: Path, done: Mapping[str, ScoredClip], pairs: ScoreSet, options: ScoreOptions
) -> Mapping[str, ScoredClip]:
    """The earlier scores of recordings that have not changed. The others are named."""
    from soundsright.services.scoring import earlier_scores, some_of

    earlier = earlier_scores(clips, done, pairs, options)
    if earlier.replaced:
        count = len(earlier.replaced)
        changed = "1 recording has" if count == 1 else f"{count} recordings have"
        note = f"{changed} changed, so {clips} loses the earlier scores of {some_of(earlier.replaced)}"
        click.echo(printable(note), err=True)
    return earlier.kept


class _LineWriter:
    """Writes each clip's line at once, so that a run that is killed loses only the clips in progress."""

    def __init__(self, stream: TextIO | None, done: Mapping[str, ScoredClip]) -> None:
        self._stream = stream
        self._done = done
        self.lines: list[str] = []

    def __call__(self, scored: ScoredClip) -> None:
        if self._stream is None:
            return
        from soundsright.services.scoring import clip_line, merged_scores

        earlier = self._done.get(scored.result.clip_id)
        scored = merged_scores(earlier, scored)
        self.lines.append(clip_line(scored))
        if earlier is None or (earlier.result, earlier.inputs) != (scored.result, scored.inputs):
            self._stream.write(self.lines[-1])
            self._stream.flush()


@contextlib.contextmanager
def _line_writer(output: _Output, done: Mapping[str, ScoredClip] | None) -> Iterator[_LineWriter]:
    """A writer that appends to the earlier run's lines. In the end, the file has one line per clip, in order."""
    if output.clips is None or not output.writes_lines:
        yield _LineWriter(None, {})
        return
    from soundsright.services.scoring import clip_line

    _replace(output.clips, [clip_line(scored) for scored in (done or {}).values()])
    with output.clips.open("a", encoding="utf-8") as stream:
        writer = _LineWriter(stream, done or {})
        yield writer
    _replace(output.clips, writer.lines)


def _replace(path: Path, lines: Sequence[str]) -> None:
    """Write a file in one step: if that fails, the file of before stays, and nothing lies beside it."""
    if path.exists() and not path.is_file():  # A device or a pipe, such as /dev/null, must not be replaced.
        path.write_text("".join(lines), encoding="utf-8")
        return
    written = path.with_name(f"{path.name}.new")
    try:
        written.write_text("".join(lines), encoding="utf-8")
        written.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            written.unlink(missing_ok=True)
        raise
