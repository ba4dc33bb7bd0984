"""A round's whole way with real processes: validator, signed bundle, commitment, entry in a log, page, stranger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from soundsright.adapters.peers import valid_signature
from soundsright.cli.main import cli, run
from soundsright.core.round_commitment import round_commitment_in
from soundsright.services.board.server import LiveSite, board_app
from soundsright.services.log import read_proof
from soundsright.services.records import open_bundle
from tests.browser.conftest import served
from tests.ports import free_port
from tests.system.world import HOURS_A_DAY, World, running_world, until

CLIPS = 6


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield from running_world(tmp_path)


def start_log(world: World) -> str:
    """Serve a log that takes the documents of validators with a permit on the chain. Returns its address."""
    port = free_port()
    health = {"HEALTHCHECK_API_PORT": str(free_port())}
    world.start("keeper", ["log", "serve", "--host", "127.0.0.1", "--port", str(port)], health)
    until(lambda: "0 entries at" in world.services["keeper"].output(), "the log answers")
    return f"http://127.0.0.1:{port}"


def judged_round(world: World) -> Path:
    """The folder of a round that a validator judged, committed to and put into the log."""
    victor = world.key("victor")
    chain = world.start_chain()
    chain.register(victor.address, stake=2_000.0, permit=True)
    chain.register(world.key("alice").address)
    log = start_log(world)
    world.start_miner("alice", world.model("smooth", "alice"))
    settings = {"ROUND_LOG_URL": log, "ROUND_LOG_HOTKEY": world.key("keeper").address}
    world.start_validator("victor", SOUNDSRIGHT_CLIPS=str(CLIPS), SOUNDSRIGHT_SPEECH="recordings", **settings)
    until(lambda: len(chain.commitments()) == 1, "the miner's commitment")
    until(lambda: sum(neuron.endpoint is not None for neuron in chain.neurons()) == 2, "two endpoints")
    until(lambda: (world.health("victor", "/readyz") or {}).get("status"), "the validator is ready")
    chain.advance(2 * HOURS_A_DAY)
    until(lambda: chain.weights(victor.address), "weights", timeout_s=600)
    rounds = world.folder / "victor" / "rounds"
    (proof,) = until(lambda: list(rounds.glob("*/log.json")), "the round is in the log", timeout_s=60)
    until(lambda: next(rounds.glob("*/bundle/committed.json"), None), "the commitment", timeout_s=60)
    assert "warning" not in world.services["keeper"].output().lower()
    own = next(c for c in chain.commitments() if c.hotkey == victor.address)
    with open_bundle(proof.parent / "bundle", valid_signature=valid_signature) as bundle:
        committed = round_commitment_in(own.digest)
        assert committed is not None
        assert (committed.sha256, bundle.opened.signer) == (bundle.opened.sha256, victor.address)
    return proof.parent


@pytest.mark.slow
def test_a_judged_round_is_signed_committed_logged_and_shown(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = judged_round(world)
    victor, keeper = world.key("victor").address, world.key("keeper").address
    proof = read_proof(folder, valid_signature=valid_signature)
    assert proof is not None
    assert (proof.head.log, proof.index, proof.signer) == (keeper, 0, victor)
    readyz = world.health("victor", "/readyz")
    assert "log" not in json.dumps(readyz.get("problems", {})), readyz

    monkeypatch.setenv("STATE_FOLDER", str(tmp_path / "stranger"))
    site = LiveSite([folder], live=False, valid_signature=valid_signature, log=keeper)
    with served(board_app(site)) as root:
        page = httpx.get(f"{root}r/{folder.name}/").text
        assert f"The record is entry 0 of 1 entry in the log <code>{keeper}</code>" in page
        assert f"signed by <code>{victor}</code> (uid " in page
        assert "The signer says that it committed to this record in block" in page
        # A stranger with these addresses checks the round, and what the log and the chain say of it.
        bundle = f"{root}r/{folder.name}/bundle"
        words = ["bundle", "verify", bundle, "--signer", victor, "--log", keeper, "--network", world.url]
        assert run(cli, [*words, "--audio"]) == 0
        assert run(cli, ["replay", bundle, "--signer", victor]) == 0
        assert run(cli, ["log", "audit", proof.url, "--log", keeper]) == 0
        assert run(cli, [*words[:-4], "--log", victor]) == 3
    said = capsys.readouterr()
    assert f"Log        entry 0 of 1 entry in the log {keeper}" in said.out
    assert f"Committed  by {victor} in block" in said.out
    assert "Same       Nothing that was checked differs." in said.out
    assert "1 entry, root" in said.out
    assert f"is of the log {keeper}, and not of {victor}" in said.err


@pytest.mark.slow
def test_a_log_that_is_away_stops_no_round_and_gets_it_after_a_restart(world: World) -> None:
    """The validator says that the log is away, judges, pays and commits. Started again, it appends the round."""
    victor = world.key("victor")
    chain = world.start_chain()
    chain.register(victor.address, stake=2_000.0, permit=True)
    chain.register(world.key("alice").address)
    port = free_port()
    settings = {
        "ROUND_LOG_URL": f"http://127.0.0.1:{port}",
        "ROUND_LOG_HOTKEY": world.key("keeper").address,
        "SOUNDSRIGHT_CLIPS": str(CLIPS),
        "SOUNDSRIGHT_SPEECH": "recordings",
    }
    world.start_miner("alice", world.model("smooth", "alice"))
    world.start_validator("victor", **settings)
    until(lambda: len(chain.commitments()) == 1, "the miner's commitment")
    until(lambda: sum(neuron.endpoint is not None for neuron in chain.neurons()) == 2, "two endpoints")
    chain.advance(2 * HOURS_A_DAY)
    rounds = world.folder / "victor" / "rounds"
    until(lambda: next(rounds.glob("*/bundle/committed.json"), None), "the commitment", timeout_s=600)
    assert chain.weights(victor.address)
    until(lambda: "is not in the log" in json.dumps(world.health("victor", "/readyz")), "the problem", timeout_s=60)
    assert not list(rounds.glob("*/log.json"))
    assert world.services["victor"].stop() == 0
    health = {"HEALTHCHECK_API_PORT": str(free_port())}
    world.start("keeper", ["log", "serve", "--host", "127.0.0.1", "--port", str(port)], health)
    until(lambda: "0 entries at" in world.services["keeper"].output(), "the log answers")
    world.start_validator("victor", **settings)
    until(lambda: next(rounds.glob("*/log.json"), None), "the round is in the log", timeout_s=60)
