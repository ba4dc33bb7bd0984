"""`soundsright log`, over real HTTP."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from soundsright.adapters.peers import request, valid_signature
from soundsright.cli.main import cli, run
from soundsright.core.dsse import IN_TOTO_TYPE, pre_authentication
from soundsright.core.errors import PeerUnavailable
from soundsright.services.http import HttpService, listening
from soundsright.services.log import TransparencyLog, log_app, open_head, read_proof
from soundsright.services.records import sign_document
from soundsright.testing.fakechain.http import served_chain
from tests.ports import free_port
from tests.services.log.log_bench import (
    ADMISSION,
    LOG,
    REPLAY,
    STRANGER,
    VICTOR,
    WALTER,
    filled,
    own_log,
    round_document,
)


@contextmanager
def served(log: TransparencyLog) -> Iterator[str]:
    app = log_app(log, throttle=lambda _client: None, admission=ADMISSION)
    service = HttpService(app, listening("127.0.0.1", 0, host_variable="H", port_variable="P"), name="log")
    service.start()
    try:
        yield f"http://127.0.0.1:{service.port}"
    finally:
        service.close()


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that gives every client that answer, and is no log."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    try:
                        client.recv(65_536)
                        answer(client)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_FOLDER", str(tmp_path / "state"))


def audit(*arguments: str) -> int:
    return run(cli, ["log", "audit", *arguments])


def test_append_keeps_a_proof_that_can_be_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "round.json").write_bytes(round_document("round-9"))
    (tmp_path / "run").mkdir()
    with served(filled(5)) as url:
        assert run(cli, ["log", "append", "round.json", "--url", url, "--run", "run"]) == 0
        (tmp_path / "round.json").write_bytes(round_document("round-9"))
        assert run(cli, ["log", "append", "round.json", "--url", url, "--run", "run", "--log", LOG.address]) == 0
    out = capsys.readouterr().out
    assert f"round.json is in the log {LOG.address}: entry 5, 6 entries" in out
    assert "round.json was already in the log" in out
    proof = read_proof(tmp_path / "run", valid_signature=valid_signature)
    assert proof is not None
    assert (proof.index, proof.head.size, proof.signer, proof.url) == (5, 6, VICTOR.address, url)


def test_append_names_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "round.json").write_bytes(round_document("round-0", weights=[1]))
    with served(filled(1)) as url:
        assert run(cli, ["log", "append", "round.json", "--url", url]) == 0
    assert "Evidence: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (round_document(signer=STRANGER), "takes no documents of that signer"),
        (round_document().replace(b"round-1", b"round-2"), "did not sign this document"),
        (b"{}", "This log takes soundsright.round/1"),
        (b"nothing", "not a signed document"),
    ],
)
def test_a_document_that_is_not_taken_is_misuse(
    raw: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "round.json").write_bytes(raw)
    (tmp_path / "run").mkdir()
    with served(own_log()) as url:
        assert run(cli, ["log", "append", "round.json", "--url", url, "--run", "run"]) == 2
    assert sentence in capsys.readouterr().err
    assert list((tmp_path / "run").iterdir()) == []


def test_append_refuses_another_logs_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "round.json").write_bytes(round_document())
    with served(own_log()) as url:
        assert run(cli, ["log", "append", "round.json", "--url", url, "--log", WALTER.address]) == 3
    assert "the head of another log" in capsys.readouterr().err


def test_an_audit_is_resumed_and_names_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    log = filled(3)
    with served(log) as url:
        assert audit(url) == 0
        log.append(ADMISSION.entry(round_document("round-2", weights=[1])))
        assert audit(url) == 0
    first, second, evidence = capsys.readouterr().out.splitlines()
    assert "3 entries" in first
    assert "3 new" in first
    assert "4 entries" in second
    assert "1 new" in second
    assert evidence == f"Evidence: {VICTOR.address} signed different documents for round round-2 (entries 2, 3)"


def test_a_mirror_is_compared_and_served_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from soundsright.services.log import MirrorLog

    log = filled(3)
    with served(log) as url:
        assert audit(url, "--mirror", "copy") == 0
        log.append(ADMISSION.entry(round_document("round-9")))
        with served(MirrorLog(tmp_path / "copy", valid_signature=valid_signature)) as mirror:
            assert audit(url, "--against", mirror) == 0
            assert audit(mirror, "--mirror", "copy-of-copy", "--against", url) == 0
    assert "the same history" in capsys.readouterr().out
    assert (tmp_path / "copy/entries.jsonl").read_bytes() == (tmp_path / "copy-of-copy/entries.jsonl").read_bytes()


def test_a_split_view_is_kept_as_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(filled(3)) as url, served(filled(3, first=1)) as other:
        assert audit(url, "--mirror", "copy", "--against", other) == 3
    error = capsys.readouterr().err
    assert error.startswith("Error: split view: ")
    assert len(error.splitlines()) == 1
    (kept,) = (tmp_path / "copy").glob("evidence-*.json")
    assert str(kept.relative_to(tmp_path)) in error
    heads = [
        open_head(json.dumps(head).encode(), valid_signature=valid_signature)
        for head in json.loads(kept.read_text())["heads"]
    ]
    assert [head.size for head in heads] == [3, 3]


def test_two_sizes_that_nothing_joins_leave_no_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(filled(3)) as url, served(filled(4, first=1)) as other:
        assert audit(url, "--mirror", "copy", "--against", other) == 3
    error = capsys.readouterr().err
    assert f"{other} gave no proof that joins two heads" in error
    assert len(error.splitlines()) == 1
    assert not list((tmp_path / "copy").glob("evidence-*.json"))


@pytest.mark.parametrize(
    ("later", "sentence"),
    [
        (lambda: filled(2), "gave an old head: it has 2 entries, and had 3"),
        (lambda: filled(3, first=1), "was rewritten"),
        (lambda: filled(5, first=1), "gave no proof that joins two heads"),
        (lambda: filled(5, account=STRANGER), "the head of another log"),
    ],
)
def test_a_log_that_changed_its_past_gives_3_and_leaves_the_memory(
    later: Callable[[], TransparencyLog], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(filled(3)) as url:
        assert audit(url, "--mirror", "copy") == 0
    before = {name: (tmp_path / "copy" / name).read_bytes() for name in ("audit.json", "entries.jsonl")}
    with served(later()) as url:
        assert audit(url, "--mirror", "copy") == 3
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert {name: (tmp_path / "copy" / name).read_bytes() for name in before} == before


def _huge(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
    while True:
        client.sendall(b" " * 65_536)


def _slow(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100):
        client.sendall(b"X")
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda client: client.sendall(b"\x00\xff garbage\r\n\r\n"), "its answer is not HTTP"),
        (lambda client: client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x1b[2"), "head of a log"),
        (lambda client: client.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), "answered 500"),
        (lambda client: client.sendall(b"HTTP/1.1 302 No\r\nLocation: http://x\r\n\r\n"), "answered 302"),
        (_huge, "sent more than"),
        (_slow, "no answer within"),
        (lambda _client: None, "it ended the connection"),
    ],
)
def test_a_server_that_is_no_log_gives_3_and_one_sentence(
    answer: Callable[[socket.socket], None], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(answer) as url:
        assert audit(url, "--timeout", "1", "--mirror", "copy") == 3
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert "\x1b" not in error
    assert not (tmp_path / "copy/audit.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["http://127.0.0.1:1"],
        ["nothing"],
        ["ftp://127.0.0.1"],
        ["http://127.0.0.1:1", "--log", "alice"],
        ["http://127.0.0.1:1", "--mirror", "a", "--memory", "b"],
    ],
)
def test_misuse_of_audit(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(*arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def write_wallet(folder: Path) -> None:
    LOG.write(folder / "wallets" / "log" / "hotkeys" / "default")


def served_until(url: str, work: Callable[[], None]) -> threading.Thread:
    """Do the work once the log answers, and then stop this process's service by a signal."""

    def watch() -> None:
        try:
            deadline_s = time.monotonic() + 60
            while time.monotonic() < deadline_s:
                try:
                    request(url, "GET", "/head", timeout_s=5)
                    break
                except PeerUnavailable:
                    time.sleep(0.05)
            work()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.parametrize("by_chain", [False, True])
def test_serve_takes_documents_of_its_signers_and_keeps_them(
    by_chain: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", logging.getLogger().handlers[:])
    write_wallet(tmp_path)
    port, health_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["log", "serve", "--host", "127.0.0.1", "--port", str(port), "--wallet", "log"]
    arguments += ["--wallet-path", "wallets", "--healthcheck-api-port", str(health_port)]
    statuses: list[int] = []

    def work() -> None:
        for signer in (VICTOR, STRANGER):
            reply = request(url, "POST", "/entries", body=round_document(signer=signer), timeout_s=20)
            statuses.append(reply.status)
        statuses.append(request(f"http://127.0.0.1:{health_port}", "GET", "/readyz", timeout_s=20).status)

    with served_chain(tmp_path / "chain.db") as (chain, chain_url):
        chain.register(VICTOR.address, permit=True)
        chain.register(STRANGER.address)
        arguments += ["--subtensor-chain-endpoint", chain_url] if by_chain else ["--signer", VICTOR.address]
        for again in (False, True):
            thread = served_until(url, work)
            assert run(cli, arguments) == 0
            thread.join()
            assert statuses == ([200] if again else [201]) + [403, 200]
            statuses.clear()
    out = capsys.readouterr().out
    assert f"The log is {LOG.address}" in out
    assert "0 entries at" in out
    assert "1 entry at" in out


def test_serve_a_mirror_needs_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", logging.getLogger().handlers[:])
    with served(filled(3)) as url:
        assert audit(url, "--mirror", "copy") == 0
    port = free_port()
    mirror = f"http://127.0.0.1:{port}"
    codes: list[int] = []
    thread = served_until(mirror, lambda: codes.append(audit(mirror, "--log", LOG.address)))
    arguments = ["log", "serve", "--host", "127.0.0.1", "--port", str(port), "--mirror", "copy"]
    assert run(cli, [*arguments, "--healthcheck-api-port", str(free_port())]) == 0
    thread.join()
    assert codes == [0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mirror", "nothing"],
        ["--mirror", "x", "--signer", VICTOR.address],
        ["--signer", "alice"],
        ["--signer", VICTOR.address, "--wallet", "nobody"],
        ["--port", "70000"],
    ],
)
def test_misuse_of_serve(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["log", "serve", "--wallet-path", "wallets", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


SHA = "ab" * 32


def test_an_attestation_is_verified_by_its_pem_key(tmp_path: Path) -> None:
    document = round_document("round-1", files={"scores.jsonl": {"sha256": SHA, "bytes": 7}})
    (tmp_path / "round.json").write_bytes(document)
    pem, p256 = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    for name, key in (("a.pem", pem), ("b.pem", p256)):
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / name).write_bytes(private)
        assert run(cli, ["log", "attest", "round.json", "--key", name, "--out", f"{name}.json"]) == 0
    envelopes = [json.loads((tmp_path / name).read_text()) for name in ("a.pem.json", "b.pem.json")]
    payload = base64.b64decode(envelopes[0]["payload"])
    message = pre_authentication(IN_TOTO_TYPE, payload)
    first, second = [base64.b64decode(each["signatures"][0]["sig"]) for each in envelopes]
    pem.public_key().verify(first, message)
    p256.public_key().verify(second, message, ec.ECDSA(SHA256()))
    statement = json.loads(payload)
    assert statement["predicateType"] == "urn:soundsright:round:1"
    assert [each["name"] for each in statement["subject"]] == ["round.json", "scores.jsonl"]
    assert statement["subject"][1]["digest"] == {"sha256": SHA}
    assert statement["predicate"]["signer"] == VICTOR.address


def test_an_attestation_of_a_replay_by_the_hotkey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"schema": REPLAY.schema, "round": "round-1", "bundle": SHA, "same": True}
    (tmp_path / "replay.json").write_text(sign_document(REPLAY, facts, VICTOR))
    write_wallet(tmp_path)
    assert run(cli, ["log", "attest", "replay.json", "--wallet", "log", "--wallet-path", "wallets"]) == 0
    envelope = json.loads(capsys.readouterr().out)
    payload = base64.b64decode(envelope["payload"])
    (signature,) = envelope["signatures"]
    message = pre_authentication(IN_TOTO_TYPE, payload)
    assert valid_signature(signature["keyid"], message, base64.b64decode(signature["sig"]))
    assert [each["name"] for each in json.loads(payload)["subject"]] == ["replay.json", "round.json"]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("key.pem", "", "has no private key"),
        ("none.pem", None, "cannot be read"),
    ],
)
def test_a_key_that_cannot_sign(
    name: str, text: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "round.json").write_bytes(round_document())
    if text is not None:
        (tmp_path / name).write_text(text)
    assert run(cli, ["log", "attest", "round.json", "--key", name, "--out", "out.json"]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_files_without_a_digest_are_not_attested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong: list[object] = [{"a": {}}, {"a b": {"sha256": SHA}}, ["a"], {"a": {"sha256": "x"}}]
    for files in wrong:
        (tmp_path / "round.json").write_bytes(round_document(files=files))
        assert run(cli, ["log", "attest", "round.json", "--wallet-path", "wallets"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["validator"], ["executor", "serve", "--subnet-api-url", "http://127.0.0.1:9"]]
)
def test_a_service_needs_address_and_hotkey_of_its_log(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, [*command, "--round-log-url", "http://127.0.0.1:9100"]) == 2
    assert "ROUND_LOG_HOTKEY is empty" in capsys.readouterr().err
    assert run(cli, [*command, "--round-log-hotkey", LOG.address]) == 2
    assert "ROUND_LOG_URL is empty" in capsys.readouterr().err
    assert run(cli, [*command, "--round-log-hotkey", "5x"]) == 2
    assert "SS58 address" in capsys.readouterr().err
