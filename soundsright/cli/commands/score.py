"""`soundsright score`: measure a folder of enhanced recordings against their clean ones."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from soundsright.cli.shared.stopping import resumable
from soundsright.core.errors import UsageError, printable

if TYPE_CHECKING:
    from soundsright.core.results import ClipResult
    from soundsright.services.scoring import MetricSummary, ScoredClip

_SIDE = click.Path(exists=True, path_type=Path)
_MEASURED_AT_16_KHZ = ("PESQ_", "CSIG", "CBAK", "COVL", "DNSMOS_")  # how their names begin


@click.command("score")
@click.option("--clean", required=True, type=_SIDE, help="Clean recordings: a folder, or a Kaldi list (.scp).")
@click.option("--enhanced", required=True, type=_SIDE, help="Enhanced recordings of the same names.")
@click.option("--noisy", type=_SIDE, help="The degraded inputs of the same names; SI_SIR and SI_SAR need them.")
@click.option(
    "--metrics",
    help="Names with commas between; `soundsright metrics` lists them.  [default: PESQ_WB (PESQ_NB at "
    "8 kHz), ESTOI, STOI, SI_SDR and, with --noisy, SI_SIR and SI_SAR]",
)
@click.option(
    "--json",
    "report",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="Write the report; - for stdout.",
)
@click.option(
    "--clips",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one row per clip: JSON Lines (.jsonl), as it goes, or Parquet (.parquet).",
)
@click.option("--resume", is_flag=True, help="Keep what --clips (.jsonl) holds, where no file has changed.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    envvar="SCORE_WORKERS",
    show_envvar=True,
    help="Worker processes. The scores do not depend on it.",
)
@click.option(
    "--manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The set's manifest (JSON lines): intervals take clips of one speaker together.",
)
@click.option("--cluster-by", default="speaker", show_default=True, help="The manifest's field that clips share.")
@click.option("--align", is_flag=True, help="Mend delay and length, up to 0.5 s; no competition does.")
@click.option(
    "--other-rates",
    type=click.Choice(["resample", "refuse"]),
    default="resample",
    show_default=True,
    help="PESQ, composite and DNSMOS are defined at 16 kHz: resample other clips to it, or refuse.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    clean: Path,
    enhanced: Path,
    noisy: Path | None,
    metrics: str | None,
    report: Path | None,
    clips: Path | None,
    resume: bool,
    workers: int,
    manifest: Path | None,
    cluster_by: str,
    align: bool,
    other_rates: str,
) -> None:
    """Measure enhanced recordings against the clean ones of the same names.

    Every clip of the clean side counts: one that is missing or unusable scores each metric's floor. Exit status
    1 says that some clips failed; the report is complete all the same.
    """
    from soundsright.library import scored_set, set_clusters
    from soundsright.services.scoring import (
        ScoreOptions,
        checked_targets,
        chosen_metrics,
        report_json,
        score_set,
        some_of,
        write_parquet,
    )

    checked_targets(report, clips)
    done = _done(clips, resume=resume)
    found = score_set(clean, enhanced, noisy)
    asked = [name for name in metrics.split(",") if name.strip()] if metrics is not None else []
    if metrics is not None and not asked:
        raise UsageError("--metrics names none", "Name one or more, with commas between.")
    names = chosen_metrics(asked, sample_rate_hz=found.sample_rate_hz, has_noisy=noisy is not None)
    clusters = None if manifest is None else set_clusters(found, manifest, cluster_by)
    for note in _rate_notes(names, found.sample_rate_hz, other_rates):
        click.echo(note, err=True)
    if found.extra:
        count = f"{len(found.extra)} enhanced {'file has' if len(found.extra) == 1 else 'files have'}"
        click.echo(printable(f"{count} no clean one, and no score: {some_of(found.extra)}"), err=True)
    by_line = clips is not None and clips.suffix == ".jsonl"
    with resumable(str(clips) if by_line else None), _line_writer(clips, done) as write:
        advance = _Progress(len(found.clips))

        def on_clip(scored: ScoredClip) -> None:
            write(scored)
            advance()

        options = ScoreOptions(names, align=align)
        measured = scored_set(found, options, workers=workers, clusters=clusters, done=done, on_clip=on_clip)
    results = measured.clips
    if clips is not None and clips.suffix == ".parquet":
        write_parquet(clips, results, names)
    if report is not None:
        text = report_json(measured.report, names)
        if str(report) == "-":
            click.echo(text, nl=False)
        else:
            report.write_text(text, encoding="utf-8")
    if report is None or str(report) != "-":
        _print_table(measured.summaries)
        _print_failures(results, align=align)
    if any(result.failure is not None for result in results):
        context.exit(1)


def _rate_notes(names: Sequence[str], sample_rate_hz: int, other_rates: str) -> Iterator[str]:
    moved = [name for name in names if name.startswith(_MEASURED_AT_16_KHZ) and sample_rate_hz != 16_000]
    if sample_rate_hz == 8_000:
        moved = []  # PESQ_NB is defined there, the others are refused by their rates
    if moved and other_rates == "refuse":
        raise UsageError(
            f"{', '.join(moved)} are defined at 16 kHz, the clips have {sample_rate_hz} Hz",
            "Leave them out, or allow --other-rates resample.",
        )
    if moved:
        yield f"{', '.join(moved)}: measured at 16 kHz, after resampling from {sample_rate_hz} Hz (soxr, HQ)."


def _done(clips: Path | None, *, resume: bool) -> dict[str, ScoredClip] | None:
    from soundsright.services.scoring import read_clip_lines

    if clips is not None and clips.suffix not in (".jsonl", ".parquet"):
        raise UsageError(f"--clips {clips} is neither .jsonl nor .parquet", "Name the file so.")
    if not resume:
        if clips is not None and clips.suffix == ".jsonl" and clips.exists() and clips.stat().st_size:
            raise UsageError(f"{clips} holds scores", "Add --resume to go on, or name another file.")
        return None
    if clips is None or clips.suffix != ".jsonl":
        raise UsageError("--resume has nothing to go on from", "Add --clips FILE.jsonl of the earlier run.")
    return read_clip_lines(clips) if clips.exists() else None


class _LineWriter:
    """Writes each clip's line as soon as it is known, so that a killed run loses only what was under way."""

    def __init__(self, stream: TextIO | None, done: Mapping[str, ScoredClip]) -> None:
        self._stream = stream
        self._done = done
        self.lines: list[str] = []

    def __call__(self, scored: ScoredClip) -> None:
        if self._stream is None:
            return
        from soundsright.services.scoring import clip_line

        self.lines.append(clip_line(scored))
        kept = self._done.get(scored.result.clip_id)
        if kept is None or (kept.result, kept.inputs) != (scored.result, scored.inputs):
            self._stream.write(self.lines[-1])
            self._stream.flush()


@contextlib.contextmanager
def _line_writer(clips: Path | None, done: Mapping[str, ScoredClip] | None) -> Iterator[_LineWriter]:
    """Goes on behind the lines of the earlier run; at the end there is one line per clip, in the set's order."""
    if clips is None or clips.suffix != ".jsonl":
        yield _LineWriter(None, {})
        return
    from soundsright.services.scoring import clip_line

    _replace(clips, [clip_line(scored) for scored in (done or {}).values()])
    with clips.open("a", encoding="utf-8") as stream:
        writer = _LineWriter(stream, done or {})
        yield writer
    _replace(clips, writer.lines)


def _replace(path: Path, lines: Sequence[str]) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.write_text("".join(lines), encoding="utf-8")
    beside.replace(path)


class _Progress:
    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0
        self._shown = sys.stderr.isatty()

    def __call__(self) -> None:
        self._count += 1
        if self._shown:
            click.echo(f"\r{self._count} of {self._total} clips", nl=self._count == self._total, err=True)


def _print_table(summaries: Mapping[str, MetricSummary]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from soundsright.metrics import Direction, metric

    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("Metric", "Mean", "95 % interval", "Median", "Failed", "Unit"):
        table.add_column(heading, justify="left" if heading in ("Metric", "Unit") else "right", no_wrap=True)
    for name, summary in summaries.items():
        lower = metric(name).direction is Direction.LOWER_IS_BETTER
        table.add_row(
            name,
            f"{summary.mean:.4f}",
            f"{summary.low:.4f} … {summary.high:.4f}",
            f"{summary.median:.4f}",
            f"{summary.failed} of {summary.n}",
            metric(name).unit + (", lower is better" if lower else ""),
        )
    Console(highlight=False).print(table)


def _print_failures(results: Sequence[ClipResult], *, align: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    codes: dict[str, list[str]] = {}
    for result in results:
        if result.failure is not None:
            codes.setdefault(result.failure.code, []).append(f"{result.clip_id} ({result.failure.detail})")
    for code, clips in codes.items():
        more = f" and {len(clips) - 3} more" if len(clips) > 3 else ""
        console.print(printable(f"{len(clips)} failed, {code}: {', '.join(clips[:3])}{more}"), markup=False)
    if "length" in codes and not align:
        console.print("--align mends lengths that differ by up to 0.5 s; no competition does.", markup=False)
