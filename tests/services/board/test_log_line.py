"""A round's page shows its place in a log, and how to check it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundsright.adapters.peers import valid_signature
from soundsright.services.board.pages import AudioAccess, Site
from soundsright.services.log import proof_of, write_proof
from soundsright.services.records import ValidSignature
from soundsright.services.records.runs import read_run, run_stamp
from tests.services.log.log_bench import ADMISSION, LOG, STRANGER, filled, round_document
from tests.services.records.runs import write_run

URL = "http://log.example:9100"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose round is entry 5 of a log."""
    folder = write_run(tmp_path / "first", audio=False)
    log = filled(5)
    raw = round_document("round-9")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "round.json").write_bytes(raw)
    entry = ADMISSION.entry(raw)
    index = log.append(entry).index
    head = log.head()
    write_proof(folder, proof_of(URL, entry, index, log.inclusion(index).hashes, head))
    return folder


def page_of(folder: Path, *, verify: ValidSignature | None = valid_signature, log: str | None = None) -> str:
    site = Site([read_run(folder, "first")], AudioAccess("file"), valid_signature=verify, log=log)
    page = site.page("r/first/index.html")
    assert page is not None
    return page.body.decode()


def test_the_page_names_the_entry_and_a_line_to_copy(run: Path) -> None:
    page = page_of(run)
    root = json.loads(json.loads(json.loads((run / "log.json").read_text())["head"])["document"])["root"]
    assert f"entry 5 of 6 entries in the log <code>{LOG.address}</code>" in page
    assert f"whose root begins with <code>{root[:16]}</code>" in page
    assert f"<code>soundsright log audit {URL} --log {LOG.address}</code>" in page


def test_the_page_says_what_was_not_checked(run: Path) -> None:
    unchecked, unknown, own = "were not checked here", "Anyone can keep a log", LOG.address
    shown = {
        "nothing": page_of(run, verify=None),
        "signatures": page_of(run),
        "log": page_of(run, log=own),
    }
    assert {name: (unchecked in page, unknown in page) for name, page in shown.items()} == {
        "nothing": (True, False),
        "signatures": (False, True),
        "log": (False, False),
    }


def test_the_proof_of_another_log_or_another_document_is_not_shown(run: Path) -> None:
    assert f"is of the log {LOG.address}, and not of {STRANGER.address}" in page_of(run, log=STRANGER.address)
    (run / "bundle" / "round.json").write_bytes(round_document("round-10"))
    assert "does not prove this document" in page_of(run)
    (run / "bundle" / "round.json").unlink()
    assert "proves nothing about this round" in page_of(run)
    assert "soundsright log audit" not in page_of(run)


def test_a_head_that_nobody_signed_is_not_shown(run: Path) -> None:
    found = json.loads((run / "log.json").read_text())
    head = json.loads(found["head"]) | {"signature": "0x" + "00" * 64}
    (run / "log.json").write_text(json.dumps(found | {"head": json.dumps(head)}))
    page = page_of(run)
    assert "is not the proof of a log" in page
    assert "soundsright log audit" not in page


def test_a_run_without_a_proof_says_nothing(run: Path) -> None:
    (run / "log.json").unlink()
    assert "soundsright log audit" not in page_of(run)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("index", 4, "does not prove that its document is in a log"),
        ("leaf", "00" * 32, "does not prove"),
        ("url", "http://x; rm -rf ~", "does not prove"),
        ("head", "{}", "is not the proof of a log"),
        ("schema", "x", "is not the proof of a log"),
        ("proof", ["00"] * 2, "is not the proof of a log"),
    ],
)
def test_a_proof_that_does_not_hold_is_named_and_not_shown(
    field: str, value: object, sentence: str, run: Path
) -> None:
    found = json.loads((run / "log.json").read_text())
    (run / "log.json").write_text(json.dumps(found | {field: value}))
    page = page_of(run)
    assert sentence in page
    assert "soundsright log audit" not in page


def test_a_link_in_place_of_the_proof_is_not_read(run: Path, tmp_path: Path) -> None:
    (run / "log.json").rename(tmp_path / "elsewhere.json")
    (run / "log.json").symlink_to(tmp_path / "elsewhere.json")
    assert "soundsright log audit" not in page_of(run)


def test_a_server_notices_a_new_proof(run: Path) -> None:
    before = run_stamp(run)
    (run / "log.json").unlink()
    assert run_stamp(run) != before
