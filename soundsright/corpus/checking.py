"""Checks the files of a private corpus, or of a folder of published recordings, against the root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.content import sha256_of_file
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.corpus.layout import MANIFEST, batch_folder, lines_of
from soundsright.corpus.merkle import root_from_proof
from soundsright.corpus.private import PrivateCorpus
from soundsright.corpus.publishing import (
    PROOFS,
    STATEMENT,
    manifest_line,
    published_file,
    read_published_statement,
)
from soundsright.corpus.records import Leaf, Statement, is_hex


@dataclass
class Check:
    """The root, the number of recordings checked, and the problem of each damaged file, by path."""

    kind: str
    root: str
    checked: int = 0
    problems: dict[str, str] = field(default_factory=dict)


Progress = Callable[[int, int], None]


def check_private(
    corpus: PrivateCorpus, *, root: str | None = None, progress: Progress = lambda done, total: None
) -> Check:
    """Decrypt every recording in memory and compare it with its digest. Opening the corpus has checked its root.

    Raises:
        UsageError: `root` is not a root of this corpus.
    """
    _expect(corpus.statement, root, corpus.folder)
    check = Check("private corpus", corpus.root)
    for done, entry in enumerate(corpus.entries, 1):
        try:
            entry.sealed.read()
        except AudioFileError as error:
            check.problems[error.path] = error.problem.removeprefix(f"{error.path}: ")
        check.checked += 1
        progress(done, len(corpus.entries))
    expected = {entry.sealed.path for entry in corpus.entries}
    for number in range(len(corpus.statement.batches)):
        expected.add(batch_folder(corpus.folder, number) / MANIFEST)
    for path in sorted((corpus.folder / "batches").rglob("*")):
        if path.is_file() and path not in expected:
            check.problems[str(path)] = "is not a file of this corpus; an interrupted command may have left it"
    return check


def check_published(
    folder: Path, *, root: str | None = None, progress: Progress = lambda done, total: None
) -> Check:
    """Check each published recording against its digest, its proof and the root.

    Raises:
        UsageError: the folder has no statement or no proofs, or `root` is not a root of this corpus.
    """
    published = read_published_statement(folder / STATEMENT)
    statement, through = published.statement, published.through
    covered = _expect(statement, root, folder)
    check = Check("published recordings", statement.root)
    manifest = {str(line.get("id")): line for line in lines_of(folder / "manifest.jsonl")}
    proofs = list(lines_of(folder / PROOFS))
    for done, line in enumerate(proofs, 1):
        progress(done, len(proofs))
        try:
            leaf = _proven(statement, covered, line)
        except (ValueError, KeyError, TypeError) as error:
            check.problems[f"{folder / PROOFS}, recording {str(line.get('id'))[:80]!r}"] = str(error)
            continue
        path = folder / published_file(leaf)
        check.checked += 1
        problem = _problem_of(path, leaf, manifest.pop(leaf.id, None))
        retired = statement.life.retired_round_of(statement.first_cohort_of(line["batch"]) + leaf.cohort)
        if problem is None and retired > through + 1:
            problem = f"lives until round {retired - 1}, but the folder states that round {through} was the last"
        if problem is not None:
            check.problems[str(path)] = problem
    for recording_id in manifest:
        check.problems[f"{folder / 'manifest.jsonl'}, recording {recording_id[:80]!r}"] = "has no proof"
    return check


def _expect(statement: Statement, root: str | None, folder: Path) -> int:
    """How many batches the expected root covers; all if no root is expected.

    Raises:
        UsageError: it is not a root of this corpus.
    """
    roots = (*statement.earlier_roots, statement.root)
    if root is None:
        return len(roots)
    if root not in roots:
        raise UsageError(
            f"{folder} has the root {statement.root}, not {root}",
            "Ask for the folder of the corpus that was committed on the chain.",
        )
    return roots.index(root) + 1


def _proven(statement: Statement, covered: int, line: dict[str, Any]) -> Leaf:
    """The recording of a proof.

    Raises:
        ValueError: the proof does not lead to the root.
    """
    leaf = Leaf.of(line["leaf"])
    number, index, proof = line["batch"], line["index"], line["proof"]
    if type(number) is not int or type(index) is not int or not 0 <= number < len(statement.batches):
        raise ValueError("has no place in the corpus")
    if number >= covered:
        raise ValueError("was added after the root that you gave")
    if not isinstance(proof, list) or not all(is_hex(sibling, 64) for sibling in proof):
        raise ValueError("has a proof that is not a list of hashes")
    batch = statement.batches[number]
    siblings = [bytes.fromhex(sibling) for sibling in proof]
    if root_from_proof(leaf.hash, index, batch.recordings, siblings).hex() != batch.root:
        raise ValueError("has a proof that does not lead to the root")
    if leaf.cohort >= batch.cohorts:
        raise ValueError("is in a cohort that its batch does not have")
    return leaf


def _problem_of(path: Path, leaf: Leaf, line: dict[str, Any] | None) -> str | None:
    if line is None:
        return "is not in manifest.jsonl"
    if path.is_symlink() or not path.is_file():
        return "is missing"
    if sha256_of_file(path) != leaf.sha256:
        return "differs from the SHA-256 to which the root commits"
    return None if line == manifest_line(leaf) else "is described otherwise in manifest.jsonl than in its proof"
