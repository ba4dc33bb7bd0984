"""A run's folder as the pages see it: what was decided, every clip's scores, and where the audio lies.

Scores are in their metric's unit; a clip without scores counts at the metric's floor, as in the ranking. A run may
be half done, broken or newer than this program: then `problem` says so and the rest is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.services.records.documents import (
    CompetitionDoc,
    FailureDoc,
    RecipeDoc,
    ResultsDoc,
    RowDoc,
    ScoreDoc,
    read_results,
    read_scores,
    results_doc,
    score_doc,
)

MAX_RUNS = 500
UNPROCESSED = "unprocessed"
BUNDLE = "bundle.zip"
REFERENCES = ("clean", "degraded")
_MODEL_OF_UNPROCESSED = "unprocessed/degraded-input@"
_NOTES = 20


@dataclass(frozen=True)
class RunEntry:
    """One row with its clips. `key` is safe in a path; `folder` holds the enhanced audio, or is None."""

    key: str
    row: RowDoc
    scores: Mapping[str, Mapping[str, float]]
    failures: Mapping[str, FailureDoc]
    folder: Path | None

    @property
    def label(self) -> str:
        return self.row.entry

    @property
    def paid(self) -> bool:
        return self.row.share > 0

    @property
    def answered(self) -> bool:
        """Whether it answered at least one clip."""
        return sum(self.row.failures.values()) < self.row.clips

    @property
    def failure_note(self) -> str:
        return ", ".join(f"{count} of {self.row.clips} clips: {code}" for code, count in self.row.failures.items())


@dataclass(frozen=True)
class RunCompetition:
    """One competition of a run: entries best first, and `unprocessed`, the degraded input's own row."""

    doc: CompetitionDoc
    entries: tuple[RunEntry, ...]
    unprocessed: RunEntry
    clip_ids: tuple[str, ...]
    recipes: Mapping[str, RecipeDoc]
    set_folder: Path
    floors: Mapping[str, float]

    @property
    def rows(self) -> tuple[RunEntry, ...]:
        """All entries, the unprocessed input last."""
        return (*self.entries, self.unprocessed)

    @property
    def best(self) -> RunEntry | None:
        """The first entry that is paid."""
        return next((entry for entry in self.entries if entry.paid), None)

    @property
    def paid_metrics(self) -> tuple[str, ...]:
        """The metrics that pay, the heaviest first."""
        weights = self.doc.metric_weights
        return tuple(sorted((m for m in weights if m in self.floors), key=lambda name: -weights[name]))

    @property
    def champions(self) -> dict[str, list[str]]:
        """Who defended: the metrics by hotkey."""
        held: dict[str, list[str]] = {}
        for decision in self.doc.decisions:
            if hotkey := decision.evidence.get("champion"):
                held.setdefault(str(hotkey), []).append(decision.metric)
        return held

    @property
    def winners(self) -> dict[str, str]:
        """Who takes each prize, by metric: the hotkey."""
        return {d.metric: d.winner for d in self.doc.decisions if d.winner is not None}

    @property
    def flagged(self) -> tuple[RunEntry, ...]:
        """The entries that show signs of being tuned to a measure."""
        return tuple(entry for entry in self.entries if entry.row.flags)

    def values(self, entry: RunEntry, metric: str) -> list[float]:
        """One value per clip of the set, the floor for a clip without one."""
        floor = self.floors[metric]
        return [entry.scores.get(clip, {}).get(metric, floor) for clip in self.clip_ids]

    def signal(self, name: str, clip_id: str) -> Path | None:
        """Where a signal lies: `clean`, `degraded`, or an entry's key. None where it is not kept."""
        if clip_id not in self.recipes:
            return None
        if name == UNPROCESSED:
            name = "degraded"
        if name in REFERENCES:
            folder: Path | None = self.set_folder / name
        else:
            folder = next((entry.folder for entry in self.entries if entry.key == name), None)
        if folder is None:
            return None
        path = folder / f"{clip_id}.wav"
        return path if path.is_file() and not path.is_symlink() else None


@dataclass(frozen=True)
class Run:
    """One folder. `doc` is None where `problem` says why; `notes` name what was left out."""

    key: str
    folder: Path
    doc: ResultsDoc | None
    competitions: tuple[RunCompetition, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()
    stamp: tuple[int, ...] = field(default=(), compare=False)

    @property
    def title(self) -> str:
        return f"Round {self.doc.round.id}" if self.doc else f"Run {self.folder.name}"

    @property
    def bundle(self) -> Path | None:
        """The bundle with audio, where one was written to the run's folder."""
        path = self.folder / BUNDLE
        return path if self.doc and path.is_file() and not path.is_symlink() else None

    def finished(self) -> ResultsDoc:
        """The results.

        Raises:
            UsageError: there are none, or they cannot be read.
        """
        if self.doc is None:
            raise UsageError(f"{self.folder}: {self.problem}", "Name the folder of a finished run.")
        return self.doc

    def competition(self, competition_id: str) -> RunCompetition | None:
        return next((c for c in self.competitions if c.doc.id == competition_id), None)


def find_runs(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The run folders among these, and below those that hold runs, oldest name first.

    Raises:
        UsageError: one is not a folder, or there are too many.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path} is not a folder", "Name a run's folder, or a folder of runs.")
        if _is_run(path):
            found.append(path)
        else:
            found.extend(sorted(child for child in path.iterdir() if child.is_dir() and _is_run(child)))
    if len(found) > MAX_RUNS:
        raise UsageError(f"{len(found)} runs are more than {MAX_RUNS}", "Name fewer.")
    return tuple(dict.fromkeys(path.resolve() for path in found))


def read_runs(folders: Iterable[Path]) -> tuple[Run, ...]:
    """Each folder as a `Run`; a run that cannot be read says so in `problem`."""
    taken: set[str] = set()
    return tuple(read_run(folder, _unique(slug(folder.name), taken)) for folder in folders)


def read_run(folder: Path, key: str) -> Run:
    """A run's folder. Nothing is raised for what is missing or broken: the pages say it."""
    if not (folder / "results.json").exists():
        problem = "This round is not finished: no results are written yet."
        return Run(key, folder, None, problem=problem, stamp=run_stamp(folder))
    stamp = run_stamp(folder)
    try:
        doc = read_results(folder / "results.json")
    except UsageError as error:
        # Readers are told the file, not where this machine keeps it.
        return Run(key, folder, None, problem=str(error).replace(f"{folder}/", ""), stamp=stamp)
    notes: list[str] = []
    lines: list[ScoreDoc] = []
    try:
        for line in read_scores(folder / "scores.jsonl"):
            if isinstance(line, ScoreDoc):
                lines.append(line)
            else:
                notes.append(line)
    except UsageError as error:
        notes.append(f"{error} Pages show means only.".replace(f"{folder}/", ""))
    return run_of(key, folder, doc, lines, notes, stamp)


def run_from_documents(folder: Path, document: Mapping[str, Any], lines: Iterable[str]) -> Run:
    """A run from what is about to be written: results.json's object and the lines of scores.jsonl."""
    scores = [score_doc(line, "scores") for line in lines]
    kept = [score for score in scores if isinstance(score, ScoreDoc)]
    return run_of(
        slug(folder.name), folder, results_doc(document), kept, [s for s in scores if isinstance(s, str)], ()
    )


def run_of(
    key: str, folder: Path, doc: ResultsDoc, lines: Sequence[ScoreDoc], notes: Sequence[str], stamp: tuple[int, ...]
) -> Run:
    by_competition: dict[str, list[ScoreDoc]] = {}
    for line in lines:
        by_competition.setdefault(line.competition, []).append(line)
    floors = {name: metric.floor for name, metric in doc.metrics.items()}
    competitions = tuple(
        _competition(folder, competition, by_competition.get(competition.id, []), floors)
        for competition in doc.competitions
    )
    more = len(notes) - _NOTES
    shown = (*notes[:_NOTES], f"and {more} more") if more > 0 else tuple(notes)
    return Run(key, folder, doc, competitions, notes=shown, stamp=stamp)


def run_stamp(folder: Path) -> tuple[int, ...]:
    """Changes when a run's files are written anew."""
    stamp: list[int] = []
    for name in ("results.json", "scores.jsonl", BUNDLE):
        try:
            facts = (folder / name).stat()
        except OSError:
            stamp += [0, 0]
        else:
            stamp += [facts.st_mtime_ns, facts.st_size]
    for votes in sorted((folder / "listening").glob("*/votes.jsonl")):
        stamp.append(votes.stat().st_size)
    return tuple(stamp)


def slug(text: str) -> str:
    """A name that is safe as one part of a path and of an address.

    >>> slug("../<script>"), slug("17-5F3sa2TJ")
    ('script', '17-5F3sa2TJ')
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", text)[:48].strip("-") or "x"


def _competition(
    folder: Path, doc: CompetitionDoc, lines: Sequence[ScoreDoc], floors: Mapping[str, float]
) -> RunCompetition:
    recipes = {line.id: line.recipe for line in lines}
    by_entry: dict[tuple[str, str], list[ScoreDoc]] = {}
    baseline: list[ScoreDoc] = []
    for line in lines:
        if line.model.startswith(_MODEL_OF_UNPROCESSED):
            baseline.append(line)
        else:
            by_entry.setdefault((line.entry, line.model), []).append(line)
    taken = {UNPROCESSED, *REFERENCES}
    entries = tuple(
        _entry(folder, row, by_entry.get((row.hotkey or "", row.model or ""), []), taken) for row in doc.entries
    )
    unprocessed = RunEntry(UNPROCESSED, doc.unprocessed, *_clips(baseline), None)
    return RunCompetition(
        doc, entries, unprocessed, tuple(sorted(recipes)), recipes, folder / "sets" / doc.id, floors
    )


def _entry(folder: Path, row: RowDoc, lines: Sequence[ScoreDoc], taken: set[str]) -> RunEntry:
    name = f"{row.uid}-{(row.hotkey or '')[:12]}"
    audio = folder / "enhanced" / name
    # The hotkey is a stranger's text: one plain part of a path, or no audio.
    plain = "/" not in name and "\0" not in name and name not in (".", "..")
    kept = audio if plain and audio.is_dir() and not audio.is_symlink() else None
    return RunEntry(_unique(slug(name), taken), row, *_clips(lines), kept)


def _clips(lines: Sequence[ScoreDoc]) -> tuple[dict[str, Mapping[str, float]], dict[str, FailureDoc]]:
    scores = {line.id: line.scores for line in lines if line.scores is not None}
    return dict(scores), {line.id: line.failure for line in lines if line.failure is not None}


def _unique(key: str, taken: set[str]) -> str:
    found, number = key, 2
    while found in taken:
        found, number = f"{key}-{number}", number + 1
    taken.add(found)
    return found


def _is_run(folder: Path) -> bool:
    return (folder / "run.json").is_file() or (folder / "results.json").is_file()
