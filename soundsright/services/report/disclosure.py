"""Publishes what a round kept private, once its recordings have retired.

The private folder of a round has its audio and the manifests with the recipes. Files are moved out of it first.
Then the documents are written again, and the empty folder is removed. If this is interrupted, it can be done again.

The enhanced audio stays until all clips of its competition are published: a model could have written a clip that is
still private into its output for another one.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.submission import entry_id_of
from soundsright.core.text_files import objects_of_file
from soundsright.services.records import (
    BUNDLE,
    RecipeDoc,
    Results,
    ScoreLine,
    has_record,
    read_results,
    read_scores,
    write_bundle,
)
from soundsright.services.report.html import write_round
from soundsright.services.rounds import PRIVATE_FOLDER, shown_line, write_manifest

IsRetired = Callable[[Sequence[str]], bool]
"""Whether anybody may hear these recordings of a private corpus now."""
_REMEDY = "Restore the folder from a backup."
_MAX_MANIFEST_BYTES = 256 << 20
"""A line has about 1 kB, and a set at most 100 000 clips."""


@dataclass(frozen=True)
class Disclosure:
    """The clips of a round that were published now, and those that are still private."""

    published: int
    still_private: int


def disclose(folder: Path, is_retired: IsRetired) -> Disclosure:
    """Publish the clips of a finished round whose recordings have retired.

    Raises:
        UsageError: the round is not finished, or its private folder is damaged.
        InfrastructureFault: the disk is full or not writable.
    """
    private = folder / PRIVATE_FOLDER
    if not private.is_dir():
        return Disclosure(0, 0)
    results = read_results(folder / "results.json")
    manifests = {
        c.id: tuple(manifest_lines(private / "sets" / c.id / "manifest.jsonl")) for c in results.competitions
    }
    opened = {
        (competition, str(line["id"])): line
        for competition, lines in manifests.items()
        for line in lines
        if is_retired(line.get("private_ids", ()))
    }
    before = 0 if results.round.corpus is None else results.round.corpus.private_clips
    left = sum(map(len, manifests.values())) - len(opened)
    complete = {
        name for name, lines in manifests.items() if all((name, str(line["id"])) in opened for line in lines)
    }
    _move_audio(folder, results, opened, complete)
    if left != before:
        _write_documents(folder, results, manifests, opened, left)
    if left == 0:
        _move_rest(folder)
    return Disclosure(before - left, left)


def manifest_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The lines of the manifest of a round's set.

    Raises:
        UsageError: it cannot be read or is too large, or a line is not that of a clip.
    """
    try:
        for _, line in objects_of_file(path, _MAX_MANIFEST_BYTES, _REMEDY):
            # Files are named by the id, so it must be a plain name.
            if not isinstance(line.get("private_ids", []), list) or not re.fullmatch(r"\w+", str(line["id"])):
                raise ValueError("a line is not that of a clip")
            yield line
    except (ValueError, KeyError) as error:
        raise UsageError(f"{path} cannot be used ({error})", _REMEDY) from error


def _move_audio(
    folder: Path, results: Results, opened: Mapping[tuple[str, str], object], complete: Collection[str]
) -> None:
    """Move the audio of opened clips out of the private folder, and the enhanced audio of complete competitions.

    Files that were moved before are left out.
    """
    private = folder / PRIVATE_FOLDER
    for competition, clip in opened:
        for role in ("clean", "degraded"):
            _move(private, folder, Path("sets", competition, role, f"{clip}.wav"))
    competition_of = {
        entry_id_of(row.uid, row.hotkey): competition.id
        for competition in results.competitions
        for row in competition.entries
        if row.uid is not None and row.hotkey is not None
    }
    for path in sorted((private / "enhanced").glob("*/*.wav")):
        if competition_of.get(path.parent.name) in complete:
            _move(private, folder, path.relative_to(private))


def _move_rest(folder: Path) -> None:
    """Move what is left out of the private folder, such as the logs of models, and remove the folder."""
    private = folder / PRIVATE_FOLDER
    for path in sorted(private.rglob("*")):
        if path.is_file() and path.name != "manifest.jsonl":
            _move(private, folder, path.relative_to(private))
    shutil.rmtree(private)


def _move(private: Path, folder: Path, name: Path) -> None:
    source, target = private / name, folder / name
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.chmod(0o644)
        source.replace(target)


def _write_documents(
    folder: Path,
    results: Results,
    manifests: Mapping[str, Sequence[Mapping[str, Any]]],
    opened: Mapping[tuple[str, str], Mapping[str, Any]],
    left: int,
) -> None:
    """Write the manifests, the scores, the report and the results again, and the bundle if there is one."""
    for competition, lines in manifests.items():
        shown = folder / "sets" / competition
        shown.mkdir(parents=True, exist_ok=True)
        write_manifest(
            shown, [shown_line(line, disclosed=(competition, str(line["id"])) in opened) for line in lines]
        )
    assert results.round.corpus is not None
    corpus = results.round.corpus.model_copy(update={"private_clips": left})
    round_doc = results.round.model_copy(update={"corpus": corpus})
    write_round(folder, results.model_copy(update={"round": round_doc}), list(_scores(folder, opened)))
    bundle = folder / BUNDLE
    if bundle.is_file() and not bundle.is_symlink() and has_record(folder):
        write_bundle(folder, bundle)


def _scores(folder: Path, opened: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[ScoreLine]:
    for line in read_scores(folder / "scores.jsonl"):
        if isinstance(line, str):
            raise UsageError(f"{folder}: {line}", _REMEDY)
        recipe = opened.get((line.competition, line.id))
        yield line if recipe is None else line.model_copy(update={"recipe": RecipeDoc.model_validate(recipe)})
