from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundsright.core.errors import AudioFileError, UsageError
from soundsright.corpus import PrivateCorpus, add_to_corpus, check_published, publish_retired
from soundsright.corpus.publishing import published_file
from soundsright.data import Corpus, verified
from tests.corpus.conftest import ChangeByte, some


def ids_in(folder: Path) -> set[str]:
    return {json.loads(line)["id"] for line in (folder / "manifest.jsonl").read_text().splitlines()}


def test_what_is_published_is_a_corpus_of_retired_recordings_only(
    copied: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus = PrivateCorpus.open(*copied)
    publish_retired(corpus, tmp_path / "out", through=2)
    everything = {entry.leaf.id for entry in corpus.entries}
    assert ids_in(tmp_path / "out") == everything - corpus.living(3)
    published = Corpus.open(tmp_path / "out")
    assert published.is_public
    assert published.speech[0].text
    assert published.speech[0].licence == "CC-BY-4.0"
    assert published.speech[0].source == "a studio of our own"
    files = {p.stem for p in (tmp_path / "out").rglob("*.flac")}
    assert not files & corpus.living(3)
    assert verified(tmp_path / "out").problems == {}
    text = "".join(p.read_text() for p in (tmp_path / "out").glob("*.json*"))
    assert not [living for living in corpus.living(3) if living in text]


def test_a_round_on_published_recordings_counts_as_public(copied: tuple[Path, Path], tmp_path: Path) -> None:
    publish_retired(PrivateCorpus.open(*copied), tmp_path / "out", through=2)
    corpus = PrivateCorpus.open(*copied)
    assert [corpus.at(number).is_public for number in (1, 2, 3)] == [True, True, False]
    assert not corpus.is_public
    (copied[0] / "published.json").write_text("[")
    with pytest.raises(UsageError, match=r"published\.json is damaged"):
        PrivateCorpus.open(*copied)


def test_it_is_noted_before_the_first_recording_is_written(copied: tuple[Path, Path], tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".statement.json.part").write_text("{")  # An earlier command was killed here.
    with pytest.raises(KeyboardInterrupt):
        publish_retired(PrivateCorpus.open(*copied), tmp_path / "out", through=1, progress=stop)
    assert PrivateCorpus.open(*copied).at(1).is_public
    assert not (tmp_path / "out" / "manifest.jsonl").exists()
    report = publish_retired(PrivateCorpus.open(*copied), tmp_path / "out", through=1)
    assert (report.recordings, report.written) == (len(ids_in(tmp_path / "out")), report.recordings - 1)


def test_a_living_recording_is_refused_by_its_id(copied: tuple[Path, Path], tmp_path: Path) -> None:
    corpus = PrivateCorpus.open(*copied)
    living = next(iter(corpus.at(4).fresh))
    with pytest.raises(UsageError, match=f"{living} still lives until round 6"):
        publish_retired(corpus, tmp_path / "out", through=2, only=[living])
    assert not (tmp_path / "out").exists()
    assert PrivateCorpus.open(*copied).published_through is None
    with pytest.raises(UsageError, match=r"No recording retires with round 99\. Choose --through from 0 to 7"):
        publish_retired(corpus, tmp_path / "out", through=99)


def test_a_folder_grows_from_round_to_round_and_keeps_what_it_has(
    copied: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = publish_retired(PrivateCorpus.open(*copied), out, through=1)
    before = PrivateCorpus.open(*copied)
    add_to_corpus(before, [*some("speech", range(3), seed=1), *some("noise", range(1), seed=1)])
    corpus = PrivateCorpus.open(*copied)
    second = publish_retired(corpus, out, through=3)
    assert second.recordings == first.recordings + second.written
    again = publish_retired(corpus, out, through=0)
    assert (again.recordings, again.written, again.through) == (second.recordings, 0, 3)
    for root in (None, before.root, corpus.root):
        assert check_published(out, root=root).problems == {}


def test_a_folder_of_something_else_is_refused(
    built: tuple[Path, Path], copied: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    corpus = PrivateCorpus.open(*copied)
    with pytest.raises(UsageError, match=r"is not empty and has no statement\.json"):
        publish_retired(corpus, tmp_path / "mine", through=0)
    with pytest.raises(UsageError, match="lies in the private corpus"):
        publish_retired(corpus, copied[0] / "out", through=0)


def test_a_public_folder_that_a_stranger_changed_publishes_no_living_recording(
    copied: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus, out = PrivateCorpus.open(*copied), tmp_path / "out"
    publish_retired(corpus, out, through=1)
    living = next(iter(corpus.at(5).fresh))
    lines = (out / "proofs.jsonl").read_text()
    (out / "proofs.jsonl").write_text(lines + json.dumps({"id": living}) + "\n")
    statement = json.loads((out / "statement.json").read_text()) | {"published_through": 7}
    (out / "statement.json").write_text(json.dumps(statement))
    with pytest.raises(UsageError, match=f"{living}.*still lives"):
        publish_retired(corpus, out, through=2)
    assert not list(out.rglob(f"{living}*"))
    assert PrivateCorpus.open(*copied).published_through == 1


@pytest.mark.parametrize("line", ["{", "[]", '{"id": 7}', "{}", "\xff", "[" * 100_000])
def test_a_public_folder_with_a_damaged_list_is_refused(
    copied: tuple[Path, Path], tmp_path: Path, line: str
) -> None:
    corpus, out = PrivateCorpus.open(*copied), tmp_path / "out"
    publish_retired(corpus, out, through=1)
    (out / "proofs.jsonl").write_bytes(line.encode("latin-1") + b"\n")
    with pytest.raises(UsageError, match=r"proofs\.jsonl, line 1, is"):
        publish_retired(corpus, out, through=2)


def test_a_changed_recording_is_not_published(
    copied: tuple[Path, Path], tmp_path: Path, change_byte: ChangeByte
) -> None:
    corpus = PrivateCorpus.open(*copied)
    entry = next(entry for entry in corpus.entries if entry.cohort == 0)
    change_byte(entry.sealed.path)
    with pytest.raises(AudioFileError, match="was changed since it was encrypted"):
        publish_retired(corpus, tmp_path / "out", through=0)
    assert not (tmp_path / "out" / published_file(entry.leaf)).exists()


@pytest.mark.parametrize("damage", ["[1]\n", "not JSON\n", "{}\n" + " " * 200_000])
def test_damaged_proofs_are_one_sentence(copied: tuple[Path, Path], tmp_path: Path, damage: str) -> None:
    publish_retired(PrivateCorpus.open(*copied), tmp_path / "out", through=1)
    (tmp_path / "out" / "proofs.jsonl").write_text(damage)
    with pytest.raises(UsageError, match=r"proofs\.jsonl, line [12], is "):
        publish_retired(PrivateCorpus.open(*copied), tmp_path / "out", through=2)
