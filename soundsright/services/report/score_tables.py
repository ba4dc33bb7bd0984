"""Reports of `soundsright score` as tables for a paper or a program: Markdown, LaTeX with BibTeX, and CSV.

Each report is a row. Scores are in their metric's unit, as the mean and half the 95 % interval. File names are a
stranger's text, so each format escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.csv_text import csv_text
from soundsright.core.errors import UsageError, printable
from soundsright.core.groups import ClipGroups
from soundsright.metrics import metric
from soundsright.services.drawing import counted, digits, metric_name
from soundsright.services.report.tables import (
    markdown_table,
    markdown_text,
    metric_source,
    score_texts,
    tex_comment,
    tex_preamble,
    tex_score,
    tex_sources,
    tex_table,
    tex_text,
    works,
)
from soundsright.services.scoring import (
    MetricSummary,
    ScoreReport,
    group_words,
    measured_metrics,
    read_report,
    summaries,
)

SCORE_COLUMNS = (
    "system", "metric", "unit", "mean", "low", "high", "median", "n", "effective_n", "failed",
    "sample_rate_hz", "align", "undefined", "mean_defined", "n_defined",
)  # fmt: skip


_FLOORS = "A clip that failed, or for which a metric is undefined, counts as the metric's floor."
_DEFINED = (
    " Mean of defined leaves out only clips whose clean or noisy recording allows no value; clips that failed "
    "count there too."
)


@dataclass(frozen=True)
class ScoredSystem:
    """A row: one report, its name in the tables, and the summary of each metric."""

    name: str
    report: ScoreReport
    summaries: Mapping[str, MetricSummary]

    @property
    def facts(self) -> str:
        """The number of clips, the options and the versions, in words."""
        words = [counted(len(self.report.clips), "clip")]
        if self.report.sample_rate_hz is not None:
            words[0] += f" at {self.report.sample_rate_hz} Hz"
        failed = sum(clip.failure is not None for clip in self.report.clips)
        words += [f"{failed} failed"] if failed else []
        words += self.undefined
        words += ["aligned"] if self.report.align else []
        words.append("clips as independent" if self.report.groups is None else self._grouped_by(self.report.groups))
        versions = [f"{name} {version}" for name, version in self.report.versions.items()]
        return ", ".join(words) + (f"; {', '.join(versions)}" if versions else "")

    @property
    def undefined(self) -> list[str]:
        """The metrics without a value in some clips, how many, and the mean over those that could have one."""
        words = []
        for name, summary in self.summaries.items():
            if summary.undefined:
                others = "no clip has a value"
                if summary.mean_defined is not None:
                    mean = f"{summary.mean_defined:.{digits(metric(name))}f}"
                    others = f"mean of defined: {mean} over {counted(summary.n_defined, 'clip')}"
                words.append(f"{metric_name(name)} undefined in {counted(summary.undefined, 'clip')} ({others})")
        return words

    @property
    def undefined_counts(self) -> str:
        """The cell of the column "undefined": clips by metric, or a dash."""
        counts = [f"{metric_name(name)} {s.undefined}" for name, s in self.summaries.items() if s.undefined]
        return ", ".join(counts) or "–"

    def _grouped_by(self, groups: ClipGroups) -> str:
        """The factors, and the effective numbers of clips."""
        effective = [s.effective_n for s in self.summaries.values() if s.effective_n is not None]
        least, most = (f"{end(effective):.0f}" for end in (min, max)) if effective else ("", "")
        words = f", effective clips {least if least == most else f'{least} to {most}'}" if effective else ""
        return f"grouped by {group_words(groups)}{words}"


def scored_systems(paths: Sequence[Path]) -> list[ScoredSystem]:
    """The reports, in the given order. If two files have the same stem, rows are named by their paths.

    Raises:
        UsageError: a file is not a report of scores or has no scores, or a metric is unknown.
    """
    stems = [path.stem for path in paths]
    systems = []
    for path, stem in zip(paths, stems, strict=True):
        report = read_report(path)
        names = [metric(name).name for name in measured_metrics(report.clips)]
        if not names:
            raise UsageError(f"{path}: every clip failed, so there are no scores", "Leave this report out.")
        name = stem if len(set(stems)) == len(stems) else path.with_suffix("").as_posix()
        systems.append(ScoredSystem(printable(name), report, summaries(report.clips, names, report.groups)))
    return systems


def notes(systems: Sequence[ScoredSystem]) -> list[str]:
    """Warnings that rows may not be comparable: other clean files, other options, or not known. One per row."""
    first = systems[0]
    warnings = [
        f"{s.name} is partial, because the run stopped: {s.report.stopped}" for s in systems if s.report.stopped
    ]
    ids = {clip.clip_id for clip in first.report.clips}
    for other in systems[1:]:
        if {clip.clip_id for clip in other.report.clips} != ids or first.report.differing(other.report, "clean"):
            warnings.append(f"{other.name} and {first.name} were scored on different sets.")
        elif not (first.report.names_its_files and other.report.names_its_files):
            warnings.append(f"It is not known whether {other.name} and {first.name} were scored on the same set.")
        elif first.report.align is not other.report.align:
            warnings.append(f"Only one of {other.name} and {first.name} was scored with --align.")
    return warnings


def scores_csv(systems: Sequence[ScoredSystem]) -> str:
    """One line per report and metric."""
    return csv_text(
        SCORE_COLUMNS,
        [
            (system.name, name, metric(name).unit, s.mean, s.low, s.high, s.median, s.n, s.effective_n, s.failed,
             system.report.sample_rate_hz, system.report.align, s.undefined, s.mean_defined, s.n_defined)
            for system in systems
            for name, s in system.summaries.items()
        ],
    )  # fmt: skip


def scores_markdown(systems: Sequence[ScoredSystem]) -> str:
    """The table, the facts of each row, and the sources of the metrics."""
    names = _names(systems)
    rows = []
    for system in systems:
        cells = [markdown_text(system.name)]
        for name in names:
            mean, half = _texts(system, name)
            text = f"{mean} ± {half}" if half else mean
            cells.append(f"**{text}**" if _is_best(system, name, systems) else text)
        rows.append([*cells, markdown_text(system.undefined_counts)])
    lines = markdown_table(["system", *(_heading(name) for name in names), "undefined"], "l", rows)
    lines += ["", f"Mean ± half the 95 % interval. {_floors(systems)}", ""]
    lines += [f"- {markdown_text(system.name)}: {markdown_text(system.facts)}." for system in systems]
    lines += [f"- {metric_name(name)}: {metric(name).title}. {metric_source(name)}." for name in names]
    return "\n".join(lines) + "\n"


def scores_tex(systems: Sequence[ScoredSystem]) -> str:
    r"""One `table` and a list of the metrics' sources, for `\input` in a document, as `tables.report_tex`."""
    names = _names(systems)
    counts = sorted({len(system.report.clips) for system in systems})
    over = counted(counts[0], "clip") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} clips"
    rows = [
        [tex_text(system.name)]
        + [tex_score(*_texts(system, name), _is_best(system, name, systems)) for name in names]
        + [tex_text(system.undefined_counts.replace("–", "--"))]
        for system in systems
    ]
    lines = [
        *tex_preamble(tex_comment(f"{system.name}: {system.facts}.") for system in systems),
        *tex_table(
            rf"Mean $\pm$ half the 95\,\% interval over {over}. {_floors(systems)}",
            "scores",
            "l",
            ["System", *(tex_text(_heading(name)) for name in names), "Undefined"],
            rows,
        ),
        *tex_sources(names),
    ]
    return "\n".join(lines) + "\n"


def scores_bib(systems: Sequence[ScoredSystem]) -> str:
    """The publications behind the metrics, intervals and tests, as BibTeX."""
    return works(_names(systems), systems[0].report.versions)


def _floors(systems: Sequence[ScoredSystem]) -> str:
    """A sentence on what the means count. The mean of defined is explained if a row has one."""
    return _FLOORS + (_DEFINED if any(system.undefined for system in systems) else "")


def _names(systems: Sequence[ScoredSystem]) -> list[str]:
    return list(dict.fromkeys(name for system in systems for name in system.summaries))


def _heading(name: str) -> str:
    return metric_name(name) + (" dB" if metric(name).unit == "dB" else "")


def _texts(system: ScoredSystem, name: str) -> tuple[str, str]:
    """The mean and half its interval, or a dash and nothing if the metric was not measured."""
    s = system.summaries.get(name)
    return ("–", "") if s is None else score_texts(s.mean, s.half_width, digits(metric(name)))


def _is_best(system: ScoredSystem, name: str, systems: Sequence[ScoredSystem]) -> bool:
    """Whether the mean is better than that of every other row. A single row is never the best."""
    others = [other.summaries[name].mean for other in systems if other is not system and name in other.summaries]
    own = system.summaries.get(name)
    return bool(others) and own is not None and not any(metric(name).at_least_as_good(o, own.mean) for o in others)
