"""An auditor accepts an honest log, and names the first thing that is wrong with any other."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import valid_signature
from soundsright.core.errors import LogRefused, UsageError
from soundsright.services.log import (
    AuditMemory,
    AuditReport,
    MirrorLog,
    MirrorWriter,
    audit,
    check_same_view,
    open_head,
    read_head,
    read_memory,
    sign_head,
    write_memory,
)
from tests.services.log.log_bench import ADMISSION, LOG, STRANGER, Source, changed, filled, own_log, round_document


def audited(source: Source, memory: AuditMemory | None = None, *, log: str | None = None) -> AuditReport:
    return audit(source, memory or AuditMemory(), valid_signature=valid_signature, log=log)


def test_an_audit_goes_on_from_the_last_head() -> None:
    log, memory = filled(3), AuditMemory()
    source = Source(log)
    assert (audited(source, memory).before, memory.size) == (0, 3)
    log.append(ADMISSION.entry(round_document("round-9")))
    source.asked.clear()
    report = audited(source, memory)
    assert (report.before, report.head.size) == (3, 4)
    assert "/entries?start=3&end=4" in source.asked
    assert not any("start=0" in path for path in source.asked)


def test_an_audit_of_an_empty_log_and_of_one_that_did_not_grow() -> None:
    log, memory = own_log(), AuditMemory()
    assert audited(Source(log), memory).head.size == 0
    log.append(ADMISSION.entry(round_document()))
    assert audited(Source(log), memory).before == 0
    assert audited(Source(log), memory).before == 1


def test_an_audit_reports_two_documents_of_one_signer_for_one_round() -> None:
    log, memory = filled(2), AuditMemory()
    assert audited(Source(log), memory).found == ()
    log.append(ADMISSION.entry(round_document("round-1", weights=[1])))
    (found,) = audited(Source(log), memory).found
    assert (found.round, found.indexes) == ("round-1", (1, 2))


def test_a_rewritten_history_is_named() -> None:
    memory = AuditMemory()
    audited(Source(filled(3)), memory)
    with pytest.raises(LogRefused, match=r"was rewritten: its head .* has another root") as refused:
        audited(Source(filled(3, first=1)), memory)
    assert len(refused.value.evidence) == 2


def test_a_longer_history_that_nothing_joins_is_refused_without_evidence() -> None:
    memory = AuditMemory()
    audited(Source(filled(3)), memory)
    with pytest.raises(LogRefused, match="gave no proof that joins two heads") as refused:
        audited(Source(filled(5, first=1)), memory)
    assert refused.value.evidence == ()


def signed_at(time_s: int) -> Callable[[Any], Any]:
    """A change that signs the head again, with another time."""

    def change(head: Any) -> Any:
        own = open_head(json.dumps(head).encode(), valid_signature=valid_signature)
        return json.loads(sign_head(own.size, own.root, time_s, LOG).envelope)

    return change


def test_a_truncated_log_is_named() -> None:
    memory = AuditMemory()
    audited(Source(filled(3)), memory)
    shorter = Source(filled(2))
    shorter.lie = changed("/head", signed_at(1_800_000_000))
    with pytest.raises(LogRefused, match="was truncated: it has 2 entries, and had 3") as refused:
        audited(shorter, memory)
    assert len(refused.value.evidence) == 2


@pytest.mark.parametrize("time_s", [1_600_000_000, 1_700_000_000])
def test_an_older_head_of_an_honest_log_is_no_truncation(time_s: int) -> None:
    memory = AuditMemory()
    audited(Source(filled(3)), memory)
    assert memory.head is not None
    assert memory.head.time_s == 1_700_000_000
    lagging = Source(filled(2))
    lagging.lie = changed("/head", signed_at(time_s))
    with pytest.raises(LogRefused, match="gave an old head: it has 2 entries, and had 3") as refused:
        audited(lagging, memory)
    assert refused.value.evidence == ()
    assert audited(Source(filled(4)), memory).before == 3


def test_another_logs_head_is_named() -> None:
    memory = AuditMemory()
    audited(Source(filled(3)), memory)
    other = Source(filled(4, account=STRANGER))
    with pytest.raises(LogRefused, match=f"the head of another log, {STRANGER.address}"):
        audited(other, memory)
    with pytest.raises(LogRefused, match="another log"):
        audited(other, log=LOG.address)


def head_of(size: int, root: bytes = bytes(32)) -> Any:
    return json.loads(sign_head(size, root, 1, LOG).envelope)


@pytest.mark.parametrize(
    ("path", "change", "sentence"),
    [
        ("/head", lambda _: head_of(3), "do not give the root"),
        ("/head", lambda _: head_of(9), "answered 404"),
        ("/head", lambda _: head_of(9_000_000), "size: Input should be less"),
        ("/head", lambda head: head | {"signer": STRANGER.address}, "did not sign"),
        ("/head", lambda _: [1], "not a JSON object"),
        ("/entries", lambda page: page | {"entries": []}, "gave no entries from 0 on"),
        ("/entries", lambda page: page | {"entries": page["entries"] * 2}, "gave no entries from 0 on"),
        ("/entries", lambda page: page | {"entries": page["entries"][::-1]}, "do not give the root"),
        ("/entries", lambda page: page | {"entries": page["entries"][1:] + page["entries"][:1]}, "the root"),
        ("/entries", lambda page: page | {"entries": [1, 2, 3]}, "entry 0 is not an entry"),
        ("/entries", lambda _: 7, "is not a log's answer"),
        ("/proof/inclusion", lambda answer: answer | {"proof": ["00" * 32] * 2}, "does not show its entry 2"),
        ("/proof/inclusion", lambda answer: answer | {"proof": ["x"]}, "not a list of hashes"),
        ("/proof/inclusion", lambda answer: answer | {"proof": ["00" * 32] * 999}, "not a list of hashes"),
        ("/proof/inclusion", lambda answer: answer | {"proof": [5]}, "not a list of hashes"),
    ],
)
def test_a_lie_of_the_server_is_named(path: str, change: Any, sentence: str) -> None:
    source = Source(filled(3))
    source.lie = changed(path, change)
    with pytest.raises(LogRefused, match=sentence):
        audited(source)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("signer", STRANGER.address, "fields that differ"),
        ("round", "round-7", "fields that differ"),
        ("kind", "soundsright.replay/1", "soundsright.replay/1 was expected"),
        ("kind", "x", "a kind that is not a schema"),
        ("sha256", "00" * 32, "fields that differ"),
        ("more", 1, "is not an entry"),
        ("envelope", {}, "entry 1 is refused"),
    ],
)
def test_an_entry_that_differs_from_its_document_is_named(field: str, value: Any, sentence: str) -> None:
    def change(page: Any) -> Any:
        page["entries"][1][field] = value
        return page

    source = Source(filled(3))
    source.lie = changed("/entries", change)
    with pytest.raises(LogRefused, match=sentence):
        audited(source)


def test_an_entry_with_a_forged_signature_is_named() -> None:
    def change(page: Any) -> Any:
        page["entries"][2]["envelope"]["document"] = page["entries"][1]["envelope"]["document"]
        return page

    source = Source(filled(3))
    source.lie = changed("/entries", change)
    with pytest.raises(LogRefused, match="entry 2 is refused: The signature is wrong"):
        audited(source)


def test_a_forged_consistency_proof_is_named() -> None:
    log, memory = filled(3), AuditMemory()
    source = Source(log)
    audited(source, memory)
    log.append(ADMISSION.entry(round_document("round-9")))
    source.lie = changed("/proof/consistency", lambda answer: answer | {"proof": answer["proof"][::-1]})
    with pytest.raises(LogRefused, match="gave no proof that joins two heads") as refused:
        audited(source, memory)
    assert refused.value.evidence == ()


def compare(first: Source, second: Source) -> None:
    heads = [read_head(each, valid_signature=valid_signature) for each in (first, second)]
    check_same_view(heads[0], first, heads[1], second)


@pytest.mark.parametrize(("ours", "theirs"), [(3, 3), (3, 7), (7, 3), (0, 4), (4, 0)])
def test_two_views_of_one_history_agree(ours: int, theirs: int) -> None:
    compare(Source(filled(ours)), Source(filled(theirs), "http://mirror"))


def test_a_split_view_is_named() -> None:
    with pytest.raises(LogRefused, match=r"split view: .* at http://log, and .* at http://mirror") as refused:
        compare(Source(filled(3)), Source(filled(3, first=1), "http://mirror"))
    heads = [open_head(each.encode(), valid_signature=valid_signature) for each in refused.value.evidence]
    assert [head.size for head in heads] == [3, 3]


@pytest.mark.parametrize(("ours", "theirs", "longer"), [(3, 7, "http://mirror"), (7, 3, "http://log")])
def test_two_sizes_that_nothing_joins_accuse_nobody(ours: int, theirs: int, longer: str) -> None:
    with pytest.raises(LogRefused, match=f"{longer} gave no proof that joins two heads") as refused:
        compare(Source(filled(ours)), Source(filled(theirs, first=1), "http://mirror"))
    assert refused.value.evidence == ()


def test_a_wrong_proof_of_a_mirror_does_not_accuse_an_honest_log() -> None:
    mirror = Source(filled(7), "http://mirror")
    mirror.lie = changed("/proof/consistency", lambda answer: answer | {"proof": []})
    with pytest.raises(LogRefused, match="http://mirror gave no proof") as refused:
        compare(Source(filled(3)), mirror)
    assert refused.value.evidence == ()


def test_a_mirror_of_another_log_is_no_split_view() -> None:
    with pytest.raises(LogRefused, match="gave the head of another log"):
        compare(Source(filled(3)), Source(filled(3, account=STRANGER), "http://mirror"))


def mirrored(source: Source, folder: Path) -> AuditReport:
    with closing(MirrorWriter(folder)) as writer:
        memory = read_memory(folder / "audit.json", valid_signature=valid_signature)
        writer.resume(memory)
        report = audit(source, memory, valid_signature=valid_signature, keep=writer.add)
        writer.flush()
        write_memory(folder / "audit.json", memory)
    return report


def test_one_process_at_a_time_mirrors_into_a_folder(tmp_path: Path) -> None:
    with closing(MirrorWriter(tmp_path)), pytest.raises(UsageError, match="Another process mirrors into"):
        MirrorWriter(tmp_path)
    mirrored(Source(filled(1)), tmp_path)


def test_a_mirror_can_be_served_audited_and_mirrored_again(tmp_path: Path) -> None:
    log = filled(3)
    mirrored(Source(log), tmp_path / "a")
    mirror = MirrorLog(tmp_path / "a", valid_signature=valid_signature)
    mirrored(Source(mirror), tmp_path / "b")
    log.append(ADMISSION.entry(round_document("round-9")))
    assert mirrored(Source(log), tmp_path / "a").before == 3
    assert mirrored(Source(mirror), tmp_path / "b").head.size == 4
    entries = [(tmp_path / name / "entries.jsonl").read_bytes() for name in "ab"]
    assert entries[0] == entries[1]
    compare(Source(log), Source(mirror, "http://mirror"))
    assert Source(mirror).client.post("/entries", content=round_document("round-10")).status_code == 405


def test_entries_that_a_killed_audit_left_are_removed(tmp_path: Path) -> None:
    log = filled(3)
    mirrored(Source(log), tmp_path)
    whole = (tmp_path / "entries.jsonl").read_bytes()
    (tmp_path / "entries.jsonl").write_bytes(whole + b'{"half')
    mirrored(Source(log), tmp_path)
    assert (tmp_path / "entries.jsonl").read_bytes() == whole


def test_a_damaged_mirror_is_not_served(tmp_path: Path) -> None:
    mirrored(Source(filled(3)), tmp_path)
    path = tmp_path / "entries.jsonl"
    path.write_bytes(path.read_bytes().replace(b"round-1", b"round-5"))
    client = Source(MirrorLog(tmp_path, valid_signature=valid_signature)).client
    assert client.get("/head").json()["sentence"] == "The service cannot answer now. Try again later."
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UsageError, match="shorter than its last audit says"):
        mirrored(Source(filled(3)), tmp_path)
    with pytest.raises(UsageError, match="is not a mirror of a log"):
        MirrorLog(tmp_path / "none", valid_signature=valid_signature)


def test_a_mirror_that_could_not_read_its_new_entries_goes_on_when_it_can(tmp_path: Path) -> None:
    log = filled(3)
    mirrored(Source(log), tmp_path)
    client = Source(MirrorLog(tmp_path, valid_signature=valid_signature)).client
    assert client.get("/entries?start=0&end=9").json()["size"] == 3
    for number in range(7, 40):
        log.append(ADMISSION.entry(round_document(f"round-{number}")))
    mirrored(Source(log), tmp_path)
    path = tmp_path / "entries.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert client.get("/head").status_code == 503
    assert client.get("/head").status_code == 503
    path.write_bytes(whole)
    head = open_head(client.get("/head").content, valid_signature=valid_signature)
    assert head.size == 36


def test_an_audit_stops_at_its_limit_of_bytes() -> None:
    source = Source(filled(3))
    with pytest.raises(UsageError, match="has more than 1e-06 GB of new entries"):
        audit(source, AuditMemory(), valid_signature=valid_signature, max_bytes=1_000)
    assert audit(source, AuditMemory(), valid_signature=valid_signature, max_bytes=5_000).head.size == 3


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1}', "[" * 5000])
def test_a_memory_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text(text)
    with pytest.raises(UsageError, match="is not the memory of an audit"):
        read_memory(tmp_path / "audit.json", valid_signature=valid_signature)


def test_a_memory_whose_nodes_were_changed_is_refused(tmp_path: Path) -> None:
    mirrored(Source(filled(3)), tmp_path)
    path = tmp_path / "audit.json"
    memory = read_memory(path, valid_signature=valid_signature)
    path.write_text(path.read_text().replace(memory.edge.nodes[0].hex(), "00" * 32))
    with pytest.raises(UsageError, match="nodes that do not belong to its head"):
        read_memory(path, valid_signature=valid_signature)


def test_no_changed_byte_of_an_answer_is_accepted_as_something_else() -> None:
    rng = random.Random(7)
    log = filled(3)
    kept: list[str] = []
    report = audit(Source(log), AuditMemory(), valid_signature=valid_signature, keep=kept.append)
    refused = 0
    for _ in range(150):
        source = Source(log)
        got: list[str] = []
        source.lie = one_byte_changed(rng, rng.choice(["/head", "/entries", "/proof/inclusion"]))
        try:
            found = audit(source, AuditMemory(), valid_signature=valid_signature, keep=got.append)
        except LogRefused:
            refused += 1
            continue
        assert (found.head.size, found.head.root, got) == (report.head.size, report.head.root, kept)
    assert refused > 100


def one_byte_changed(rng: random.Random, path_start: str) -> Callable[[str, bytes], bytes]:
    def lie(path: str, body: bytes) -> bytes:
        if not path.startswith(path_start):
            return body
        place = rng.randrange(len(body))
        return body[:place] + bytes([rng.randrange(256)]) + body[place + 1 :]

    return lie
