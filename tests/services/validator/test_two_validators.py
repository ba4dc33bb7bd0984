"""Two validators of one served private chain: their bundles agree, and a stranger finds what each committed to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.adapters.chains.http import HttpChain
from soundsright.adapters.peers import Hotkey, RequestGate, valid_signature
from soundsright.adapters.state.artifacts import Artifacts
from soundsright.cli.commands.bundle import command
from soundsright.cli.main import run
from soundsright.core.round_commitment import RoundCommitment
from soundsright.core.ss58 import is_address
from soundsright.services.http import Health
from soundsright.services.http.chain import ChainAccess, chain_app
from soundsright.services.records import first_difference, open_bundle
from soundsright.services.records.round_document import round_file
from soundsright.services.rounds import steps
from soundsright.services.validator.service import ValidatorService
from soundsright.testing.state import MemoryState
from tests.browser.conftest import served
from tests.services.validator.test_service import SCHEDULE, VICTOR, Bench

pytest.importorskip("uvicorn")
VERA = Hotkey.of_seed("vera")
ROUND = SCHEDULE.id_of(0)


class Subnet:
    """A finished round of two validators, whose chain is served at `url`. `records` are by validator."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder)
        self.bench.chain.register(VERA.address, stake=2_000.0, permit=True)
        self.bench.to_seed(10)
        self.url = ""
        self.records: dict[Hotkey, Path] = {}

    def play(self) -> None:
        """Let both validators run the round, each over the network and with a state of its own."""
        for account in (VICTOR, VERA):
            folder = self.bench.folder / account.address
            own = self.bench.context(chain=HttpChain(self.url, account))
            state = MemoryState()
            service = ValidatorService(
                replace(
                    own,
                    account=account,
                    state=state,
                    health=Health(self.bench.clock),
                    work=replace(own.work, folder=folder / "state", artifacts=Artifacts(folder / "artifacts")),
                )
            )
            for _ in range(400):
                service.tick()
                if steps.read(state, ROUND, steps.COMMITTED) is not None:
                    break
                if (running := service._running) is not None:
                    running._thread.join(10)
            (round_json,) = folder.rglob("bundle/round.json")
            self.records[account] = round_json.parent


@pytest.fixture(scope="module")
def subnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subnet]:
    subnet = Subnet(tmp_path_factory.mktemp("subnet"))
    access = ChainAccess(
        address=VICTOR.address,
        organiser=VICTOR.address,
        admit=RequestGate(VICTOR.address).admit,
        throttle=lambda _client: None,
        is_address=is_address,
    )
    with served(chain_app(subnet.bench.chain, access)) as url:
        subnet.url = url.rstrip("/")
        subnet.play()
        yield subnet


def verified(subnet: Subnet, record: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the output of `bundle verify` on the chain."""
    capsys.readouterr()
    code = run(command, ["verify", str(record), "--network", subnet.url])
    shown = capsys.readouterr()
    return code, shown.out + shown.err


def signed_again(subnet: Subnet, signer: Hotkey, out: Path, **changes: object) -> Path:
    """Vera's bundle with other values in its document, signed by that hotkey."""
    shutil.copytree(subnet.records[VERA], out)
    with open_bundle(out) as bundle:
        document = bundle.document
    entries = tuple(entry.model_copy(update=changes) for entry in document.entries)
    (out / "round.json").write_text(round_file(document.model_copy(update={"entries": entries}), signer))
    return out


def test_the_bundles_of_two_validators_agree(subnet: Subnet, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = subnet.records[VICTOR], subnet.records[VERA]
    with open_bundle(ours, valid_signature=valid_signature) as one, open_bundle(theirs) as other:
        assert (one.opened.signer, other.opened.signer) == (VICTOR.address, VERA.address)
        assert one.document.weights == other.document.weights
        assert one.document.weights, "somebody is paid"
        assert first_difference(one, other) is None
    assert run(command, ["compare", str(ours), str(theirs)]) == 0
    assert f"The same   round {ROUND}" in capsys.readouterr().out


@pytest.mark.parametrize("account", [VICTOR, VERA], ids=["victor", "vera"])
def test_the_chain_says_who_committed_and_when(
    subnet: Subnet, account: Hotkey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = json.loads((subnet.records[account] / "committed.json").read_text())["block"]
    code, shown = verified(subnet, subnet.records[account], capsys)
    assert (code, f"Committed  by {account.address} in block {block}, 1970-01-11" in shown) == (0, True)
    # The block in the bundle is a hint only.
    for hint in (None, 0, 10**9):
        copy = Path(shutil.copytree(subnet.records[account], tmp_path / str(hint)))
        (copy / "committed.json").unlink()
        if hint is not None:
            (copy / "committed.json").write_text(json.dumps({"schema": "soundsright.committed/1", "block": hint}))
        code, shown = verified(subnet, copy, capsys)
        assert (code, f"in block {block}, 1970-01-1" in shown) == (0, True)


def test_a_commitment_that_was_replaced_is_found_in_its_block(
    subnet: Subnet, capsys: pytest.CaptureFixture[str]
) -> None:
    block = json.loads((subnet.records[VERA] / "committed.json").read_text())["block"]
    assert subnet.bench.chain.publish(VERA.address, RoundCommitment("later", "0" * 64).text).ok
    code, shown = verified(subnet, subnet.records[VERA], capsys)
    assert (code, f"in block {block}, 1970-01-1" in shown) == (0, True)


def test_a_signer_without_a_commitment_is_named(
    subnet: Subnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wilma = Hotkey.of_seed("wilma")
    code, shown = verified(subnet, signed_again(subnet, wilma, tmp_path / "bundle"), capsys)
    assert code == 3
    assert f"{wilma.address} has no commitment to the document" in shown


def test_another_document_of_the_same_signer_is_named_with_both_digests(
    subnet: Subnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = signed_again(subnet, VERA, tmp_path / "bundle", image=f"sha256:{0:064}")
    code, shown = verified(subnet, forged, capsys)
    assert code == 3
    with open_bundle(subnet.records[VERA]) as first, open_bundle(forged) as second:
        assert first.opened.sha256 in shown
        assert second.opened.sha256 in shown
    assert f"{VERA.address} committed to another document of round {ROUND}" in shown
    # Both are signed, so the two bundles convict their signer without a chain too.
    assert run(command, ["compare", str(subnet.records[VERA]), str(forged)]) == 3
