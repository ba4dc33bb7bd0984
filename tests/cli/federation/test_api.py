"""`soundsright federation api`, `db` and `blacklist`, with a real chain and database, and requests over HTTP."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, SignedService
from soundsright.adapters.state import SqlRecords, SqlState
from soundsright.cli.main import cli, run
from soundsright.config import FederationSettings
from soundsright.core.errors import PeerUnavailable, RequestRefused
from soundsright.services.federation_api import FederationReporter, MinerReport, Report, ValidatorList
from soundsright.testing.fakechain.http import served_chain
from tests.adapters.state import postgres
from tests.ports import free_port
from tests.services.federation_api.api_bench import sample
from tests.services.federation_api.test_client import DIGEST, verdict

OWNER, VICTOR, ADMIN, MINER = (Hotkey.of_seed(name) for name in ("owner", "victor", "admin", "miner"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FederationSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])


def federation(*words: str) -> int:
    return run(cli, ["federation", *words])


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, str]]:
    """A chain at task 12, and the address that the API will have."""
    with ExitStack() as stack:
        chain, url = stack.enter_context(served_chain(tmp_path / "chain.db"))
        chain.appoint(OWNER.address)
        chain.advance(1_210)
        OWNER.write(tmp_path / "wallets" / "owner" / "hotkeys" / "default")
        port = free_port()
        settings = {
            "SUBTENSOR_CHAIN_ENDPOINT": url,
            "WALLET": "owner",
            "WALLET_PATH": "wallets",
            "HEALTHCHECK_API_HOST": "127.0.0.1",
            "HEALTHCHECK_API_PORT": str(free_port()),
            "API_HOST": "127.0.0.1",
            "API_PORT": str(port),
            "ADMIN_HOTKEYS": ADMIN.address,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield chain, f"http://127.0.0.1:{port}"


def serving(work: Callable[[], None], url: str) -> int:
    """Serve until the work in another thread is done. Returns the exit code."""
    errors: list[BaseException] = []

    def client() -> None:
        try:
            for _ in range(300):
                try:
                    read(url, "/health")
                    break
                except OSError:
                    time.sleep(0.1)
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            errors.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=client)
    thread.start()
    code = federation("api")
    thread.join()
    if errors:
        raise errors[0]
    return code


def read(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=10) as reply:
        return json.loads(reply.read())


def service(url: str, key: Hotkey) -> SignedService:
    return SignedService(url, OWNER.address, key, name="The owner's API", setting="API_URL")


def test_an_owner_shows_what_a_validator_sends(served: tuple[Any, str], capsys: pytest.CaptureFixture[str]) -> None:
    _, url = served
    assert federation("db", "init") == 0
    assert federation("db", "add-validator", "--uid", "7", "--hotkey", VICTOR.address) == 0

    def work() -> None:
        reporter = FederationReporter(service(url, VICTOR))
        reporter.send_verdict(verdict(task=12), DIGEST)
        reporter.send_report(Report((MinerReport(MINER.address, 3, True),), {}))
        assert reporter.send_waiting()
        assert len(read(url, "/samples/list")) == 3
        assert [row["hotkey"] for row in read(url, "/miners/active")] == [MINER.address]
        overview = read(url, "/overview")
        assert (overview["task"], overview["sampler"], overview["online"]) == (12, VICTOR.address, 1)
        with pytest.raises(RequestRefused, match="validators of this federation"):
            service(url, MINER).post("/samples/batch", {"samples": [sample(task=12)]})
        # The command changes the list of the running API.
        assert federation("blacklist", "add", MINER.address, "--reason", "copies") == 0
        assert read(url, "/miners/active") == []
        assert service(url, ADMIN).get("/blacklist").status == 200
        with pytest.raises(PeerUnavailable, match="did not sign"):
            SignedService(url, MINER.address, VICTOR, name="The API", setting="API_URL").get("/blacklist")

    assert serving(work, url) == 0
    out = capsys.readouterr().out
    assert f"{OWNER.address} shows the federation at {url}" in out
    assert federation("blacklist", "list") == 0
    assert capsys.readouterr().out == f"{MINER.address}  copies\n"
    # A restarted API shows the same.
    shown: list[Any] = []
    assert serving(lambda: shown.extend(read(url, "/samples/list")), url) == 0
    assert len(shown) == 3


def test_the_database_is_checked_and_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert federation("db", "init") == 0
    path = tmp_path / "state" / "federation-api.db"
    assert capsys.readouterr().out == f"{path} is ready\n"
    assert federation("db", "add-validator", "--uid", "7", "--hotkey", VICTOR.address) == 0
    assert federation("db", "init") == 0
    for words in (["check"], ["upgrade"], ["backup", str(tmp_path / "copy.db")]):
        assert run(cli, ["db", words[0], "--state", str(path), *words[1:]]) == 0
    out = capsys.readouterr().out
    assert "records                  1" in out
    assert "nothing to do" in out
    state = SqlState(tmp_path / "copy.db", scope="federation-api")
    validators = ValidatorList(SqlRecords.beside(state)).validators()
    state.close()
    assert [(each.hotkey, each.uid) for each in validators] == [(VICTOR.address, 7)]


@pytest.mark.postgres
def test_postgresql_has_the_same_lists(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with postgres.server_or_skip() as url:
        monkeypatch.setenv("DATABASE_URL", url)
        assert federation("blacklist", "list") == 2
        assert "has no tables yet. Run `soundsright federation db init`" in capsys.readouterr().err
        for _ in range(2):
            assert federation("db", "init") == 0
        assert federation("db", "add-validator", "--uid", "7", "--hotkey", VICTOR.address) == 0
        assert federation("blacklist", "add", MINER.address) == 0
        capsys.readouterr()
        assert federation("blacklist", "list") == 0
        assert capsys.readouterr().out == f"{MINER.address}\n"
        assert run(cli, ["db", "check", "--state", url]) == 0


def test_the_lists_are_changed_by_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert federation("db", "init") == 0
    add = ["db", "add-validator", "--uid", "7", "--hotkey"]
    assert federation(*add, VICTOR.address) == 0
    assert federation(*add, VICTOR.address) == 0
    assert capsys.readouterr().out.endswith("may send as uid 7, as before\n")
    assert federation(*add, OWNER.address) == 2
    assert f"The uid 7 is that of {VICTOR.address}" in capsys.readouterr().err
    assert federation("db", "remove-validator", "--hotkey", VICTOR.address) == 0
    assert federation("db", "remove-validator", "--hotkey", VICTOR.address) == 2
    assert federation(*add, OWNER.address) == 0
    assert federation("blacklist", "list") == 0
    assert "The blacklist is empty." in capsys.readouterr().out
    assert federation("blacklist", "add", MINER.address, "--reason", "x") == 0
    assert federation("blacklist", "remove", MINER.address) == 0
    assert federation("blacklist", "remove", MINER.address) == 2
    assert "is not in the blacklist. `soundsright federation blacklist list` prints it." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["db", "add-validator", "--uid", "7", "--hotkey", "alice"],
            "--hotkey 'alice' is not the address of a hotkey",
        ),
        (["db", "add-validator", "--uid", "70000", "--hotkey", VICTOR.address], "70000 is not in the range"),
        (["db", "add-validator", "--uid", "7"], "Missing option '--hotkey'"),
        (["blacklist", "add", "alice"], "HOTKEY 'alice' is not the address of a hotkey"),
        (["blacklist", "add", MINER.address, "--reason", "x" * 201], "reason: give at most 200 printable"),
        (["blacklist", "add", MINER.address, "--reason", "a\nb"], "reason: give at most 200 printable"),
        (["blacklist", "list"], "There is no database"),
        (["db", "add-validator", "--uid", "7", "--hotkey", VICTOR.address], "Run `soundsright federation db init`"),
        (["db", "init", "--database-url", "mysql://me:geheim@host/x"], "cannot be stored in 'mysql'"),
        (["db", "init", "--database-url", "postgresql://owner:geheim@127.0.0.1:1/x"], "failed"),
        (["api", "--admin-hotkeys", "alice"], "ADMIN_HOTKEYS 'alice' cannot be used"),
        (["api", "--cors-origins", "https://a.example/path"], "CORS_ORIGINS"),
        (["api", "--cors-origins", "*"], "CORS_ORIGINS '*' cannot be used"),
        (["api", "--api-port", "0"], "API_PORT '0' cannot be used"),
        (["api", "--api-hotkey", "alice"], "API_HOTKEY 'alice' cannot be used"),
        (["api", "--peer-validators", "[{}]"], "PEER_VALIDATORS cannot be used"),
        (["api", "--sampling-rotation-interval", "0"], "SAMPLING_ROTATION_INTERVAL '0' cannot be used"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = federation(*words)
    error = capsys.readouterr().err
    assert code == (1 if sentence == "failed" else 2)  # A server that is away is no misuse.
    assert sentence in error
    assert "Traceback" not in error
    assert "geheim" not in error
    assert not list((tmp_path / "state").glob("*"))


def test_an_api_without_a_database_ends(served: tuple[Any, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert federation("api") == 2
    error = capsys.readouterr().err
    assert "There is no database" in error
    assert "Run `soundsright federation db init`" in error


def test_an_api_with_another_key_ends(
    served: tuple[Any, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert federation("db", "init") == 0
    monkeypatch.setenv("API_HOTKEY", VICTOR.address)
    assert federation("api") == 2
    assert f"This hotkey is {OWNER.address}, and the owner's API's is {VICTOR.address}" in capsys.readouterr().err


def test_one_database_has_one_api(served: tuple[Any, str]) -> None:
    _, url = served
    assert federation("db", "init") == 0
    ports = ("--api-port", str(free_port()), "--healthcheck-api-port", str(free_port()))

    def work() -> None:
        second = subprocess.run(
            [sys.executable, "-m", "soundsright", "federation", "api", *ports],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 2
        assert "this database of the API" in second.stderr

    assert serving(work, url) == 0
