"""Publishes retired recordings: decrypted, with licence, source and proof.

The folder is a plain corpus with three kinds of files: `manifest.jsonl` and the audio, which `data.Corpus` reads;
`proofs.jsonl`, one line for each recording; and `statement.json`, the public facts whose hash is the root.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soundsright.core.content import sha256_of_file
from soundsright.core.errors import UsageError
from soundsright.core.folder_lock import locked
from soundsright.corpus.layout import (
    MAX_STATEMENT_BYTES,
    PUBLISHED,
    lines_of,
    published_through,
    read_bounded,
    write_file,
    write_json,
)
from soundsright.corpus.merkle import MerkleTree
from soundsright.corpus.private import Entry, PrivateCorpus
from soundsright.corpus.records import Leaf, Statement

STATEMENT = "statement.json"
PROOFS = "proofs.jsonl"
_OTHER_FOLDER = "Give a new folder, or the one to which this corpus was published before."


@dataclass(frozen=True)
class PublishReport:
    """`recordings` are in the folder now, and `written` of them are new."""

    folder: Path
    through: int
    recordings: int
    written: int


def publish_retired(
    corpus: PrivateCorpus,
    out: Path,
    *,
    through: int,
    only: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PublishReport:
    """Publish the recordings that no round after `through` can use, or only those with the ids `only`.

    What the folder has already is kept, so an interrupted command continues when it is run again.

    Raises:
        UsageError: a recording still lives, nothing has retired by then, or the folder has something else.
        AudioFileError: an encrypted file is missing or was changed.
    """
    chosen = {entry.leaf.id for entry in _retired(corpus, through, only)}
    if out.resolve().is_relative_to(corpus.folder.resolve()):
        raise UsageError(f"{out} lies in the private corpus", "Give a folder outside it.")
    with locked(corpus.folder):
        noted = published_through(corpus.folder)  # It may have been published since it was opened.
        last = through if noted is None else max(through, noted)
        listed = _listed_before(corpus, out, last)
        entries = [entry for entry in corpus.entries if entry.leaf.id in chosen | listed]
        # Note it first: after a crash, a round on these recordings must not count as private.
        if noted is None or noted < last:
            write_json(corpus.folder / PUBLISHED, {"through": last})
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / STATEMENT, statement_values(corpus.statement, last))
        written = 0
        for done, entry in enumerate(entries, 1):
            written += _write_audio(out / published_file(entry.leaf), entry)
            progress(done, len(entries))
        trees = {number: _tree_of(corpus, number) for number in {entry.batch for entry in entries}}
        _write_lines(out / PROOFS, [_proof_line(entry, trees[entry.batch]) for entry in entries])
        _write_lines(out / "manifest.jsonl", [manifest_line(entry.leaf) for entry in entries])
    return PublishReport(out, last, len(entries), written)


def published_file(leaf: Leaf) -> str:
    """The path of a published recording below its folder."""
    return f"{leaf.kind}/{leaf.id}.flac"


def manifest_line(leaf: Leaf) -> dict[str, Any]:
    """The line of a published recording in `manifest.jsonl`."""
    return {
        "id": leaf.id,
        "kind": leaf.kind,
        "file": published_file(leaf),
        "source": leaf.source,
        "made_from": [leaf.name],
        "speaker": leaf.speaker or None,
        "group": leaf.group,
        "language": leaf.language,
        "text": leaf.text,
        "licence": leaf.licence,
        "sample_rate_hz": leaf.sample_rate_hz,
        "duration_s": leaf.duration_s,
        "bandwidth_hz": leaf.bandwidth_hz,
        "sha256": leaf.sha256,
    }


def statement_values(statement: Statement, through: int) -> dict[str, Any]:
    """The content of `statement.json`."""
    return {**statement.values, "root": statement.root, "published_through": through}


@dataclass(frozen=True)
class PublishedStatement:
    """The statement of a published folder, and the last round whose recordings it has."""

    statement: Statement
    through: int


def read_published_statement(path: Path) -> PublishedStatement:
    """The statement in a published folder.

    Raises:
        UsageError: it is missing or damaged, or its root is not that of its facts.
    """
    try:
        values: Any = json.loads(read_bounded(path, MAX_STATEMENT_BYTES))
        statement = Statement.of(values)
        through = values.get("published_through")
        if type(through) is not int:
            raise ValueError("published_through is not a number")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not the statement of a corpus: {error}", "Fetch it again.") from error
    if values.get("root") != statement.root:
        raise UsageError(
            f"{path} states the root {str(values.get('root'))[:64]}, but its facts have the root {statement.root}",
            "Fetch it again, and compare the root with the one on the chain.",
        )
    return PublishedStatement(statement, through)


def _retired(corpus: PrivateCorpus, through: int, only: Collection[str]) -> list[Entry]:
    life = corpus.life
    last = life.retired_round_of(life.cohorts - 1) - 1
    if not corpus.first_round <= through <= last:
        raise UsageError(
            f"No recording retires with round {through}",
            f"Choose --through from {corpus.first_round} to {last}.",
        )
    asked = [corpus.entry(recording_id) for recording_id in only] if only else corpus.entries
    retired = [entry for entry in asked if life.retired_round_of(entry.cohort) <= through + 1]
    if only and len(retired) < len(asked):
        living = next(entry for entry in asked if life.retired_round_of(entry.cohort) > through + 1)
        raise UsageError(
            f"The recording {living.leaf.id} still lives until round {life.retired_round_of(living.cohort) - 1}",
            "Publish it with --through that round, when that round has been decided.",
        )
    return retired


def _listed_before(corpus: PrivateCorpus, out: Path, last: int) -> set[str]:
    """The recordings that the folder lists; none for a new folder.

    Others may have changed a public folder, so it does not decide what is published: every recording that it lists
    must have retired after round `last`.
    """
    if not out.exists() or all(path.name == f".{STATEMENT}.part" for path in out.iterdir()):
        return set()
    if not (out / STATEMENT).is_file():
        raise UsageError(f"{out} is not empty and has no {STATEMENT}", _OTHER_FOLDER)
    earlier = read_published_statement(out / STATEMENT)
    root = earlier.statement.root
    if root not in (*corpus.statement.earlier_roots, corpus.statement.root):
        raise UsageError(f"{out} has recordings of another corpus, with the root {root}", _OTHER_FOLDER)
    path, listed = out / PROOFS, set()
    for number, line in enumerate(lines_of(path) if path.is_file() else (), 1):
        if not isinstance(line.get("id"), str):
            raise UsageError(f"{path}, line {number}, is not that of a recording", "Restore the folder.")
        entry = corpus.entry(line["id"])
        until = corpus.retired_round_of(entry.leaf.id) - 1
        if until > last:
            raise UsageError(
                f"{path} lists {entry.leaf.id}, which still lives until round {until}",
                "Restore the folder, or publish with --through that round if it has been decided.",
            )
        listed.add(entry.leaf.id)
    if earlier.through > last:
        raise UsageError(
            f"{out / STATEMENT} states round {earlier.through}, but only round {last} was published here",
            f"Restore the folder, or publish with --through {earlier.through} if that round has been decided.",
        )
    return listed


def _write_audio(path: Path, entry: Entry) -> bool:
    if path.is_file() and not path.is_symlink() and sha256_of_file(path) == entry.leaf.sha256:
        return False
    path.parent.mkdir(exist_ok=True)
    write_file(path, entry.sealed.read())
    return True


def _tree_of(corpus: PrivateCorpus, number: int) -> MerkleTree:
    return MerkleTree([entry.leaf.hash for entry in corpus.entries if entry.batch == number])


def _proof_line(entry: Entry, tree: MerkleTree) -> dict[str, Any]:
    return {
        "id": entry.leaf.id,
        "batch": entry.batch,
        "index": entry.index,
        "leaf": asdict(entry.leaf),
        "proof": [sibling.hex() for sibling in tree.proof(entry.index)],
    }


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    write_file(path, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode())
