"""Make the record of a finished round: the round document and the files that it names.

The record is written once, when the round ends, into the folder `bundle` of the run. It does not change later,
because its document is signed. The audio is added when the bundle is packed (`round_packing.py`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.ports import Account, StateStore
from soundsright.core.sources import ImageRef
from soundsright.services.records.outcome import scores_of_copies, scores_text
from soundsright.services.records.results import Results, ScoreLine
from soundsright.services.records.round_document import (
    DecisionFacts,
    EntryFacts,
    FileFacts,
    RefusalFacts,
    RoundDocument,
    RoundFacts,
    RulesetFacts,
    SetFacts,
    round_file,
)
from soundsright.services.records.round_leaves import (
    INDEX,
    answer_leaf,
    clip_leaf,
    index_of,
    recipes_digest,
    root_of,
    score_leaf,
)
from soundsright.services.records.round_steps import plan_file, shown_steps, snapshot_facts
from soundsright.services.rounds import (
    PRIVATE_FOLDER,
    ClipSet,
    RoundOutcome,
    flush_files,
    make_folder,
    recipe_sha256,
    steps,
    write_text,
)

RECORD = "bundle"
"""The folder in a run's folder with its record."""
COMMITTED = "committed.json"
"""The file beside a record that names the block of the signer's commitment."""

Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RoundRecord:
    """A round document and the texts of the files that it names, by name."""

    document: RoundDocument
    texts: Mapping[str, str]


def round_record(
    outcome: RoundOutcome, results: Results, scores: Iterable[ScoreLine], state: StateStore, folder: Path
) -> RoundRecord:
    """The record of a round that has ended. `folder` has its audio.

    Raises:
        UsageError: audio that the round used is missing.
        InfrastructureFault: a file cannot be read.
    """
    round_id = outcome.plan.round.id
    recorded = state.steps(round_id)
    private = {name for name, clips in outcome.sets.items() if clips.hidden}
    clips = [line for each in outcome.sets.values() for line in _clip_lines(each)]
    answers = list(_answers(outcome, state, folder))
    rows = [json.loads(line) for line in scores_text((*scores, *scores_of_copies(outcome))).splitlines() if line]
    plan = plan_file(outcome.plan, state.round_facts(round_id) or {}, state)
    shown = shown_steps(round_id, recorded, private)
    texts = {
        "results.json": json.dumps(results.as_json(), indent=1, allow_nan=False) + "\n",
        "plan.json": canonical_json(plan) + "\n",
        "steps.jsonl": _lines(shown),
        "clips.jsonl": _lines(clips),
        "answers.jsonl": _lines(answers),
        "scores.jsonl": _lines(rows),
        **{f"sets/{name}/manifest.jsonl": _manifest(folder, name) for name in outcome.sets},
        INDEX: canonical_json(_index(clips, answers)) + "\n",
    }
    return RoundRecord(_document(outcome, results, plan, recorded, texts, _Trees(clips, answers, rows)), texts)


def write_record(record: RoundRecord, folder: Path, account: Account | None) -> str:
    """Write the record into the folder of the run, and return the SHA-256 of its document.

    An earlier record is replaced. Without an account, the document is not signed.

    Raises:
        InfrastructureFault: the disk is full or not writable.
    """
    part, target = folder / f".{RECORD}.part", folder / RECORD
    texts = {**record.texts, "round.json": round_file(record.document, account)}
    try:
        shutil.rmtree(part, ignore_errors=True)
        for name, text in texts.items():
            make_folder((part / name).parent)
            write_text(part / name, text)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
        flush_files(folder, ())
    except OSError as error:
        raise InfrastructureFault(f"{target} cannot be written ({error})", "Free some disk space.") from error
    return hashlib.sha256(canonical_json(record.document.facts()).encode()).hexdigest()


@dataclass(frozen=True)
class _Trees:
    """The lines from which the roots of a document are made."""

    clips: Lines
    answers: Lines
    scores: Lines

    def clips_of(self, competition: str) -> Lines:
        return [line for line in self.clips if line["competition"] == competition]


def _document(
    outcome: RoundOutcome,
    results: Results,
    plan: Mapping[str, Any],
    recorded: Mapping[str, Mapping[str, Any]],
    texts: Mapping[str, str],
    trees: _Trees,
) -> RoundDocument:
    begun, seeds = results.round, {c.id: c for c in results.competitions}
    raw = {name: text.encode() for name, text in texts.items()}
    snapshot = snapshot_facts(begun.entries_close_block, plan["registrations"])
    return RoundDocument(
        schema="soundsright.round/1",
        round=RoundFacts(
            id=begun.id,
            entries_close_block=begun.entries_close_block,
            seed_block=begun.seed_block,
            seed_block_hash=begun.seed_block_hash,
        ),
        ruleset=RulesetFacts(name=begun.ruleset, digest=begun.ruleset_digest),
        plan=_sha256(canonical_json(plan["plan"])),
        snapshot=_sha256(snapshot) if plan["registrations"] else None,
        entries=tuple(_entries(outcome, recorded, trees)),
        competitions=tuple(
            _set(name, clips, seeds[name].seed, outcome.unprocessed[name].submission.hotkey, trees)
            for name, clips in outcome.sets.items()
        ),
        refusals=tuple(
            RefusalFacts(
                hotkey=r.hotkey,
                uid=r.uid,
                competition=r.competition_id,
                entry=r.label,
                code=r.code,
                sentence=r.sentence,
                evidence=dict(r.evidence),
            )
            for r in outcome.refusals
        ),
        decisions=tuple(
            DecisionFacts(competition=c.id, metric=d.metric, winner=d.winner, evidence=d.evidence)
            for c in results.competitions
            for d in c.decisions
        ),
        shares={
            board.competition.id: dict(_shares(recorded, board.competition.id)) for board in outcome.leaderboards
        },
        weights={str(uid): weight for uid, weight in outcome.weights.by_uid.items()},
        versions=results.versions,
        files={
            name: FileFacts(sha256=hashlib.sha256(text).hexdigest(), bytes=len(text)) for name, text in raw.items()
        },
    )


def _entries(
    outcome: RoundOutcome, recorded: Mapping[str, Mapping[str, Any]], trees: _Trees
) -> Iterable[EntryFacts]:
    done = steps.RoundSteps(outcome.plan.round.id, recorded)
    entries, duplicates = done.get(steps.ENTRIES), done.get(steps.DUPLICATES)
    sketches = {} if duplicates is None else duplicates.sketches
    answers = _grouped(trees.answers, lambda line: line["entry"])
    scores = _grouped(trees.scores, lambda line: (line["competition"], line["entry"]))
    for each in entries.submissions if entries else ():
        fetched, sketch = done.get(steps.fetch(each.entry_id)), sketches.get(each.entry_id)
        built = done.get(steps.image(each.entry_id))
        pulled = str(each.source) if isinstance(each.source, ImageRef) else None
        own, lines = answers.get(each.entry_id, []), scores.get((each.competition_id, each.hotkey), [])
        yield EntryFacts(
            entry=each.entry_id,
            hotkey=each.hotkey,
            uid=each.uid,
            competition=each.competition_id,
            reference=str(each.source),
            block=each.block,
            content_hash=fetched.content_hash if fetched else None,
            tensors=_sha256(sketch) if sketch else None,
            image=built.content if built else pulled,
            image_reproducible=built.repeatable if built else None,
            answers_root=root_of(map(answer_leaf, own)) if own else None,
            answers_count=len(own),
            scores_root=root_of(map(score_leaf, lines)) if lines else None,
        )


def _set(name: str, clips: ClipSet, seed: int, unprocessed: str, trees: _Trees) -> SetFacts:
    lines = trees.clips_of(name)
    scores = [line for line in trees.scores if (line["competition"], line["entry"]) == (name, unprocessed)]
    return SetFacts(
        id=name,
        seed=seed,
        clips=len(lines),
        set_digest=clips.digest,
        recipes_digest=recipes_digest(lines),
        clips_root=root_of(map(clip_leaf, lines)),
        unprocessed_root=root_of(map(score_leaf, scores)) if scores else None,
    )


def _clip_lines(clips: ClipSet) -> Iterable[dict[str, Any]]:
    """The lines of clips.jsonl of one set. The digest of a hidden recipe is salted."""
    for clip in clips.clip_ids:
        hidden = clips.hidden.get(clip)
        yield {
            "competition": clips.competition.id,
            "clip": clip,
            "clean": _sha256_of(clips.folder / "clean" / f"{clip}.wav"),
            "degraded": _sha256_of(clips.folder / "degraded" / f"{clip}.wav"),
            "recipe": recipe_sha256(clips.recipes[clip], "") if hidden is None else hidden.recipe_sha256,
        }


def _answers(outcome: RoundOutcome, state: StateStore, folder: Path) -> Iterable[dict[str, Any]]:
    round_id = outcome.plan.round.id
    entries = steps.RoundSteps(round_id, state.steps(round_id)).get(steps.ENTRIES)
    audio = folder / PRIVATE_FOLDER if outcome.plan.measures.material.is_private else folder
    for each in entries.submissions if entries else ():
        for result in state.clip_results(round_id, each.entry_id):
            answer = (
                None if result.failure else _sha256_of(audio / "enhanced" / each.entry_id / f"{result.clip_id}.wav")
            )
            yield {
                "competition": each.competition_id,
                "entry": each.entry_id,
                "clip": result.clip_id,
                "sha256": answer,
                **({} if result.failure is None else {"failure": result.failure.code}),
            }


def _index(clips: Lines, answers: Lines) -> Mapping[str, Any]:
    return index_of(
        {
            "clips.jsonl": [(line["competition"], canonical_json(line)) for line in clips],
            "answers.jsonl": [(line["entry"], canonical_json(line)) for line in answers],
        }
    )


def _shares(recorded: Mapping[str, Mapping[str, Any]], competition: str) -> Mapping[str, float]:
    decided = steps.RoundSteps("", recorded).get(steps.decide(competition))
    return {} if decided is None else decided.shares


def _manifest(folder: Path, competition: str) -> str:
    path = folder / "sets" / competition / "manifest.jsonl"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InfrastructureFault(f"{path} cannot be read ({error.strerror})", "Put the file back.") from error


def _grouped(lines: Lines, key: Any) -> dict[Any, list[Mapping[str, Any]]]:
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault(key(line), []).append(line)
    return groups


def _lines(lines: Lines) -> str:
    return "".join(f"{canonical_json(line)}\n" for line in lines)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise UsageError(f"{path} is missing", "Put the file back: the round's bundle needs its digest.") from error
    except OSError as error:
        raise InfrastructureFault(f"{path} cannot be read ({error.strerror})", "Check the disk.") from error
