"""`soundsright executor coordinate` and `submit` on a private chain."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from soundsright.adapters.chains.http import HttpChain
from soundsright.adapters.executors.submission_board import HttpSubmissionBoard
from soundsright.adapters.peers.keys import Hotkey
from soundsright.adapters.state.records import SqlRecords
from soundsright.adapters.state.store import SqlState
from soundsright.cli.main import cli, run
from soundsright.core.errors import ChainUnavailable, PeerUnavailable, RequestRefused
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.image_runs import clips_needed
from soundsright.services.subnet_api.submissions import STREAM
from tests.ports import free_port
from tests.rules.test_systems import WITHOUT
from tests.services.private_corpus import private_material

OWNER, ALICE, BOB, VICTOR = (Hotkey.of_seed(name) for name in ("owner", "alice", "bob", "victor"))
FIRST, SECOND = (f"lab/gate@sha256:{digit * 64}" for digit in "01")


class Net:
    """A private chain and a coordinator in threads of this process. Each `start` runs a command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stop = threading.Event()
        self.codes: dict[str, int] = {}
        self.threads: list[threading.Thread] = []
        self.chain_url = f"http://127.0.0.1:{free_port()}"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.health_url = f"http://127.0.0.1:{free_port()}"

    def start(self, name: str, *words: str) -> None:
        def work() -> None:
            self.codes[name] = run(cli, [*words])

        self.threads.append(threading.Thread(target=work, name=name, daemon=True))
        self.threads[-1].start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(10)

    def chain(self, account: Hotkey) -> HttpChain:
        for _ in range(400):
            try:
                return HttpChain(self.chain_url, account, timeout_s=5.0)
            except ChainUnavailable:
                self.stop.wait(0.05)
        raise AssertionError("the chain does not answer")

    def board(self, account: Hotkey) -> HttpSubmissionBoard:
        return HttpSubmissionBoard(self.url, OWNER.address, account, timeout_s=5.0)

    def until_ready(self) -> None:
        board = self.board(VICTOR)
        for _ in range(400):
            try:
                board.burn_ratio()
                return
            except PeerUnavailable:
                self.stop.wait(0.05)
        raise AssertionError("the coordinator does not answer")


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    found = Net(tmp_path)
    for name, key in (("owner", OWNER), ("alice", ALICE), ("bob", BOB)):
        key.write(tmp_path / "wallets" / name / "hotkeys" / "default")
    given = {
        "WALLET_PATH": str(tmp_path / "wallets"),
        "WALLET": "owner",
        "STATE_FOLDER": str(tmp_path / "state"),
        "SUBTENSOR_CHAIN_ENDPOINT": found.chain_url,
        "CHAIN_PORT": found.chain_url.rpartition(":")[2],
        "SUBNET_API_URL": found.url,
        "SUBNET_API_PORT": found.url.rpartition(":")[2],
        "HEALTHCHECK_API_PORT": found.health_url.rpartition(":")[2],
        "HEALTHCHECK_API_HOST": "127.0.0.1",
        "SUBNET_API_HOST": "127.0.0.1",
        "SOUNDSRIGHT_POLL_S": "0.05",
        "BURN_RATIO": "0.3",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("soundsright.cli.shared.stopping.stopped_by_signals", lambda: nullcontext(found.stop))
    found.start("chain", "chain", "serve", "--block-every", "0")
    try:
        chain = found.chain(OWNER)
        chain.register(ALICE.address)
        chain.register(VICTOR.address, permit=True)
        yield found
    finally:
        found.end()


def submit(*words: str) -> int:
    return run(cli, ["executor", "submit", *words])


def test_an_image_is_submitted_and_stands(net: Net, capsys: pytest.CaptureFixture[str]) -> None:
    net.start("coordinator", "executor", "coordinate")
    net.until_ready()
    capsys.readouterr()
    assert submit("--wallet", "alice", "--image-ref", FIRST) == 0
    assert f"{FIRST} is submitted. You can submit another image from 2" in capsys.readouterr().out
    assert submit("--wallet", "alice", "--image-ref", FIRST) == 0
    assert f"{FIRST} stands already, since 2" in capsys.readouterr().out

    assert submit("--wallet", "alice", "--image-ref", SECOND) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"Refused (cooldown): {FIRST} stands. The next image may come from 2")
    assert submit("--wallet", "bob", "--image-ref", SECOND) == 1
    assert capsys.readouterr().err.startswith("Refused (not_registered): ")

    board = net.board(VICTOR)
    assert [(one.hotkey, one.uid, str(one.image)) for one in board.submissions()] == [(ALICE.address, 0, FIRST)]
    assert board.burn_ratio() == 0.3
    net.chain(OWNER).advance(200)
    for _ in range(200):
        if urllib.request.urlopen(f"{net.health_url}/readyz", timeout=5).status == 200:
            break
    net.end()
    assert net.codes["coordinator"] == 0
    # An executor with the same database reads rows of another scope.
    records = SqlRecords(net.folder / "state" / "coordinator.db", scope="coordinator")
    assert [row.facts["image_ref"] for row in records.read(STREAM)] == [FIRST]
    assert SqlRecords.beside(records, scope="").read(STREAM) == ()
    records.close()


def test_the_round_is_that_of_the_chain_and_of_the_organisers_rules(net: Net) -> None:
    net.start("coordinator", "executor", "coordinate")
    net.until_ready()
    chain = net.chain(OWNER)
    chain.advance(185 - chain.head().number)
    board = net.board(VICTOR)
    for _ in range(200):
        try:
            found = board.challenge()
            break
        except RequestRefused:
            net.stop.wait(0.05)
    assert (found.round_id, found.block_hash) == ("images-180", chain.block_hash(180))
    assert found.clips == clips_needed(ExecutorRules()) == 56


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "IMAGE_REF"),
        (("--image-ref", "lab/gate:latest"), "IMAGE_REF"),
        (("--image-ref", FIRST, "--subnet-api-url", ""), "SUBNET_API_URL"),
        (("--image-ref", FIRST, "--subnet-api-hotkey", "5F"), "SUBNET_API_HOTKEY"),
        (("--image-ref", FIRST, "--wallet", "nobody"), "HOTKEY"),
    ],
)
def test_misuse_is_one_line(
    net: Net, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str
) -> None:
    assert submit(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: {named}")


def test_a_coordinator_that_is_away_is_a_failure(net: Net, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit("--wallet", "alice", "--image-ref", FIRST) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("clips", ["1", "7", "42"])
def test_a_coordinator_whose_sets_could_never_be_run_does_not_start(
    net: Net, capsys: pytest.CaptureFixture[str], clips: str
) -> None:
    assert run(cli, ["executor", "coordinate", "--executor-clips", clips]) == 2
    problem = f"EXECUTOR_CLIPS of the coordinator is {clips}, which is too few for 2 warm-up"
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(("emission", "warned"), [("", True), ("[emission]\nexecutor = 0.2\n", False)])
def test_a_coordinator_of_images_that_nobody_pays_warns(
    net: Net, capsys: pytest.CaptureFixture[str], emission: str, warned: bool
) -> None:
    (net.folder / "rules.toml").write_text(emission + WITHOUT)
    words = ["executor", "coordinate", "--wallet", "alice", "--soundsright-ruleset", "rules.toml"]
    assert run(cli, words) == 2  # Alice does not coordinate.
    warning = "Warning: [emission] of rules.toml gives the executor no share"
    assert (warning in capsys.readouterr().err) == warned


def test_a_coordinator_whose_corpus_has_nothing_for_the_present_round_warns(
    net: Net, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used_up = private_material(net.folder / "home")
    monkeypatch.setenv("SOUNDSRIGHT_CORPUS", str(used_up.corpus))
    monkeypatch.setenv("SOUNDSRIGHT_CORPUS_KEY", str(used_up.key_file))
    assert run(cli, ["executor", "coordinate", "--wallet", "alice"]) == 2
    assert "Warning: no round can begin. " in capsys.readouterr().err


def test_a_key_that_nobody_expects_cannot_coordinate(net: Net, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["executor", "coordinate", "--wallet", "alice"]) == 2
    assert f"the coordinator's is {OWNER.address}" in capsys.readouterr().err


def test_only_one_coordinator_uses_a_state(net: Net, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(SqlState(net.folder / "state" / "coordinator.db", scope="coordinator")) as state:
        assert state.take_lease("coordinator", "elsewhere:net:7", now_s=time.time(), duration_s=60)
    assert run(cli, ["executor", "coordinate"]) == 2
    assert "Process 7 on elsewhere uses this state" in capsys.readouterr().err


def test_another_hotkey_coordinates_if_the_settings_name_it(net: Net) -> None:
    net.start("coordinator", "executor", "coordinate", "--wallet", "alice", "--subnet-api-hotkey", ALICE.address)
    board = HttpSubmissionBoard(net.url, ALICE.address, VICTOR)
    for _ in range(400):
        try:
            assert board.burn_ratio() == 0.3
            break
        except PeerUnavailable:
            net.stop.wait(0.05)
    else:
        raise AssertionError("the coordinator does not answer")
