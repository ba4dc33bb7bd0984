"""A stranger checks a round with a bundle and a chain. `make stranger` shows it with real services."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.core.round_commitment import RoundCommitment
from soundsright.services.records import results_of, round_record, scores_of, write_bundle, write_record
from soundsright.testing.fakechain.http import served_chain
from tests.services.replay.bundled import Bundled
from tests.services.rounds.subnet import ROUND_ID
from tests.system.stranger import BLOCKS_UNTIL_SAMPLE, ROOT, Terminal, Unexpected, show_comparison, show_walk

VICTOR, WANDA = Hotkey.of_seed("victor"), Hotkey.of_seed("wanda")


def signed_bundle(world: Bundled, path: Path, signer: Hotkey) -> str:
    """Write the bundle that the signer makes of the round, and return the SHA-256 of its document."""
    outcome, run = world.outcome, world.folder / "run"
    record = round_record(outcome, results_of(outcome), scores_of(outcome), world.subnet.state, run)
    sha256 = write_record(record, run, signer)
    write_bundle(run, path)
    return sha256


@pytest.mark.slow
def test_a_stranger_needs_nothing_but_a_bundle_and_the_chain(tmp_path: Path) -> None:
    world = Bundled(tmp_path / "round")
    desk, elsewhere = tmp_path / "desk", tmp_path / "elsewhere"
    desk.mkdir()
    said: list[str] = []
    sha256 = signed_bundle(world, desk / "victor.zip", VICTOR)
    signed_bundle(world, desk / "wanda.zip", WANDA)
    show_comparison(
        Terminal(ROOT, desk, said.append), desk / "victor.zip", desk / "wanda.zip", WANDA, steps=["score"]
    )
    with served_chain(tmp_path / "chain.db") as (chain, url):
        chain.register(VICTOR.address)
        assert chain.publish(VICTOR.address, RoundCommitment(ROUND_ID, sha256).text).ok
        chain.advance(BLOCKS_UNTIL_SAMPLE)
        shutil.rmtree(world.folder)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "soundsright", elsewhere / "soundsright", ignore=ignored)
        stranger = Terminal(elsewhere, tmp_path / "stranger", said.append)
        stranger.work.mkdir()
        shutil.move(desk / "victor.zip", stranger.work / "round.zip")
        show_walk(stranger, Path("round.zip"), VICTOR.address, "alice", url)
        with pytest.raises(Unexpected, match="it ended with 3"):
            stranger.run("bundle", "verify", "round.zip", "--signer", WANDA.address, expect="Signer")
    assert any(line.startswith("  Different  score: ESTOI of DENOISING_16000HZ/alice") for line in said)
