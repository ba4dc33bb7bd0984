"""The site as a map from paths to pages, the same for a static build and for the server.

Every link is relative, so the pages work from a disk. No page holds a script or a style of its own, and the policy
in its head forbids any: what a miner chose is text, here and in what the scripts show. Paths:

    index.html  history.html  assets/FILE
    r/RUN/index.html  r/RUN/results.json  r/RUN/scores.jsonl  r/RUN/bundle.zip
    r/RUN/COMPETITION/index.html  r/RUN/COMPETITION/ears.html  r/RUN/COMPETITION/e/ENTRY.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from soundsright.ranking import RankSet
from soundsright.services.drawing import (
    ASSETS,
    Frame,
    Page,
    Series,
    asset,
    box_plot,
    clip_facts,
    digits,
    history_plot,
    metric_name,
    stats,
)
from soundsright.services.listening import summaries_below
from soundsright.services.records import (
    BUNDLE,
    REFERENCES,
    UNPROCESSED,
    Run,
    RunCompetition,
    RunEntry,
    bundle_bytes,
)
from soundsright.services.report import competition_plots

DOWNLOADS = {"results.json": "application/json", "scores.jsonl": "application/jsonl"}


@dataclass(frozen=True)
class AudioAccess:
    """How the ears page comes by audio.

    `kind` is `file` (WAV from the server) or `embedded` (scripts beside the page that hold FLAC, which a browser
    loads from a disk too). `kept` names (run, competition, clip) that have audio, None where all do.
    """

    kind: str
    kept: frozenset[tuple[str, str, str]] | None = None

    def has(self, run: Run, competition: RunCompetition, clip: str) -> bool:
        return self.kept is None or (run.key, competition.doc.id, clip) in self.kept


class Site:
    """Pages drawn from runs. `live` adds the link to the status view."""

    def __init__(self, runs: Sequence[Run], audio: AudioAccess, *, live: bool = False) -> None:
        self._runs = tuple(runs)
        self._audio = audio
        self._frame = Frame(live=live)
        self._ranks: dict[tuple[str, str], dict[str, dict[str, RankSet]]] = {}

    @property
    def runs(self) -> tuple[Run, ...]:
        return self._runs

    def paths(self) -> Iterator[str]:
        """Every page there is."""
        yield from ("index.html", "history.html")
        yield from (f"assets/{name}" for name in ASSETS)
        for run in self._runs:
            yield f"r/{run.key}/index.html"
            if run.doc:
                yield from (f"r/{run.key}/{name}" for name in DOWNLOADS if (run.folder / name).is_file())
                yield f"r/{run.key}/{BUNDLE}"
            for c in run.competitions:
                yield f"r/{run.key}/{c.doc.id}/index.html"
                yield f"r/{run.key}/{c.doc.id}/ears.html"
                yield from (f"r/{run.key}/{c.doc.id}/e/{entry.key}.html" for entry in c.entries)

    def page(self, path: str) -> Page | None:
        """The page at a path, None where there is none."""
        parts = path.split("/")
        match parts:
            case ["index.html"]:
                return self._frame.page(
                    "index.html.j2", "", title="Leaderboard", runs=self._runs, shown=self._latest()
                )
            case ["history.html"]:
                return self._frame.page(
                    "history.html.j2", "", title="Rounds", runs=self._runs, charts=self._history()
                )
            case ["assets", name] if name in ASSETS:
                return asset(name)
            case ["r", key, *rest]:
                run = next((run for run in self._runs if run.key == key), None)
                return None if run is None else self._in_run(run, rest)
        return None

    def message(self, title: str, text: str) -> bytes:
        """A page that says one thing, for an address that has no page of its own."""
        page = self._frame.page("message.html.j2", "/", title=title, text=text)
        return page.body

    def competition_of(self, run_key: str, competition_id: str) -> tuple[Run, RunCompetition] | None:
        run = next((run for run in self._runs if run.key == run_key), None)
        competition = run.competition(competition_id) if run else None
        return (run, competition) if run and competition else None

    def _in_run(self, run: Run, rest: Sequence[str]) -> Page | None:
        match rest:
            case ["index.html"]:
                files_there = [name for name in DOWNLOADS if run.doc and (run.folder / name).is_file()]
                # A bundle with audio that lies in the run's folder is the server's to send.
                whole = self._audio.kind == "file" and run.bundle is not None
                return self._frame.page(
                    "round.html.j2", "../../", title=run.title, run=run, files=files_there, whole_bundle=whole
                )
            case [name] if name == BUNDLE and run.doc:
                return Page(bundle_bytes(run), "application/zip")
            case [name] if name in DOWNLOADS and run.doc:
                return _download(run, name)
            case [competition_id, *more]:
                competition = run.competition(competition_id)
                return None if competition is None else self._in_competition(run, competition, more)
        return None

    def _in_competition(self, run: Run, c: RunCompetition, rest: Sequence[str]) -> Page | None:
        match rest:
            case ["index.html"]:
                return self._competition(run, c)
            case ["ears.html"]:
                data = _script_safe(self._ears_data(run, c))
                return self._frame.page(
                    "ears.html.j2", "../../../", title="Hear two entries", run=run, c=c, data=data
                )
            case ["e", name] if name.endswith(".html"):
                entry = next((e for e in c.entries if e.key == name.removesuffix(".html")), None)
                return None if entry is None else self._entry(run, c, entry)
        return None

    def _latest(self) -> list[tuple[Run, RunCompetition, dict[str, dict[str, RankSet]]]]:
        """Each competition from the last run that holds it."""
        found: dict[str, tuple[Run, RunCompetition]] = {}
        for run in self._runs:
            for c in run.competitions:
                found[c.doc.id] = (run, c)
        return [(run, c, self._open_ranks(run, c)) for run, c in found.values()]

    def _open_ranks(self, run: Run, c: RunCompetition) -> dict[str, dict[str, RankSet]]:
        key = (run.key, c.doc.id)
        if key not in self._ranks:
            self._ranks[key] = stats.open_ranks(run, c)
        return self._ranks[key]

    def _competition(self, run: Run, c: RunCompetition) -> Page:
        return self._frame.page(
            "competition.html.j2",
            "../../../",
            title=c.doc.title,
            run=run,
            c=c,
            ranks=self._open_ranks(run, c),
            plots={name: _marked(list(plots.values())) for name, plots in competition_plots(run, c).items()},
            listening=[test for test in summaries_below(run.folder / "listening", c) if test.rows],
        )

    def _entry(self, run: Run, c: RunCompetition, entry: RunEntry) -> Page:
        metrics = stats.metric_docs(run)
        others = [c.unprocessed]
        if c.best is not None and c.best is not entry:
            others.append(c.best)
        differences = {name: [stats.difference(run, c, entry, o, name) for o in others] for name in metrics}
        plots: list[str] = []
        for name in c.paid_metrics if entry.scores else ():
            facts = metrics[name]
            rows = (entry, *reversed(others))
            plots.append(
                box_plot(stats.boxes(c, name, rows, entry), title=f"{metric_name(name)} by clip", unit=facts.unit)
            )
            plots.extend(stats.condition_plots(c, name, facts, rows).values())
            speakers = stats.speaker_boxes(c, name, entry)
            if speakers:
                plots.append(box_plot(speakers, title=f"{metric_name(name)} by speaker", unit=facts.unit))
        return self._frame.page(
            "entry.html.j2",
            "../../../../",
            title=entry.label,
            run=run,
            c=c,
            e=entry,
            against=[other.label for other in others],
            differences=differences,
            plots=_marked(plots),
            history=self._elsewhere(run, c, entry),
        )

    def _elsewhere(self, run: Run, c: RunCompetition, entry: RunEntry) -> list[dict[str, object]]:
        """The same hotkey in other runs of the competition."""
        found: list[dict[str, object]] = []
        for other in self._runs:
            there = other.competition(c.doc.id)
            for e in there.entries if there and other is not run else ():
                if e.row.hotkey == entry.row.hotkey:
                    found.append(
                        {
                            "href": f"r/{other.key}/{c.doc.id}/e/{e.key}.html",
                            "title": f"{other.title} ({other.folder.name})",
                            "rank": e.row.rank,
                            "share": e.row.share,
                        }
                    )
        return found

    def _history(self) -> list[tuple[str, list[Any]]]:
        """Per competition, the best paid entry, the best mean and the unprocessed input over rounds."""
        finished = [run for run in self._runs if run.doc]
        if len(finished) < 2:
            return []
        ids = list(dict.fromkeys(c.doc.id for run in finished for c in run.competitions))
        charts = []
        for competition_id in ids:
            there = [(i, run, c) for i, run in enumerate(finished) if (c := run.competition(competition_id))]
            plots = []
            for name in there[-1][2].paid_metrics:
                facts = stats.metric_docs(there[-1][1])[name]
                sign = 1.0 if facts.direction == "higher" else -1.0
                best, baseline = [], []
                for i, _, c in there:
                    means = [e.row.metrics[name] for e in c.entries if name in e.row.metrics]
                    if means:
                        best.append((float(i), max(means, key=lambda m: sign * m.mean)))
                    if name in c.unprocessed.row.metrics:
                        baseline.append((float(i), c.unprocessed.row.metrics[name]))
                series = [_over_rounds("best entry", best), _over_rounds("unprocessed input", baseline)]
                if best or baseline:
                    names = [run.folder.name for run in finished]
                    plots.append(history_plot(series, names, title=metric_name(name), unit=facts.unit))
            charts.append((there[-1][2].doc.title, _marked(plots)))
        return charts

    def _ears_data(self, run: Run, c: RunCompetition) -> dict[str, Any]:
        metrics = stats.metric_docs(run)

        def has(signal: str) -> list[int]:
            return [
                int(self._audio.has(run, c, clip) and c.signal(signal, clip) is not None) for clip in c.clip_ids
            ]

        return {
            "audio": {"kind": self._audio.kind, "root": f"../../../audio/{run.key}/{c.doc.id}/"},
            "clips": [{"id": clip, "facts": clip_facts(c, clip)} for clip in c.clip_ids],
            "entries": [
                {
                    "key": e.key,
                    "label": e.label if e.row.rank is None else f"{e.row.rank}. {e.label}",
                    "audio": has(e.key),
                    "scores": {name: [e.scores.get(clip, {}).get(name) for clip in c.clip_ids] for name in metrics},
                    "failures": {clip: f"{f.code}: {f.detail}" for clip, f in e.failures.items()},
                }
                for e in c.rows
            ],
            "metrics": [
                {"key": n, "name": metric_name(n), "unit": m.unit, "digits": digits(m), "floor": m.floor}
                for n, m in metrics.items()
            ],
            "paid": list(c.paid_metrics),
            "references": {name: has(name) for name in REFERENCES},
            "unprocessed": UNPROCESSED,
        }


def _over_rounds(label: str, points: Sequence[tuple[float, Any]]) -> Series:
    return Series(
        label,
        tuple(x for x, _ in points),
        tuple(e.mean for _, e in points),
        tuple(e.low for _, e in points),
        tuple(e.high for _, e in points),
    )


def _download(run: Run, name: str) -> Page | None:
    try:
        return Page((run.folder / name).read_bytes(), DOWNLOADS[name])
    except OSError:
        return None


def _script_safe(data: object) -> Any:
    """JSON inside a `<script type="application/json">`: nothing in it can end the element."""
    from markupsafe import Markup

    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    # Every character of which a tag, a comment or an entity could be made is written as an escape.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _marked(plots: Sequence[str]) -> list[Any]:
    """Drawings are markup; the labels in them were escaped where they were drawn."""
    from markupsafe import Markup

    return [Markup(plot) for plot in plots]
