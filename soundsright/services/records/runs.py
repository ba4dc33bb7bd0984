"""A run's folder, read back: the decisions, every clip's scores, and the audio files.

Scores are in their metric's unit. A clip without scores counts as the metric's floor, as in the ranking. If a run
is unfinished, broken or newer than this program, `problem` says so and the rest is empty.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from soundsright.core.errors import UsageError
from soundsright.core.groups import ClipGroups
from soundsright.services.records.completeness import complete_lines, faults_of_set
from soundsright.services.records.reading import is_plain_file, read_results, read_scores
from soundsright.services.records.results import (
    CompetitionDoc,
    FailureDoc,
    MetricDoc,
    RecipeDoc,
    Results,
    RowDoc,
    ScoreLine,
)
from soundsright.services.records.round_store import LOG_PROOF

MAX_RUNS = 500
UNPROCESSED = "unprocessed"
BUNDLE = "bundle.zip"
REFERENCES = ("clean", "degraded")
_MODEL_OF_UNPROCESSED = "unprocessed/degraded-input@"
_NOTES = 20
_CHECKS = ("bundle/round.json", "bundle/committed.json", "attestations")
"""The files that the page of a round shows beside its results. A folder's time changes with the files in it."""


@dataclass(frozen=True)
class RunEntry:
    """One entry with its clips. `key` is safe in a path; `folder` has the enhanced audio, or is None.

    `scores` and `failures` are by clip id.
    """

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
        """Whether the entry returned audio for at least one clip."""
        return sum(self.row.failures.values()) < self.row.clips

    @property
    def failure_note(self) -> str:
        return self.row.failure_note

    def unknown(self, clip_ids: Sequence[str]) -> tuple[str, ...]:
        """The clips of which neither the scores nor a failure are known."""
        return tuple(clip for clip in clip_ids if clip not in self.scores and clip not in self.failures)


@dataclass(frozen=True)
class RunCompetition:
    """One competition of a run: its entries with the best first, and the unprocessed input."""

    doc: CompetitionDoc
    entries: tuple[RunEntry, ...]
    unprocessed: RunEntry
    clip_ids: tuple[str, ...]
    recipes: Mapping[str, RecipeDoc]
    set_folder: Path
    metrics: Mapping[str, MetricDoc]
    groups: ClipGroups | None = None
    """The groups of the clips; None in runs of old versions, which counted each clip as independent."""

    @property
    def rows(self) -> tuple[RunEntry, ...]:
        """All entries, the unprocessed input last."""
        return (*self.entries, self.unprocessed)

    @property
    def best(self) -> RunEntry | None:
        """The best entry that receives a share of the prize."""
        return next((entry for entry in self.entries if entry.paid), None)

    @property
    def paid_metrics(self) -> tuple[str, ...]:
        """The metrics that pay, the one with the largest weight first."""
        weights = self.doc.metric_weights
        return tuple(sorted((m for m in weights if m in self.metrics), key=lambda name: -weights[name]))

    @property
    def champions(self) -> dict[str, list[str]]:
        """The metrics that each champion defended, by hotkey."""
        metrics_by_hotkey: dict[str, list[str]] = {}
        for decision in self.doc.decisions:
            if hotkey := decision.evidence.get("champion"):
                metrics_by_hotkey.setdefault(str(hotkey), []).append(decision.metric)
        return metrics_by_hotkey

    @property
    def winners(self) -> dict[str, str]:
        """The hotkey that wins each metric's prize."""
        return {d.metric: d.winner for d in self.doc.decisions if d.winner is not None}

    @property
    def flagged(self) -> tuple[RunEntry, ...]:
        """The entries with signs that they were tuned to a metric."""
        return tuple(entry for entry in self.entries if entry.row.flags)

    def among(self, entries: Sequence[RunEntry]) -> RunCompetition:
        """The competition over the clips of which the scores or the failures of all these entries are known.

        An entry may have stopped early, or its lines may be missing.
        """
        unknown = {clip for entry in entries for clip in entry.unknown(self.clip_ids)}
        return replace(self, clip_ids=tuple(clip for clip in self.clip_ids if clip not in unknown))

    @property
    def deciding(self) -> tuple[RunEntry, ...]:
        """The entries that did not stop early."""
        stopping = self.doc.stopping
        stopped = () if stopping is None else tuple(each.hotkey for each in stopping.stopped)
        return tuple(entry for entry in self.entries if entry.row.hotkey not in stopped)

    @property
    def labels(self) -> tuple[tuple[str, ...], ...] | None:
        """The groups of the clips in the order of `clip_ids`, one sequence for each factor."""
        return None if self.groups is None else self.groups.labels(self.clip_ids)

    def values(self, entry: RunEntry, metric: str) -> list[float]:
        """One value per clip of the set; a clip without a score gets the floor."""
        floor = self.metrics[metric].floor
        return [entry.scores.get(clip, {}).get(metric, floor) for clip in self.clip_ids]

    def signal(self, name: str, clip_id: str) -> Path | None:
        """The file of a signal: `clean`, `degraded`, or an entry's key. None if it was not kept."""
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
        return path if is_plain_file(path) else None


@dataclass(frozen=True)
class Run:
    """A run's folder. If `doc` is None, `problem` says why. `notes` list the lines that were left out."""

    key: str
    folder: Path
    doc: Results | None
    competitions: tuple[RunCompetition, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()
    stamp: tuple[int, ...] = field(default=(), compare=False)

    @property
    def title(self) -> str:
        return f"Round {self.doc.round.id}" if self.doc else f"Run {self.folder.name}"

    @property
    def bundle(self) -> Path | None:
        """The bundle with audio, if the run's folder has one."""
        path = self.folder / BUNDLE
        return path if self.doc and is_plain_file(path) else None

    def finished(self) -> Results:
        """The results.

        Raises:
            UsageError: the run has no results, or they cannot be read.
        """
        if self.doc is None:
            raise UsageError(f"{self.folder}: {self.problem}", "Give the folder of a finished run.")
        return self.doc

    def competition(self, competition_id: str) -> RunCompetition | None:
        return next((c for c in self.competitions if c.doc.id == competition_id), None)


def find_runs(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The run folders among `paths` and directly below them, in the order of their names.

    Raises:
        UsageError: a path is not a folder, or there are more than `MAX_RUNS` runs.
    """
    folders: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path} is not a folder", "Give the folder of a run, or a folder of runs.")
        if _is_run(path):
            folders.append(path)
        else:
            folders.extend(sorted(child for child in _listed(path) if child.is_dir() and _is_run(child)))
    if len(folders) > MAX_RUNS:
        raise UsageError(f"{len(folders)} runs were given; at most {MAX_RUNS} can be shown", "Give fewer folders.")
    return tuple(dict.fromkeys(path.resolve() for path in folders))


def _listed(folder: Path) -> list[Path]:
    """The content of a folder of runs. Hidden folders are left out, such as the trash of a file manager."""
    try:
        return [child for child in folder.iterdir() if not child.name.startswith(".")]
    except OSError as error:
        raise UsageError(
            f"The folder {folder} cannot be listed ({error.strerror})", "Change its permissions, or give another."
        ) from error


def read_runs(folders: Iterable[Path]) -> tuple[Run, ...]:
    """Each folder as a `Run`. A run that cannot be read says so in `problem`."""
    taken: set[str] = set()
    return tuple(read_run(folder, _unique(slug(folder.name), taken)) for folder in folders)


def read_run(folder: Path, key: str) -> Run:
    """Read a run's folder. Nothing is raised if files are missing or broken: pages show `problem` and `notes`."""
    if not os.path.lexists(folder / "results.json"):
        problem = "This round is not finished: it has no results.json yet."
        return Run(key, folder, None, problem=problem, stamp=run_stamp(folder))
    stamp = run_stamp(folder)
    try:
        doc = read_results(folder / "results.json")
    except UsageError as error:
        # Name the file only: readers must not see paths of this machine.
        return Run(key, folder, None, problem=str(error).replace(f"{folder}/", ""), stamp=stamp)
    notes: list[str] = []
    lines: list[ScoreLine] = []
    try:
        for line in read_scores(folder / "scores.jsonl"):
            if isinstance(line, ScoreLine):
                lines.append(line)
            else:
                notes.append(line)
    except UsageError as error:
        notes.append(f"{error} Pages show means only.".replace(f"{folder}/", ""))
    if not lines and not notes:
        notes.append("scores.jsonl is empty. Pages show means only.")
    return run_of(folder, doc, lines, key=key, notes=notes, stamp=stamp)


def run_of(
    folder: Path,
    results: Results,
    lines: Iterable[ScoreLine],
    *,
    key: str = "",
    notes: Sequence[str] = (),
    stamp: tuple[int, ...] = (),
) -> Run:
    """A run from its results and scores. `folder` has its audio; `key` is made from the folder's name if empty."""
    by_competition: dict[str, list[ScoreLine]] = {}
    for line in lines:
        by_competition.setdefault(line.competition, []).append(line)
    missing: list[str] = []
    competitions = tuple(
        _competition(folder, competition, by_competition.get(competition.id, []), results.metrics, missing)
        for competition in results.competitions
    )
    # Without any line, a note says why.
    notes = [*notes, *missing] if by_competition else notes
    more = len(notes) - _NOTES
    shown = (*notes[:_NOTES], f"and {more} more") if more > 0 else tuple(notes)
    return Run(key or slug(folder.name), folder, results, competitions, notes=shown, stamp=stamp)


def run_stamp(folder: Path) -> tuple[int, ...]:
    """Numbers that change whenever a run's files are written again, or what others attest of it."""
    stamp: list[int] = []
    for name in ("results.json", "scores.jsonl", BUNDLE, LOG_PROOF, *_CHECKS):
        try:
            status = (folder / name).stat()
        except OSError:
            stamp += [0, 0]
        else:
            stamp += [status.st_mtime_ns, status.st_size]
    for votes in sorted((folder / "listening").glob("*/votes.jsonl")):
        stamp.append(votes.stat().st_size if votes.is_file() else 0)
    return tuple(stamp)


def slug(text: str) -> str:
    """The text as a name that is safe as one part of a path or a web address.

    >>> slug("../<script>"), slug("17-5F3sa2TJ")
    ('script', '17-5F3sa2TJ')
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", text)[:48].strip("-") or "x"


def _competition(
    folder: Path,
    doc: CompetitionDoc,
    lines: Sequence[ScoreLine],
    metrics: Mapping[str, MetricDoc],
    missing: list[str],
) -> RunCompetition:
    """The competition with its lines. What the lines lack is added to `missing`."""
    recipes = {line.id: line.recipe for line in lines}
    by_entry: dict[tuple[str, str], list[ScoreLine]] = {}
    baseline: list[ScoreLine] = []
    for line in lines:
        if line.model.startswith(_MODEL_OF_UNPROCESSED):
            baseline.append(line)
        else:
            by_entry.setdefault((line.entry, line.model), []).append(line)
    taken = {UNPROCESSED, *REFERENCES}
    faults: list[str] = []

    def complete(row: RowDoc, own_lines: Sequence[ScoreLine]) -> list[ScoreLine]:
        usable, own_faults = complete_lines(row, own_lines)
        faults.extend(own_faults)
        return usable

    entries = tuple(
        _entry(folder, row, complete(row, by_entry.get((row.hotkey or "", row.model or ""), [])), taken)
        for row in doc.entries
    )
    unprocessed = RunEntry(UNPROCESSED, doc.unprocessed, *_clips(complete(doc.unprocessed, baseline)), None)
    missing.extend((*faults_of_set(doc, lines), *(faults if lines else ())))
    return RunCompetition(
        doc,
        entries,
        unprocessed,
        tuple(sorted(recipes)),
        recipes,
        folder / "sets" / doc.id,
        metrics,
        _groups({line.id: line.groups for line in lines}),
    )


def _groups(by_clip: Mapping[str, Mapping[str, int]]) -> ClipGroups | None:
    """The groups of the clips; None unless all lines have the same factors."""
    ids = sorted(by_clip)
    factors = list(by_clip[ids[0]]) if ids else []
    if not factors or any(by_clip[clip_id].keys() != set(factors) for clip_id in ids):
        return None
    return ClipGroups(
        tuple(ids), {factor: tuple(str(by_clip[clip_id][factor]) for clip_id in ids) for factor in factors}
    )


def _entry(folder: Path, row: RowDoc, lines: Sequence[ScoreLine], taken: set[str]) -> RunEntry:
    name = f"{row.uid}-{(row.hotkey or '')[:12]}"
    audio = folder / "enhanced" / name
    # The hotkey is a stranger's text. Look for audio only if it is one plain part of a path.
    is_plain = "/" not in name and "\0" not in name and name not in (".", "..")
    audio_folder = audio if is_plain and audio.is_dir() and not audio.is_symlink() else None
    return RunEntry(_unique(slug(name), taken), row, *_clips(lines), audio_folder)


def _clips(lines: Sequence[ScoreLine]) -> tuple[dict[str, Mapping[str, float]], dict[str, FailureDoc]]:
    scores = {line.id: line.scores for line in lines if line.scores is not None}
    return dict(scores), {line.id: line.failure for line in lines if line.failure is not None}


def _unique(key: str, taken: set[str]) -> str:
    unique, number = key, 2
    while unique in taken:
        unique, number = f"{key}-{number}", number + 1
    taken.add(unique)
    return unique


def _is_run(folder: Path) -> bool:
    return (folder / "run.json").is_file() or (folder / "results.json").is_file()
