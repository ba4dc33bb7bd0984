"""The pages of the leaderboard by path, the same for a static build and for the server.

Links are relative, so the pages also work from a disk. The security policy forbids inline scripts and styles, and
names that miners choose are always shown as text. Paths:

    index.html  history.html  assets/FILE  executor/index.html
    r/RUN/index.html  r/RUN/results.json  r/RUN/scores.jsonl  r/RUN/bundle.zip
    r/RUN/COMPETITION/index.html  r/RUN/COMPETITION/ears.html  r/RUN/COMPETITION/e/ENTRY.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from soundsright.services.board.executor_page import shown_executor
from soundsright.services.board.federation_page import ShownFederation
from soundsright.services.board.log_line import log_line
from soundsright.services.board.round_checks import attestations_of, round_checks
from soundsright.services.board.tiers_page import ShownTiers
from soundsright.services.drawing import (
    ASSETS,
    Frame,
    Page,
    asset,
    clip_facts,
    competition_plots,
    digits,
    entry_plots,
    history_plots,
    metric_docs,
    metric_name,
    paired_difference,
)
from soundsright.services.listening import summaries_below
from soundsright.services.records import (
    BUNDLE,
    REFERENCES,
    UNPROCESSED,
    ExecutorHistory,
    PossibleRanks,
    Run,
    RunCompetition,
    RunEntry,
    ValidSignature,
    bundle_bytes,
    has_record,
    is_plain_file,
    possible_ranks,
)
from soundsright.services.replay import ATTESTATIONS

DOWNLOADS = {"results.json": "application/json", "scores.jsonl": "application/jsonl"}


@dataclass(frozen=True)
class ClipAddress:
    """A clip of a site: the key of its run, and the ids of its competition and clip."""

    run_key: str
    competition_id: str
    clip_id: str


@dataclass(frozen=True)
class AudioAccess:
    """How the listening page loads audio.

    `kind` is `file` (WAV from the server) or `embedded` (FLAC inside scripts beside the page, which a browser can
    also load from a disk). `clips` are those with audio, or None if all have it.
    """

    kind: Literal["file", "embedded"]
    clips: frozenset[ClipAddress] | None = None

    def has(self, run: Run, competition: RunCompetition, clip: str) -> bool:
        return self.clips is None or ClipAddress(run.key, competition.doc.id, clip) in self.clips


@dataclass(frozen=True)
class OtherRound:
    """The result of an entry's hotkey in another round. `href` is relative to the root of the site."""

    href: str
    title: str
    rank: int | None
    share: float


def systems_shown(
    executor: object | None, federation: object | None, tiers: object | None = None
) -> tuple[str, ...]:
    """The names of the systems that have a page."""
    shown = {"executor": executor, "federation": federation, "tiers": tiers}
    return tuple(name for name, content in shown.items() if content is not None)


class Site:
    """The pages of some runs. `live` adds a link to the status page, `executor` a page of an executor's rounds,
    `federation` the pages of a federation, and `tiers` those of served models.

    With `valid_signature`, the page of a round shows who signed its record and who replayed it. `log` is the
    hotkey of the log that counts.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        audio: AudioAccess,
        *,
        live: bool = False,
        executor: ExecutorHistory | None = None,
        federation: ShownFederation | None = None,
        tiers: ShownTiers | None = None,
        valid_signature: ValidSignature | None = None,
        log: str | None = None,
    ) -> None:
        self._runs = tuple(runs)
        self._valid_signature = valid_signature
        self._log = log
        self._audio = audio
        self._executor = executor
        self._federation = federation
        self._tiers = tiers
        self._frame = Frame(live=live, systems=systems_shown(executor, federation, tiers))
        self._ranks: dict[tuple[str, str], PossibleRanks] = {}

    @property
    def runs(self) -> tuple[Run, ...]:
        return self._runs

    def paths(self) -> Iterator[str]:
        """The paths of all pages and files."""
        yield from ("index.html", "history.html")
        if self._executor is not None:
            yield "executor/index.html"
        if self._federation is not None:
            yield from self._federation.paths()
        if self._tiers is not None:
            yield from self._tiers.paths()
        yield from (f"assets/{name}" for name in ASSETS)
        for run in self._runs:
            yield f"r/{run.key}/index.html"
            if run.doc:
                yield from (f"r/{run.key}/{name}" for name in DOWNLOADS if is_plain_file(run.folder / name))
            if run.bundle is not None or has_record(run.folder):
                yield f"r/{run.key}/{BUNDLE}"
            for name in attestations_of(run.folder, self._valid_signature):
                yield f"r/{run.key}/{ATTESTATIONS}/{name}"
            for c in run.competitions:
                yield f"r/{run.key}/{c.doc.id}/index.html"
                yield f"r/{run.key}/{c.doc.id}/ears.html"
                yield from (f"r/{run.key}/{c.doc.id}/e/{entry.key}.html" for entry in c.entries)

    def page(self, path: str) -> Page | None:
        """The page at a path, or None if there is none."""
        parts = path.split("/")
        match parts:
            case ["index.html"]:
                return self._frame.page(
                    "index.html.j2", "", title="Leaderboard", runs=self._runs, shown=self._latest()
                )
            case ["history.html"]:
                return self._frame.page(
                    "history.html.j2",
                    "",
                    title="Rounds",
                    runs=self._runs,
                    charts=[(each.title, _marked(each.plots)) for each in history_plots(self._runs)],
                )
            case ["executor", "index.html"] if self._executor is not None:
                return self._frame.page(
                    "executor.html.j2", "../", title="Executor", **shown_executor(self._executor)
                )
            case ["federation", *rest] if self._federation is not None:
                return self._federation.page(self._frame, rest)
            case ["tiers", *rest] if self._tiers is not None:
                return self._tiers.page(self._frame, rest)
            case ["assets", name] if name in ASSETS:
                return asset(name)
            case ["r", key, *rest]:
                run = next((run for run in self._runs if run.key == key), None)
                return None if run is None else self._in_run(run, rest)
        return None

    def message(self, title: str, text: str) -> bytes:
        """A page with a single message, for addresses without a page."""
        page = self._frame.page("message.html.j2", "/", title=title, text=text)
        return page.body

    def competition_of(self, run_key: str, competition_id: str) -> tuple[Run, RunCompetition] | None:
        run = next((run for run in self._runs if run.key == run_key), None)
        competition = run.competition(competition_id) if run else None
        return (run, competition) if run and competition else None

    def _in_run(self, run: Run, rest: Sequence[str]) -> Page | None:
        match rest:
            case ["index.html"]:
                downloads = [name for name in DOWNLOADS if run.doc and is_plain_file(run.folder / name)]
                return self._frame.page(
                    "round.html.j2",
                    "../../",
                    title=run.title,
                    run=run,
                    files=downloads,
                    whole_bundle=run.bundle is not None,
                    has_bundle=run.bundle is not None or has_record(run.folder),
                    checks=round_checks(run.folder, self._valid_signature),
                    log=log_line(run.folder, self._valid_signature, self._log),
                )
            case [name] if name == BUNDLE and has_record(run.folder):
                return Page(bundle_bytes(run.folder), "application/zip")
            case [name] if name in DOWNLOADS and run.doc:
                return _download(run, name)
            case [folder, name] if folder == ATTESTATIONS and name.endswith(".json"):
                raw = attestations_of(run.folder, self._valid_signature).get(name)
                return None if raw is None else Page(raw, "application/json")
            case [competition_id, *rest_of_path]:
                competition = run.competition(competition_id)
                return None if competition is None else self._in_competition(run, competition, rest_of_path)
        return None

    def _in_competition(self, run: Run, c: RunCompetition, rest: Sequence[str]) -> Page | None:
        match rest:
            case ["index.html"]:
                return self._competition(run, c)
            case ["ears.html"]:
                data = _script_safe(self._ears_data(run, c))
                return self._frame.page(
                    "ears.html.j2", "../../../", title="Listen to two entries", run=run, c=c, data=data
                )
            case ["e", name] if name.endswith(".html"):
                entry = next((e for e in c.entries if e.key == name.removesuffix(".html")), None)
                return None if entry is None else self._entry(run, c, entry)
        return None

    def _latest(self) -> list[tuple[Run, RunCompetition, PossibleRanks]]:
        """Each competition as in the last run that has it."""
        latest: dict[str, tuple[Run, RunCompetition]] = {}
        for run in self._runs:
            for c in run.competitions:
                latest[c.doc.id] = (run, c)
        return [(run, c, self._possible_ranks(run, c)) for run, c in latest.values()]

    def _possible_ranks(self, run: Run, c: RunCompetition) -> PossibleRanks:
        key = (run.key, c.doc.id)
        if key not in self._ranks:
            self._ranks[key] = possible_ranks(c)
        return self._ranks[key]

    def _competition(self, run: Run, c: RunCompetition) -> Page:
        return self._frame.page(
            "competition.html.j2",
            "../../../",
            title=c.doc.title,
            run=run,
            c=c,
            ranks=self._possible_ranks(run, c),
            plots={name: _marked(list(plots.values())) for name, plots in competition_plots(run, c).items()},
            listening=[test for test in summaries_below(run.folder / "listening", c) if test.rows],
        )

    def _entry(self, run: Run, c: RunCompetition, entry: RunEntry) -> Page:
        others = [c.unprocessed]
        if c.best is not None and c.best is not entry:
            others.append(c.best)
        differences = {
            name: [paired_difference(run, c, entry, other, name) for other in others] for name in metric_docs(run)
        }
        return self._frame.page(
            "entry.html.j2",
            "../../../../",
            title=entry.label,
            run=run,
            c=c,
            e=entry,
            against=[other.label for other in others],
            differences=differences,
            plots=_marked(entry_plots(run, c, entry, others[::-1])),
            history=self._other_rounds(run, c, entry),
        )

    def _other_rounds(self, run: Run, c: RunCompetition, entry: RunEntry) -> list[OtherRound]:
        """The results of the same hotkey in the other runs of the competition."""
        return [
            OtherRound(
                f"r/{other.key}/{c.doc.id}/e/{e.key}.html",
                f"{other.title} ({other.folder.name})",
                e.row.rank,
                e.row.share,
            )
            for other in self._runs
            if other is not run and (competition := other.competition(c.doc.id))
            for e in competition.entries
            if e.row.hotkey == entry.row.hotkey
        ]

    def _ears_data(self, run: Run, c: RunCompetition) -> dict[str, Any]:
        metrics = metric_docs(run)

        def has_audio(signal: str) -> list[int]:
            return [
                int(self._audio.has(run, c, clip) and c.signal(signal, clip) is not None) for clip in c.clip_ids
            ]

        return {
            "audio": {"kind": self._audio.kind, "root": f"../../../audio/{run.key}/{c.doc.id}/"},
            "clips": [
                {"id": clip, "facts": clip_facts(c, clip), "isPrivate": c.recipes[clip].is_hidden}
                for clip in c.clip_ids
            ],
            "entries": [
                {
                    "key": e.key,
                    "label": e.label if e.row.rank is None else f"{e.row.rank}. {e.label}",
                    "audio": has_audio(e.key),
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
            "references": {name: has_audio(name) for name in REFERENCES},
            "unprocessed": UNPROCESSED,
        }


def _download(run: Run, name: str) -> Page | None:
    if not is_plain_file(run.folder / name):
        return None
    try:
        return Page((run.folder / name).read_bytes(), DOWNLOADS[name])
    except OSError:
        return None


def _script_safe(data: object) -> Any:
    """JSON for a `<script type="application/json">`. No text in it can end the element."""
    from markupsafe import Markup

    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    # Escape every character that could start a tag, a comment or an entity.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _marked(plots: Sequence[str]) -> list[Any]:
    """The drawings as safe markup: their labels were escaped when they were drawn."""
    from markupsafe import Markup

    return [Markup(plot) for plot in plots]
