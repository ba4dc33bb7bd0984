"""Manifests that were cut, edited or written by others: each reader ends in a result or in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import UsageError
from soundsright.data.corpora import Corpus
from soundsright.data.origins import compared
from soundsright.data.reading import read_set
from soundsright.data.verify import verified

from .conftest import write_speech

LINE = {
    "id": "u0",
    "digest": "0" * 64,
    "drawn_from": {"speakers": ["p1"], "noises": [], "rooms": []},
    "files": {},
    "sha256": {},
}
BAD = {
    "deep": "[" * 100_000,
    "huge number": '{"id": ' + "9" * 5_000 + "}",
    "half a character": r'{"id": "\ud800"}',
    "NUL": '{"id": "\0"}',
    "list": "[]",
    "text": '"x"',
    "no fields": "{}",
    "wrong types": '{"id": [], "digest": {}, "files": 1, "sha256": 2, "drawn_from": 3, "kind": 4, "file": 5}',
    "not UTF-8": b"caf\xe9".decode("latin-1"),
}
READERS: dict[str, Callable[[Path], Any]] = {
    "verified": verified,
    "compared": lambda folder: compared(folder, folder),
    "read_set": lambda folder: list(read_set(folder)),
    "corpus": Corpus.open,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", BAD)
def test_a_damaged_line_ends_in_a_sentence_that_names_it(tmp_path: Path, reader: str, name: str) -> None:
    (tmp_path / "set.json").write_text('{"guessed_groups": {}}')
    encoding = "latin-1" if name == "not UTF-8" else "utf-8"
    (tmp_path / "manifest.jsonl").write_text(f"\n{BAD[name]}\n", encoding=encoding)
    with pytest.raises(UsageError, match=r"manifest\.jsonl, line 2") as told:
        READERS[reader](tmp_path)
    assert len(str(told.value)) < 600


@pytest.mark.parametrize("name", ["deep", "huge number", "list", "not UTF-8"])
def test_a_damaged_description_of_a_set_ends_in_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(json.dumps(LINE) + "\n")
    (tmp_path / "set.json").write_text(BAD[name], encoding="latin-1")
    for reader in ("verified", "compared"):
        with pytest.raises(UsageError, match=r"set\.json"):
            READERS[reader](tmp_path)


def test_a_damaged_receipt_ends_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".soundsright-fetch.json").write_text("[]")
    with pytest.raises(UsageError, match=r"\.soundsright-fetch\.json is not an object"):
        verified(tmp_path)


def test_a_byte_order_mark_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    write_speech(tmp_path / "a.wav")
    lines = "\ufeff\n" + json.dumps({"id": "a", "kind": "speech", "file": "a.wav", "speaker": "p1"}) + "\r\n\r\n"
    (tmp_path / "manifest.jsonl").write_text(lines, encoding="utf-8")
    assert [r.speaker for r in Corpus.open(tmp_path).speech] == ["p1"]
    (tmp_path / "manifest.jsonl").write_text("\ufeff" + json.dumps(LINE) + "\n\n", encoding="utf-8")
    assert compared(tmp_path, tmp_path).shared.speakers == {"p1"}


@pytest.mark.parametrize("name", ["a\0.wav", "caf\ud8e9.wav"])
def test_a_line_with_an_impossible_name_ends_in_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"id": "a", "kind": "speech", "file": name}) + "\n")
    with pytest.raises(UsageError, match="line 1"):
        Corpus.open(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"kind": ["x"]}, {"file": 1}, {"sha256": 5}, {"file": "a\0.wav"}],
    ids=["kind", "file", "sha256", "NUL"],
)
def test_verify_names_the_line_of_a_corpus_with_fields_of_other_types(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    line = {"kind": "noise", "file": "a.wav", "sha256": "0" * 64}
    lines = [line, line | change]
    (tmp_path / "manifest.jsonl").write_text("\n" + "".join(json.dumps(each) + "\n" for each in lines))
    with pytest.raises(UsageError, match=r"manifest\.jsonl, line 3, "):
        verified(tmp_path)


@pytest.mark.parametrize("change", [{"id": 1}, {"id": "a\0"}, {"speech": []}, {"pieces": [1]}], ids=str)
def test_verify_names_the_line_of_a_rounds_set_with_other_types(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "degraded").mkdir()
    line = {"id": "000000", "digest": "0" * 64, "speech": "u0"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line | change) + "\n")
    with pytest.raises(UsageError, match=r"manifest\.jsonl, line 2, does not describe a clip"):
        verified(tmp_path)


def test_verify_names_the_line_of_a_set_with_fields_of_other_types(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text("{}")
    (tmp_path / "manifest.jsonl").write_text(json.dumps(LINE | {"files": {"clean": 1}, "sha256": {"clean": 2}}))
    with pytest.raises(UsageError, match=r"manifest\.jsonl, line 1, does not describe"):
        verified(tmp_path)


def test_verify_reports_files_of_a_corpus_that_are_missing_or_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "long.wav").symlink_to("x" * 300)
    lines = [{"kind": "noise", "file": name, "sha256": "0" * 64} for name in ("gone.wav", "long.wav")]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    problems = verified(tmp_path).problems
    assert problems[str(tmp_path / "gone.wav")] == "is missing"
    assert problems[str(tmp_path / "long.wav")] == "cannot be read (File name too long)"


def described_set(folder: Path, *speakers: object, items: object = None) -> Path:
    """A set of one item for each of `speakers`, whose `set.json` states `items`."""
    folder.mkdir()
    facts = {"guessed_groups": {}, "items": len(speakers) if items is None else items}
    (folder / "set.json").write_text(json.dumps(facts))
    lines = [{**LINE, "drawn_from": {**LINE["drawn_from"], "speakers": each}} for each in speakers]  # type: ignore[dict-item]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.mark.parametrize("names", ["p002", ["p1", 2], [None], {"p002": 1}, None, 3])
def test_speakers_that_are_not_a_list_of_names_prove_nothing(tmp_path: Path, names: object) -> None:
    whole, damaged = described_set(tmp_path / "a", ["p1"]), described_set(tmp_path / "b", ["p3"], names)
    for pair in ((whole, damaged), (damaged, whole)):
        with pytest.raises(
            UsageError, match=r"b/manifest\.jsonl, line 2, does not name the speakers.* list of names"
        ):
            compared(*pair)


@pytest.mark.parametrize("names", [[], [[]], [["p3"], []], [["p3"], [""]], [["p3", " "]]])
def test_a_set_that_lacks_speakers_is_not_proved_disjoint(tmp_path: Path, names: list[object]) -> None:
    whole, emptied = described_set(tmp_path / "a", ["p1"]), described_set(tmp_path / "b", *names)
    for pair in ((whole, emptied), (emptied, whole), (emptied, emptied) if not any(names) else (whole, emptied)):
        assert "speakers" in compared(*pair).unknown
    (emptied / "manifest.jsonl").write_text("\n")
    assert list(compared(whole, emptied).unknown) == ["speakers", "noises", "rooms"]
    assert "b/manifest.jsonl has no lines" in compared(whole, emptied / "manifest.jsonl").unknown["speakers"]


def test_a_manifest_with_another_count_than_its_set_is_refused(tmp_path: Path) -> None:
    whole, cut = described_set(tmp_path / "a", ["p1"]), described_set(tmp_path / "b", ["p3"], items=4)
    with pytest.raises(UsageError, match=r"manifest\.jsonl has 1 lines, but .*b/set\.json states 4 items"):
        compared(whole, cut)


def test_case_tells_no_two_speakers_apart(tmp_path: Path) -> None:
    upper, lower = described_set(tmp_path / "a", ["FCJF0"]), described_set(tmp_path / "b", ["fcjf0"])
    assert compared(upper, lower).shared.speakers == {"FCJF0"}
