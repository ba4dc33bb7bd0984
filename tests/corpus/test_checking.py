from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import UsageError
from soundsright.corpus import PrivateCorpus, add_to_corpus, check_private, check_published, publish_retired
from tests.corpus.conftest import ChangeByte, some


@pytest.fixture
def published(copied: tuple[Path, Path], tmp_path: Path) -> Path:
    publish_retired(PrivateCorpus.open(*copied), tmp_path / "out", through=2)
    return tmp_path / "out"


def change_lines(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the first line of a JSON-lines file."""
    first, *rest = path.read_text().splitlines()
    line = json.loads(first)
    change(line)
    path.write_text("\n".join([json.dumps(line, sort_keys=True), *rest]) + "\n")


def test_an_intact_corpus_has_no_problems(corpus: PrivateCorpus) -> None:
    check = check_private(corpus, root=corpus.root)
    assert (check.checked, check.problems) == (34, {})


def test_a_changed_missing_or_foreign_file_of_a_private_corpus_is_named(
    copied: tuple[Path, Path], change_byte: ChangeByte
) -> None:
    corpus = PrivateCorpus.open(*copied)
    changed, missing = corpus.entries[3].sealed.path, corpus.entries[7].sealed.path
    change_byte(changed)
    missing.unlink()
    foreign = copied[0] / "batches" / "0000" / "notes.txt"
    foreign.write_text("hello")
    problems = check_private(corpus).problems
    assert set(problems) == {str(changed), str(missing), str(foreign)}
    assert problems[str(changed)] == "was changed since it was encrypted"


def test_a_published_file_changed_by_one_byte_is_named(published: Path, change_byte: ChangeByte) -> None:
    assert check_published(published).problems == {}
    path = next((published / "speech").glob("*.flac"))
    change_byte(path)
    assert check_published(published).problems == {
        str(path): "differs from the SHA-256 to which the root commits",
    }


def test_another_root_is_refused(published: Path, corpus: PrivateCorpus) -> None:
    with pytest.raises(UsageError, match=f"has the root {corpus.root}, not {'0' * 64}"):
        check_published(published, root="0" * 64)
    with pytest.raises(UsageError, match="has the root"):
        check_private(corpus, root="0" * 64)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda line: line["leaf"].update(text="Another sentence."), "has a proof that does not lead to the root"),
        (lambda line: line["leaf"].update(cohort=0 if line["leaf"]["cohort"] else 1), "does not lead to the root"),
        (lambda line: line["leaf"].update(cohort=True), "cohort has another type"),
        (lambda line: line.update(index=line["index"] + 1), "does not lead to the root"),
        (lambda line: line.update(index=-1), "There is no leaf -1"),
        (lambda line: line.update(proof=line["proof"][1:]), "The proof is too short"),
        (lambda line: line.update(proof=["00"]), "has a proof that is not a list of hashes"),
        (lambda line: line.update(batch=7), "has no place in the corpus"),
        (lambda line: line["leaf"].update(id="../../etc/passwd"), "is not allowed"),
        (lambda line: line["leaf"].pop("salt"), "a field is missing"),
    ],
)
def test_a_changed_proof_is_named(published: Path, change: Callable[[dict[str, Any]], None], problem: str) -> None:
    change_lines(published / "proofs.jsonl", change)
    problems = check_published(published).problems
    assert any(problem in text for text in problems.values()), problems


def test_a_recording_without_a_proof_or_with_other_facts_is_named(published: Path) -> None:
    change_lines(published / "manifest.jsonl", lambda line: line.update(licence="CC0-1.0"))
    assert "is described otherwise in manifest.jsonl" in " ".join(check_published(published).problems.values())
    lines = (published / "proofs.jsonl").read_text().splitlines()
    (published / "proofs.jsonl").write_text("\n".join(lines[1:]) + "\n")
    assert "has no proof" in check_published(published).problems.values()


def test_a_link_in_place_of_a_recording_is_not_followed(published: Path, tmp_path: Path) -> None:
    path = next((published / "speech").glob("*.flac"))
    path.rename(tmp_path / "elsewhere.flac")
    path.symlink_to(tmp_path / "elsewhere.flac")
    assert check_published(published).problems == {str(path): "is missing"}


def test_a_recording_published_too_early_is_named(published: Path, corpus: PrivateCorpus) -> None:
    statement = json.loads((published / "statement.json").read_text())
    (published / "statement.json").write_text(json.dumps(statement | {"published_through": 0}))
    problems = check_published(published).problems
    assert problems
    assert all("lives until round" in problem for problem in problems.values())


def test_an_earlier_root_covers_only_its_own_recordings(copied: tuple[Path, Path], tmp_path: Path) -> None:
    before = PrivateCorpus.open(*copied)
    add_to_corpus(before, [*some("speech", range(3), seed=1), *some("noise", range(1), seed=1)])
    corpus = PrivateCorpus.open(*copied)
    publish_retired(corpus, tmp_path / "all", through=8)
    assert check_published(tmp_path / "all", root=corpus.root).problems == {}
    problems = check_published(tmp_path / "all", root=before.root).problems
    assert {p for p in problems.values() if p == "was added after the root that you gave"}


@pytest.mark.parametrize("content", [b"[1]\n", b"{\n", b"{}" + b" " * 200_000 + b"\n", b"[" * 90_000 + b"\n"])
def test_a_damaged_list_of_proofs_is_one_clear_error(published: Path, content: bytes) -> None:
    (published / "proofs.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match=r"proofs\.jsonl, line 1, is"):
        check_published(published)


def test_a_statement_with_another_root_is_refused(published: Path) -> None:
    statement = json.loads((published / "statement.json").read_text())
    (published / "statement.json").write_text(json.dumps(statement | {"uses": 4}))
    with pytest.raises(UsageError, match="but its facts have the root"):
        check_published(published)
