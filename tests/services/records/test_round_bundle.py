"""The record of a round, written when the round ends and read back from its bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.core.merkle import leaf_hash, merkle_root
from soundsright.services.records.round_bundle import bundled_lines, open_bundle
from soundsright.services.records.round_store import MAX_BUNDLE_FILES, open_store
from soundsright.services.rounds.steps import ENTRIES, SEED, RoundSteps, fetch
from tests.services.records.bundles import SIGNER, RecordedRun, recorded_run


def test_the_document_says_what_the_round_was_and_decided(run: RecordedRun) -> None:
    with open_bundle(run.record) as bundle:
        document = bundle.document
        assert bundle.opened.sha256 == run.sha256
        assert bundle.opened.signer == SIGNER.address
    plan = run.outcome.plan
    assert document.round.id == plan.round.id
    assert document.round.seed_block_hash == run.outcome.block_hash
    assert document.ruleset.digest == plan.rules.ruleset.digest
    assert document.weights == {str(uid): weight for uid, weight in run.outcome.weights.by_uid.items()}
    assert {e.hotkey for e in document.entries} == {"alice", "bob", "carol"}
    assert all(e.content_hash and e.answers_root and e.scores_root for e in document.entries)
    assert [d.winner for d in document.decisions] == [
        d.winner and d.winner.hotkey for board in run.outcome.leaderboards for d in board.decisions
    ]


def test_the_files_are_those_of_the_round(run: RecordedRun) -> None:
    round_id = run.outcome.plan.round.id
    with open_bundle(run.record) as bundle:
        steps = RoundSteps(round_id, bundle.steps())
        seed, entries = steps.get(SEED), steps.get(ENTRIES)
        assert bundle.results.round.id == round_id
        plan = bundle.plan
        lines = list(bundle.scores())
    assert seed is not None
    assert seed.hash == run.outcome.block_hash
    assert entries is not None
    assert all(steps.get(fetch(e.entry_id)) is not None for e in entries.submissions)
    assert plan["plan"]["clips"] == run.outcome.plan.measures.clips
    assert plan["settings"]["burn_uid"] == run.outcome.plan.burn_uid
    assert len(lines) == sum(len(e.clips) for e in run.outcome.evaluations["DENOISING_16000HZ"]) + len(
        run.outcome.unprocessed["DENOISING_16000HZ"].clips
    )


def test_the_roots_are_over_the_audio_that_is_on_the_disk(run: RecordedRun) -> None:
    with open_bundle(run.record) as bundle:
        document = bundle.document
    for entry in document.entries:
        answers = sorted((run.folder / "enhanced" / entry.entry).glob("*.wav"))
        leaves = [
            canonical_json({"clip": p.stem, "sha256": hashlib.sha256(p.read_bytes()).hexdigest()}).encode()
            for p in answers
        ]
        assert merkle_root([leaf_hash(leaf) for leaf in leaves]).hex() == entry.answers_root
        assert len(leaves) == entry.answers_count


def test_a_file_that_was_changed_is_named(run: RecordedRun, tmp_path: Path) -> None:

    copy = tmp_path / "copy"
    shutil.copytree(run.record, copy)
    path = copy / "scores.jsonl"
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    with open_bundle(copy) as bundle, pytest.raises(BundleRefused, match=r"scores\.jsonl was changed"):
        list(bundle.scores())


def test_a_run_without_a_key_has_the_same_document_unsigned(run: RecordedRun, tmp_path: Path) -> None:
    other = recorded_run(tmp_path)
    with open_bundle(run.record) as signed, open_bundle(other.record) as unsigned:
        assert unsigned.opened.signer is None
        but_files: dict[str, object] = {"files": {}}
        assert unsigned.document.model_copy(update=but_files) == signed.document.model_copy(update=but_files)
    envelope = json.loads((other.record / "round.json").read_text())
    assert set(envelope) == {"schema", "document"}


def test_a_run_in_place_of_its_bundle_is_misuse_and_the_remedy_is_a_command(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "report.html").write_text("<p>")
    with pytest.raises(UsageError, match="is a run, not a bundle") as caught:
        open_bundle(tmp_path)
    assert "soundsright bundle make" in caught.value.remedy
    rules = tmp_path / "rules.toml"
    rules.write_text("[rules]")
    with pytest.raises(UsageError, match=r"rules\.toml is not a \.zip file"):
        open_bundle(rules)


def test_a_file_of_line_feeds_is_refused_without_a_list_of_its_lines() -> None:
    raw = b"\n" * (4 << 20)
    tracemalloc.start()
    with pytest.raises(BundleRefused, match="line 1"):
        list(bundled_lines("scores.jsonl", raw))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_list_of_too_many_files_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_hidden: bool
) -> None:
    """A record for large archives can hide the list from a reader of the short record, which says one file."""
    count = MAX_BUNDLE_FILES + 1
    listed = (b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"x") * count
    tail = b""
    if is_hidden:
        tail = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(listed), 0)
        tail += struct.pack("<4sLQL", b"PK\x06\x07", 0, len(listed), 1)
    tail += struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 47 if is_hidden else len(listed), 0, 0)
    path = tmp_path / "many.zip"
    path.write_bytes(listed + tail)

    def read(*_: object) -> None:
        raise AssertionError("the list was read")

    monkeypatch.setattr(zipfile, "ZipFile", read)
    with pytest.raises(BundleRefused, match="lists more than"):
        open_store(path)
