"""Feedback: signing, storing, and the commands that show it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.cli.commands.feedback import command
from soundsright.core.errors import RequestRefused, UsageError
from soundsright.services.records import feedback_store
from soundsright.services.records.feedback import FEEDBACK, open_feedback, sign_feedback
from soundsright.services.records.feedback_store import FeedbackStore, read_feedback
from soundsright.services.records.signed import signed_message
from tests.services.services_bench import ALICE, BOB, VICTOR, document


def stored(folder: Path, validator: Hotkey = VICTOR, **changes: object) -> Path:
    raw = sign_feedback(document(**changes), validator).encode()
    store = FeedbackStore(folder / "feedback", valid_signature=valid_signature)
    return store.keep(raw, open_feedback(raw, valid_signature=valid_signature)).path


def test_a_stored_file_verifies_and_names_its_signer(tmp_path: Path) -> None:
    kept = read_feedback(stored(tmp_path), valid_signature=valid_signature)
    assert kept.envelope.validator == VICTOR.address
    assert (kept.feedback.rank, kept.feedback.hotkey) == (1, ALICE.address)
    assert kept.feedback.seed == 2**63 + 1


@pytest.mark.parametrize(
    ("old", "new"), [('\\"rank\\":1', '\\"rank\\":2'), (VICTOR.address, ALICE.address), ("0x", "0y")]
)
def test_a_changed_document_does_not_verify(tmp_path: Path, old: str, new: str) -> None:
    path = stored(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=path.name):
        read_feedback(path, valid_signature=valid_signature)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b"\xff\xfe", b"[" * 50_000, b'{"schema": "soundsright.feedback-envelope/1"}']
)
def test_other_bytes_than_an_envelope_are_refused(raw: bytes) -> None:
    with pytest.raises(RequestRefused) as caught:
        open_feedback(raw, valid_signature=valid_signature)
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1e999"])
def test_a_score_that_is_not_finite_is_refused(value: str) -> None:
    text = json.dumps(document()).replace("2.5", value)
    signature = VICTOR.sign(signed_message(FEEDBACK.schema, text)).hex()
    raw = json.dumps(
        {
            "schema": FEEDBACK.envelope_schema,
            "validator": VICTOR.address,
            "signature": f"0x{signature}",
            "document": text,
        }
    )
    with pytest.raises(RequestRefused) as caught:
        open_feedback(raw.encode(), valid_signature=valid_signature)
    assert caught.value.code == "malformed"


def rounds_kept(folder: Path) -> list[str]:
    return sorted(path.name[:10] for path in (folder / "feedback").iterdir())


def test_the_store_deletes_the_oldest_files_beyond_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_store, "MAX_KEPT", 3)
    for day in range(1, 6):
        stored(tmp_path, round=f"2026-01-0{day}")
    assert rounds_kept(tmp_path) == ["2026-01-03", "2026-01-04", "2026-01-05"]


def test_a_validator_that_sends_too_much_pushes_out_only_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stored(tmp_path, round="2026-01-01")
    monkeypatch.setattr(feedback_store, "MAX_KEPT", 3)
    (tmp_path / "feedback" / "notes.json").write_text("{}")  # Of the user's own.
    for day in range(1, 6):
        stored(tmp_path, BOB, round=f"2026-02-0{day}")
    of_bob = ["2026-02-03", "2026-02-04", "2026-02-05"]
    assert rounds_kept(tmp_path) == ["2026-01-01", *of_bob, "notes.json"]
    monkeypatch.setattr(feedback_store, "MAX_BYTES", 2 * first.stat().st_size + 100)
    stored(tmp_path, BOB, round="2026-02-06")
    assert rounds_kept(tmp_path) == ["2026-01-01", "2026-02-06", "notes.json"]


def test_feedback_is_on_the_disk_before_the_validator_gets_a_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    flush, replace = os.fsync, Path.replace

    def flushed(descriptor: int) -> None:
        flush(descriptor)
        done.append(f"flushed {Path(f'/proc/self/fd/{descriptor}').readlink().name}")

    def renamed(path: Path, target: Path) -> Path:
        done.append("renamed")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    path = stored(tmp_path)
    assert [what.replace(f".{path.name}.{os.getpid()}.part", "file") for what in done] == [
        "flushed file",
        "renamed",
        "flushed feedback",
    ]


def test_the_command_lists_shows_and_verifies(tmp_path: Path) -> None:
    path = stored(tmp_path)
    stored(tmp_path, round="2026-01-03", refusal={"code": "too_late", "sentence": "After the close"}, rank=None)
    run = CliRunner().invoke
    folder = ["--state-folder", str(tmp_path)]
    listed = run(command, ["list", *folder]).output
    assert "rank 1, 6.00 %" in listed
    assert "refused: too_late" in listed
    shown = run(command, ["show", *folder, str(path), "--clips"]).output
    assert "signature verified" in shown
    assert "c1          length" in shown
    assert json.loads(run(command, ["show", *folder, str(path), "--json"]).output) == document()
    described = json.loads(run(command, ["schema"]).output)
    assert described["$id"] == document()["schema"]
    assert set(document()) <= set(described["properties"])
    assert VICTOR.address in run(command, ["verify", str(path)]).output
    path.write_text("{}")
    assert isinstance(run(command, ["verify", str(path)]).exception, UsageError)
    assert "2026-01-02" not in run(command, ["list", *folder]).output


def test_each_listed_file_can_be_shown_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path)
    monkeypatch.setenv("STATE_FOLDER", str(tmp_path))
    run = CliRunner().invoke
    assert run(command, ["list"]).output.split()[-1] == str(path)
    for name in (str(path), path.name):
        assert "Rank        1" in run(command, ["show", name]).output
        assert VICTOR.address in run(command, ["verify", name]).output
    assert "cannot be read" in str(run(command, ["show", "nothing.json"]).exception)


def test_a_student_sees_why_the_model_failed(tmp_path: Path) -> None:
    path = tmp_path / "2-ada.json"
    failed = [{"id": f"c{n}", "failure": {"code": "crashed", "detail": f"reason {n}"}} for n in range(3)]
    flags = [{"code": "copy_of_input", "sentence": "The output is the input again", "value": 100, "limit": 60}]
    log = "\n".join([*(f"line {n}" for n in range(50)), "ValueError: \x1b[2J7 bands"])
    path.write_text(json.dumps(document(clips=failed, failures={"crashed": 3}, flags=flags, log=log)))
    shown = CliRunner().invoke(command, ["show", str(path)]).output
    assert "Failure     crashed: reason 0\n" in shown
    assert "reason 1" not in shown
    assert "Flag        copy_of_input: The output is the input again\n" in shown
    assert shown.endswith("  log | line 49\n  log | ValueError: \\x1b[2J7 bands\n")
    assert "line 9\n" not in shown


@pytest.mark.parametrize("line", ["list", "show"])
def test_the_state_folder_can_be_set_in_an_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    stored(tmp_path / "state")
    monkeypatch.delenv("STATE_FOLDER", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"STATE_FOLDER={tmp_path / 'state'}\n")
    assert "2026-01-02" in CliRunner().invoke(command, [line]).output
    (tmp_path / ".env").rename(tmp_path / "miner.env")
    assert "2026-01-02" in CliRunner().invoke(command, [line, "--env-file", "miner.env"]).output


def test_a_document_without_envelope_is_shown_as_unsigned(tmp_path: Path) -> None:
    path = tmp_path / "2-ada.json"
    path.write_text(json.dumps(document(hotkey="ada", reasons={"PESQ_WB": "Is not\x1b[2J paid"}), indent=1))
    shown = CliRunner().invoke(command, ["show", str(path)]).output
    assert "Validator   none (unsigned)" in shown
    assert "PESQ_WB     Is not\\x1b[2J paid" in shown
    assert "verified" not in shown
    assert "Rank        1, 6.00 %" in shown
    assert CliRunner().invoke(command, ["show", str(path), "--json"]).output == path.read_text() + "\n"
    refused = CliRunner().invoke(command, ["verify", str(path)]).exception
    assert isinstance(refused, UsageError)
    assert "is not signed" in str(refused)


@pytest.mark.parametrize("schema", ["soundsright.feedback-envelope/2", "soundsright.feedback/13"])
@pytest.mark.parametrize("line", ["show", "verify"])
def test_a_newer_version_asks_for_a_newer_program(tmp_path: Path, schema: str, line: str) -> None:
    path = tmp_path / "newer.json"
    path.write_text(json.dumps({"schema": schema, "more": [1]}))
    error = CliRunner().invoke(command, [line, str(path)]).exception
    assert isinstance(error, UsageError)
    assert schema in str(error)
    assert "Update soundsright" in str(error)


def test_a_newer_document_in_a_current_envelope_asks_for_a_newer_program(tmp_path: Path) -> None:
    path = tmp_path / "newer.json"
    path.write_text(sign_feedback(document(schema="soundsright.feedback/2"), VICTOR))
    error = CliRunner().invoke(command, ["show", str(path)]).exception
    assert "Update soundsright" in str(error)


def test_a_mean_is_shown_with_enough_decimals_to_differ_from_the_needed_mean(tmp_path: Path) -> None:
    estimate = {"mean": 0.57312, "low": 0.5, "high": 0.6, "n": 2}
    path = stored(tmp_path, metrics={"ESTOI": estimate, "PESQ_WB": estimate}, needed={"ESTOI": 0.57342})
    shown = CliRunner().invoke(command, ["show", str(path)]).output
    assert "ESTOI         0.5731  [0.5000, 0.6000], needed 0.5734" in shown
    assert "PESQ_WB        0.573  [0.500, 0.600]" in shown


def test_a_refused_miner_sees_the_reason_the_remedy_and_the_needed_mean(tmp_path: Path) -> None:
    refusal = {
        "code": "too_late",
        "sentence": "After the close",
        "remedy": "Do nothing: it counts for the next round.",
        "evidence": {"entries_close_block": "100"},
    }
    path = stored(tmp_path, refusal=refusal, rank=None, needed={"PESQ_WB": 2.25})
    shown = CliRunner().invoke(command, ["show", str(path)]).output
    for line in (
        "Refused     too_late: After the close",
        "Remedy      Do nothing: it counts for the next round.",
        "Evidence    entries_close_block: 100",
        "PESQ_WB        2.250 would have been needed to win",
    ):
        assert line in shown
