"""A run as tables for a paper or a program: Markdown, LaTeX with BibTeX, and CSV.

Scores are in their metric's unit, as the mean and half the 95 % interval; shares are in percent of the emission.
Names are a stranger's text, so each format escapes them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from soundsright.core.csv_text import csv_text
from soundsright.core.errors import UsageError
from soundsright.metrics import metric
from soundsright.services.drawing import digits, factor, interval_facts, metric_name, set_facts
from soundsright.services.records import MetricDoc, Results, Run, RunCompetition, RunEntry
from soundsright.services.report.citations import bibtex, citation_keys

CSV_COLUMNS = (
    "round", "competition", "rank", "entry", "hotkey", "uid", "model", "block", "share_percent", "metric", "unit",
    "mean", "low", "high", "n", "effective_n", "clips",
    "failed_clips", "real_time_factor", "load_s", "peak_memory_bytes",
    "set_seed", "set_digest", "ruleset",
)  # fmt: skip
EFFECTIVE_CLIPS = (
    "Intervals hold for new material: clips that share a noise, a room or a prompt count together. The effective"
    " number of clips is the number of independent clips that would be as certain. A dash means that the clips"
    " allow no interval."
)
_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#!|~"} | {"\n": " ", "\r": " "})
_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "\n": " ", "\r": " "}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\char34}"}
)


def report_csv(run: Run) -> str:
    """One line per competition, entry and metric. The unprocessed input has no rank.

    Raises:
        UsageError: the run has no results.
    """
    doc = run.finished()
    rows: list[Sequence[object]] = []
    for c in run.competitions:
        for entry in c.rows:
            row = entry.row
            for name, e in row.metrics.items():
                unit = doc.metrics[name].unit if name in doc.metrics else ""
                line = (
                    doc.round.id, c.doc.id, row.rank, row.entry, row.hotkey, row.uid, row.model, row.block,
                    row.share, name, unit, e.mean, e.low, e.high, e.n, e.effective_n, row.clips,
                    sum(row.failures.values()), row.timing.real_time_factor, row.timing.load_s,
                    row.timing.peak_memory_bytes,
                    c.doc.seed, c.doc.set_digest, doc.round.ruleset,
                )  # fmt: skip
                rows.append(line)
    return csv_text(CSV_COLUMNS, rows)


def report_markdown(run: Run) -> str:
    """The round: its set, tables, decisions, versions, and the sources of its metrics.

    Raises:
        UsageError: the run has no results.
    """
    doc = run.finished()
    lines = [
        f"# Round {markdown_text(doc.round.id)}",
        "",
        *(f"- {fact}" for fact in _provenance(doc, markdown_text)),
    ]
    for c in run.competitions:
        lines += ["", f"## {markdown_text(c.doc.title)}", "", f"{recipe_words(c)}.", ""]
        head = ["#", "entry", *(_heading(c, name, m) for name, m in doc.metrics.items()), "RTF", "share %"]
        rows = []
        best = _best(c, doc)
        for entry in c.rows:
            cells = [_rank(entry), markdown_text(entry.label)]
            for name, m in doc.metrics.items():
                mean, half = _score(entry, name, m)
                text = f"{mean} ± {half}" if half else mean
                cells.append(f"**{text}**" if best.get(name) is entry else text)
            cells += [factor(entry.row.timing.real_time_factor), _share(c, entry)]
            rows.append(cells)
        lines += markdown_table(head, "rl", rows)
        lines += ["", "\\* has a prize. Bold: the best mean, if it is better than the unprocessed input.", ""]
        lines += [f"- {markdown_text(d.sentence)}" for d in c.doc.decisions]
        if c.doc.stopping is not None:
            lines.append(f"- {markdown_text(c.doc.stopping.sentence)}")
        lines += [
            f"- Refused: {markdown_text(r.entry)}: {markdown_text(r.sentence)} ({markdown_text(r.code)})."
            for r in c.doc.refused
        ]
        lines += [
            f"- Ranked apart ({markdown_text(a.code)}): {markdown_text(a.row.entry)}: {markdown_text(a.sentence)}"
            for a in c.doc.apart
        ]
        lines += [
            f"- {markdown_text(code)} could not be measured: {markdown_text(why)}"
            for code, why in c.doc.unmeasured.items()
        ]
        lines += [
            f"- {markdown_text(e.label)}: {markdown_text(e.failure_note)}." for e in c.entries if e.row.failures
        ]
    lines += ["", EFFECTIVE_CLIPS, "", "## Metrics", ""]
    lines += [f"- {metric_name(name)}: {m.title}. {metric_source(name)}." for name, m in doc.metrics.items()]
    return "\n".join(lines) + "\n"


def markdown_table(head: Sequence[str], columns: str, rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table. `columns` has `l` or `r` for the first columns; the others are aligned right.

    >>> markdown_table(["a", "b"], "l", [["x", "1"]])
    ['| a | b |', '| :--- | ---: |', '| x | 1 |']
    """
    sides = [":---" if side == "l" else "---:" for side in columns.ljust(len(head), "r")]
    return [f"| {' | '.join(cells)} |" for cells in (head, sides, *rows)]


def report_tex(run: Run) -> str:
    r"""One `table` per competition and a list of the metrics' sources, for `\input` in a document.

    It works with and without `booktabs` and `graphicx`. With `graphicx`, a table that is wider than its column is
    scaled down. Citations use the keys of `report_bib`.

    Raises:
        UsageError: the run has no results.
    """
    doc = run.finished()
    lines = tex_preamble(_provenance(doc, tex_comment))
    for c in run.competitions:
        best = _best(c, doc)
        heads = [tex_text(_heading(c, name, m)) for name, m in doc.metrics.items()]
        rows: list[Sequence[str] | None] = []
        for entry in c.rows:
            if entry is c.unprocessed:
                rows.append(None)
            cells = [_rank(entry), tex_text(entry.label)]
            for name, m in doc.metrics.items():
                cells.append(tex_score(*_score(entry, name, m), best.get(name) is entry))
            speed = factor(entry.row.timing.real_time_factor).replace("<", "$<$")
            cells += [cell.replace("–", "--") for cell in (speed, _share(c, entry))]
            rows.append(cells)
        lines += tex_table(
            rf"{tex_text(c.doc.title)}: {_tex_minus(tex_text(recipe_words(c)))}. "
            r"Mean $\pm$ half the 95\,\% interval. Bold: best mean, if better than the unprocessed input. "
            r"* has a prize. A failed clip counts as the metric's floor.",
            c.doc.id,
            "rl",
            [r"\#", "Entry", *heads, "RTF", r"Share\,\%"],
            rows,
        )
    return "\n".join([*lines, *tex_sources(doc.metrics)]) + "\n"


def tex_preamble(facts: Iterable[str]) -> list[str]:
    """Comments, and plain replacements for the commands of `booktabs` and `graphicx`."""
    return [
        *(f"% {fact}" for fact in facts),
        "% Load booktabs for better lines.",
        "% Load graphicx to scale a table down if it is wider than its column.",
        *(rf"\providecommand{{\{rule}}}{{\hline}}" for rule in ("toprule", "midrule", "bottomrule")),
        r"\providecommand{\resizebox}[3]{#3}",
    ]


def tex_table(
    caption: str, label: str, columns: str, heads: Sequence[str], rows: Iterable[Sequence[str] | None]
) -> list[str]:
    """The lines of a `table`, scaled down if it is wider than its column. A row of None is a horizontal line."""
    return [
        "",
        r"\begin{table}[htbp]",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{label.lower().replace('_', '-')}}}",
        r"\par\smallskip",
        rf"\sbox0{{\begin{{tabular}}{{{columns.ljust(len(heads), 'r')}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(r"\midrule" if row is None else " & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}}%",
        r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
        r"\end{table}",
    ]


def tex_score(mean: str, half: str, best: bool) -> str:
    """A mean and half its interval in LaTeX, or dashes if the metric was not measured."""
    number = rf"\mathbf{{{mean}}}" if best else mean
    width = half.replace("–", r"\text{--}")
    return rf"${number} \pm {width}$" if half else "--"


def tex_sources(names: Iterable[str]) -> list[str]:
    """A list of the metrics, with citations."""
    lines = ["", r"\begin{description}"]
    for name in names:
        cited = rf"~\cite{{{','.join(keys)}}}" if (keys := citation_keys(name)) else ""
        lines.append(rf"\item[{tex_text(metric_name(name))}] {tex_text(metric_source(name))}{cited}.")
    return [*lines, r"\end{description}"]


def report_bib(run: Run) -> str:
    """The publications behind the round's metrics, intervals, tests and ranks, as BibTeX.

    Raises:
        UsageError: the run has no results.
    """
    doc = run.finished()
    return works(doc.metrics, doc.versions)


def works(names: Iterable[str], versions: Mapping[str, str]) -> str:
    """BibTeX of the publications behind metrics, intervals, tests and ranks, and of this program."""
    return bibtex(names, re.sub(r"[^0-9A-Za-z.+-]", "", versions.get("soundsright", "")))


def markdown_text(text: str) -> str:
    r"""A stranger's text, escaped for Markdown.

    >>> print(markdown_text("<b>|x"))
    \<b\>\|x
    """
    return text.translate(_MARKDOWN)


def tex_text(text: str) -> str:
    r"""A stranger's text, escaped for LaTeX. A character outside ASCII becomes its Unicode number.

    >>> print(tex_text("a_b & \\input{x}"))
    a\_b \& \textbackslash{}input\{x\}
    """
    return "".join(c if c.isascii() else f"[U+{ord(c):04X}]" for c in text).translate(_TEX)


def _tex_minus(text: str) -> str:
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", text)


def tex_comment(text: str) -> str:
    """A stranger's text on one line, for a comment."""
    return " ".join(text.split())


def _provenance(doc: Results, shown: Callable[[str], str]) -> list[str]:
    r = doc.round
    return [
        f"Round {shown(r.id)}: {r.clips} clips per competition. The seed comes from block {r.seed_block}, "
        f"{shown(r.seed_block_hash)}. Entries closed with block {r.entries_close_block}.",
        f"Rules: {shown(r.ruleset)}, {shown(r.ruleset_digest)}.",
        *(shown(remark) for remark in (r.corpus.remarks if r.corpus else ())),
        "Versions: " + ", ".join(f"{shown(name)} {shown(v)}" for name, v in doc.versions.items()) + ".",
    ]


def recipe_words(c: RunCompetition) -> str:
    """The conditions of a set, what its intervals rest on, its seed, and the start of its digest."""
    conditions = set_facts(c) if c.recipes else "no clips kept"
    clips, _, basis = interval_facts(c).partition(", ")
    if not conditions.startswith(f"{clips},"):
        basis = f"{clips}, {basis}"
    elif basis.startswith("each "):
        basis = basis.replace("each ", "each clip ", 1)
    return f"{conditions}; intervals: {basis}; seed {c.doc.seed}, set {c.doc.set_digest[:16]}"


def _heading(c: RunCompetition, name: str, m: MetricDoc) -> str:
    unit = " dB" if m.unit == "dB" else ""
    return f"{metric_name(name)}{unit}{'*' if name in c.doc.metric_weights else ''}"


def _best(c: RunCompetition, doc: Results) -> dict[str, RunEntry]:
    """By metric, the entry with the best mean, if it is better than the unprocessed input."""
    best_entries: dict[str, RunEntry] = {}
    for name, m in doc.metrics.items():
        sign = 1.0 if m.direction == "higher" else -1.0
        means = {e.key: sign * e.row.metrics[name].mean for e in c.rows if name in e.row.metrics}
        measured = [entry for entry in c.entries if entry.key in means]
        best = max(measured, key=lambda entry, means=means: means[entry.key], default=None)  # type: ignore[misc]
        if best is not None and means[best.key] > means.get(c.unprocessed.key, -math.inf):
            best_entries[name] = best
    return best_entries


def _score(entry: RunEntry, name: str, m: MetricDoc) -> tuple[str, str]:
    """The mean and half its interval, or a dash and nothing if the metric was not measured."""
    estimate = entry.row.metrics.get(name)
    if estimate is None:
        return "–", ""
    return score_texts(estimate.mean, estimate.half_width, digits(m))


def score_texts(mean: float, half_width: float | None, places: int) -> tuple[str, str]:
    """A mean and half its interval with `places` decimals. Without an interval, a dash takes its place.

    >>> score_texts(2.5, 0.5, 2), score_texts(2.5, None, 2)
    (('2.50', '0.50'), ('2.50', '–'))
    """
    return f"{mean:.{places}f}", "–" if half_width is None else f"{half_width:.{places}f}"


def _rank(entry: RunEntry) -> str:
    return "" if entry.row.rank is None else str(entry.row.rank)


def _share(c: RunCompetition, entry: RunEntry) -> str:
    return "–" if entry is c.unprocessed else f"{entry.row.share:.2f}"


def metric_source(name: str) -> str:
    """The publication or standard of a metric."""
    try:
        return metric(name).source
    except UsageError:
        return "A metric of another package"
