"""The page of a round says who signed it, and which validators replayed it with which result."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.services.board.build import build_site
from soundsright.services.board.pages import AudioAccess, Site
from soundsright.services.board.round_checks import RoundChecks, round_checks
from soundsright.services.board.server import LiveSite
from soundsright.services.log import proof_of, write_proof
from soundsright.services.records.runs import find_runs, read_run, read_runs
from soundsright.services.replay import Depth, Sample, read_attestations
from soundsright.services.replay.attestations import MAX_ATTESTATION_BYTES, MAX_ATTESTATIONS
from soundsright.services.rounds import Difference
from tests.services.board.attestations import attested
from tests.services.log.log_bench import ADMISSION, filled, round_document
from tests.services.records.bundles import RecordedRun, recorded_run

VERA, WILMA, XENIA = (Hotkey.of_seed(name) for name in ("vera", "wilma", "xenia"))
DIFFERENT = Difference("DENOISING_16000HZ", "decide", "shares", {"carol": 1.0}, "<script>owned()</script>")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    return recorded_run(tmp_path_factory.mktemp("round"), VERA)


@pytest.fixture
def folder(recorded: RecordedRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded.folder, tmp_path / "a"))


def checks(folder: Path) -> RoundChecks:
    found = round_checks(folder, valid_signature)
    assert isinstance(found, RoundChecks)
    return found


def page(folder: Path, **site: Any) -> str:
    site.setdefault("valid_signature", valid_signature)
    rendered = Site([read_run(folder, "a")], AudioAccess("file"), **site).page("r/a/index.html")
    assert rendered is not None
    return rendered.body.decode()


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page)))


def test_the_record_its_signer_and_its_commitment_are_shown(folder: Path, recorded: RecordedRun) -> None:
    (folder / "bundle" / "committed.json").write_text('{"schema": "soundsright.committed/1", "block": 4711}')
    text = text_of(page(folder))
    assert f"{recorded.sha256[:16]}…, signed by {VERA.address}" in text
    assert "The signer says that it committed to this record in block 4711" in text
    assert f"soundsright bundle verify ADDRESS/bundle --signer {VERA.address}" in text
    assert "No replay of this round is known" in text
    assert "was not verified here" in text_of(page(folder, valid_signature=None))


def test_each_validator_has_a_badge_with_its_depth_and_result(folder: Path) -> None:
    attested(folder, WILMA, Depth.DECIDE)
    attested(folder, WILMA, Depth.SCORE, sample=Sample(200, "0xab"))
    attested(folder, XENIA, Depth.DECIDE)
    attested(folder, XENIA, Depth.DECIDE, difference=DIFFERENT)
    badges = {badge.signer: badge for badge in checks(folder).badges}
    wilma, xenia = badges[WILMA.address], badges[XENIA.address]
    assert (wilma.result, wilma.replays[0].depth) == ("same", "scores, decisions and weights")
    assert (xenia.result, len(xenia.replays)) == ("different", 2)
    shown = page(folder)
    assert "<script>owned" not in shown
    text = text_of(shown)
    assert "a sample of 200 results, drawn by the block with the hash 0xab" in text
    assert "decide, shares: the bundle has {'carol': 1.0}, and the replay <script>owned()</script>" in text
    assert text.count("not registered when entries closed") == 2


@dataclass(frozen=True)
class Named:
    """An account of any address. Its signatures are not valid."""

    address: str

    def sign(self, message: bytes) -> bytes:
        return bytes(64)


def test_a_sample_that_a_chain_drew_names_its_block(folder: Path) -> None:
    attested(folder, WILMA, Depth.SCORE, sample=Sample(5, "0xcd", 4711, 4701))
    assert "a sample of 5 results, drawn by block 4711 0xcd" in text_of(page(folder))


def test_registered_validators_come_first_and_the_signer_is_told_apart(folder: Path) -> None:
    registered = json.loads((folder / "bundle" / "plan.json").read_text())["registrations"]
    uid, (hotkey, _) = next(iter(registered.items()))
    attested(folder, WILMA)
    attested(folder, Named(hotkey))
    attested(folder, VERA)
    found = round_checks(folder, lambda *_signed: True)
    assert isinstance(found, RoundChecks)
    assert (found.badges[0].signer, found.badges[0].uid) == (hotkey, int(uid))
    assert {b.signer for b in found.badges if b.uid is None} == {WILMA.address, VERA.address}
    assert [b.signer for b in found.badges if b.is_signer_of_round] == [VERA.address]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"same": False}, "same contradicts difference"),
        ({"same": "yes"}, "same"),
        ({"depth": "guess"}, "depth"),
        ({"bundle": "0" * 63}, "bundle"),
        ({"checked": {"scores": -1}}, "checked"),
        ({"more": 1}, "more"),
        ({"sample": {"results": 1e9, "block_hash": "0x"}}, "sample"),
    ],
)
def test_an_attestation_with_other_content_is_named_and_left_out(
    folder: Path, changes: dict[str, object], problem: str
) -> None:
    attested(folder, WILMA, changes=changes)
    assert checks(folder).badges == ()
    (note,) = checks(folder).notes
    assert problem in note


def test_a_forged_signature_a_link_and_a_large_file_count_for_nobody(folder: Path, tmp_path: Path) -> None:
    path = attested(folder, WILMA)
    envelope = json.loads(path.read_text())
    path.write_text(json.dumps({**envelope, "signer": XENIA.address}))
    (tmp_path / "elsewhere.json").write_text(json.dumps(envelope))
    (folder / "attestations" / "link.json").symlink_to(tmp_path / "elsewhere.json")
    (folder / "attestations" / "large.json").write_bytes(b" " * (MAX_ATTESTATION_BYTES + 1))
    (folder / "attestations" / "<img src=x>.json").write_text("[")
    (folder / "attestations" / "folder.json").mkdir()
    found = checks(folder)
    assert found.badges == ()
    assert len(found.notes) == 5
    assert any("did not sign this" in note for note in found.notes)
    assert "<img" not in page(folder)


def test_an_attestation_of_another_document_counts_for_this_one_not(folder: Path) -> None:
    attested(folder, WILMA, changes={"bundle": "0" * 64})
    assert checks(folder).badges == ()
    assert checks(folder).notes == (f"{WILMA.address} replayed another document: {'0' * 16}",)


def test_the_number_of_files_is_bounded(folder: Path) -> None:
    text = attested(folder, WILMA).read_text()
    for number in range(MAX_ATTESTATIONS + 3):
        (folder / "attestations" / f"x{number:04}.json").write_text(text)
    found = read_attestations(folder, valid_signature=valid_signature)
    assert len(found.attestations) == 1, "a copy is not another attestation"
    assert found.problems == (f"4 more files were not read: at most {MAX_ATTESTATIONS} are",)


def test_a_record_that_was_changed_is_not_shown_as_signed(folder: Path) -> None:
    path = folder / "bundle" / "round.json"
    envelope = json.loads(path.read_text())
    path.write_text(json.dumps({**envelope, "signer": WILMA.address}))
    text = text_of(page(folder))
    assert "The record of this round is damaged, or its signature is wrong" in text
    assert "signed by" not in text


def test_a_replay_that_could_check_nothing_is_not_called_the_same(folder: Path) -> None:
    attested(folder, WILMA, Depth.SCORE, changes={"same": None})
    assert [badge.result for badge in checks(folder).badges] == ["not checked"]
    attested(folder, WILMA, Depth.DECIDE, changes={"same": True})
    assert [badge.result for badge in checks(folder).badges] == ["same"]


def test_a_proof_of_another_document_is_named(folder: Path) -> None:
    log = filled(2)
    entry = ADMISSION.entry(round_document("round-9"))
    index = log.append(entry).index
    write_proof(folder, proof_of("http://log.example:9100", entry, index, log.inclusion(index).hashes, log.head()))
    assert "log.json does not prove this document" in page(folder)
    assert "soundsright log audit" not in page(folder)


def test_a_new_attestation_appears_on_a_page_that_was_drawn_before(folder: Path) -> None:
    now = 0.0
    site = LiveSite([folder], live=False, valid_signature=valid_signature, now=lambda: now)
    before = site.page("r/a/index.html")
    attested(folder, WILMA)
    now = 10.0
    after = site.page("r/a/index.html")
    assert before is not None
    assert after is not None
    assert WILMA.address not in before.body.decode()
    assert WILMA.address in after.body.decode()


def test_a_static_build_names_the_files_beside_its_page(folder: Path, tmp_path: Path) -> None:
    build_site(read_runs(find_runs([folder])), tmp_path / "site", audio_bytes=0, valid_signature=valid_signature)
    text = (tmp_path / "site/r/a/index.html").read_text()
    assert f"soundsright bundle verify ADDRESS/bundle --signer {VERA.address}" in text
    assert (tmp_path / "site/r/a/bundle/round.json").is_file()
