"""The contract of the ports `LiveChain` and `Treasury`: the same tests for every chain.

With E2E_ENDPOINT the tests also run on a real network, such as your own node with short blocks. E2E_NETUID is the
subnet. E2E_WALLETS is a folder with the wallets `alice`, `bob` and `validator`, each with a registered hotkey
`default`; the validator's needs a permit. Without the wallets only the tests that read are run.

To test a chain of your own package, give its URL, such as `E2E_ENDPOINT=ledger:///tmp/new.db`, and `-k network`.
It needs no wallets if it has the methods `register`, `advance` and `weights` of LocalChain.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.chains import ChainOptions, plugged_chain
from soundsright.adapters.chains.bittensor import BittensorChain
from soundsright.adapters.chains.http import HttpChain
from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.chains.timelock import seal
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import ChainUnavailable
from soundsright.core.ports import LiveChain, Treasury
from soundsright.core.submission import Commitment
from soundsright.testing.fakechain.http import client, served_chain
from soundsright.testing.fakechain.ledger import Ledger
from soundsright.testing.fakechain.node import running_node

NETWORK = os.environ.get("E2E_ENDPOINT", "")
WALLETS = os.environ.get("E2E_WALLETS", "")
DIGEST = "ab" * 32


def account(name: str) -> Hotkey:
    return Hotkey.read(Path(WALLETS) / name / "hotkeys" / "default") if WALLETS else Hotkey.of_seed(name)


ALICE, BOB, VALIDATOR = (account(name) for name in ("alice", "bob", "validator"))


class RealNetwork:
    """The owner's part of a subnet that we do not own. It waits for blocks, and skips tests of anything else."""

    def __init__(self, chain: LiveChain) -> None:
        self._chain = chain

    def register(
        self, address: str, *, stake: float = 0.0, permit: bool = False, coldkey: str | None = None
    ) -> int:
        if coldkey is not None:
            pytest.skip("the coldkeys of a real network are its own")
        neuron = next((n for n in self._chain.neurons() if n.hotkey == address), None)
        if neuron is None or (permit and not neuron.permit):
            pytest.skip(f"E2E_WALLETS: {address} is not registered on {NETWORK}, or lacks a permit")
        return neuron.uid

    def advance(self, blocks: int) -> None:
        target = self._chain.head().number + blocks
        while self._chain.head().number < target:
            time.sleep(0.2)

    def appoint(self, address: str) -> None:
        pytest.skip("the owner of a real network is its own")

    def mint(self, address: str, amount_rao: int) -> None:
        pytest.skip("nobody mints on a real network")

    def weights(self, address: str) -> dict[int, float]:
        pytest.skip("weights that commit-reveal seals cannot be read at once")


@dataclass
class Bench:
    """A chain under test: `owner` registers and advances, and each account has a view of its own."""

    owner: Any
    views: dict[str, LiveChain] = field(default_factory=dict)
    url: str = ""

    def of(self, account: Hotkey) -> LiveChain:
        if not self.url:
            local: LiveChain = self.owner
            return local
        if account.address not in self.views:
            if self.url.startswith("http"):
                self.views[account.address] = client(self.url, account)
            else:
                self.views[account.address] = opened(self.url, account)
        return self.views[account.address]

    @property
    def real(self) -> bool:
        return bool(NETWORK) and self.url == NETWORK

    def close(self) -> None:
        for chain in self.views.values():
            chain.close()

    def register(
        self, account: Hotkey, *, stake: float = 0.0, permit: bool = False, coldkey: str | None = None
    ) -> int:
        if coldkey is None:
            return int(self.owner.register(account.address, stake=stake, permit=permit))
        return int(self.owner.register(account.address, stake=stake, permit=permit, coldkey=coldkey))

    def treasury(self, account: Hotkey) -> Treasury:
        chain: Any = self.of(account)
        if not hasattr(chain, "transfers"):
            pytest.skip("this chain has no transfers")
        treasury: Treasury = chain
        return treasury

    def advance(self, blocks: int) -> None:
        self.owner.advance(blocks)

    def weights(self, account: Hotkey) -> dict[int, float]:
        return dict(self.owner.weights(account.address))


def opened(url: str, account: Hotkey) -> LiveChain:
    if url != NETWORK:
        return BittensorChain(url, 1, account, read_timeout_s=10, write_timeout_s=20)
    netuid = int(os.environ.get("E2E_NETUID", "105"))
    if url.startswith("ws"):
        return BittensorChain(url, netuid, account)
    return plugged_chain(ChainOptions(url, netuid, account))


def owner_of(chain: LiveChain) -> Any:
    """The chain itself if we may register and make blocks on it, otherwise a substitute that waits or skips."""
    if isinstance(chain, BittensorChain | HttpChain):
        return RealNetwork(chain)
    own = all(hasattr(chain, name) for name in ("register", "advance", "weights"))
    return chain if own else RealNetwork(chain)


@pytest.fixture(params=["local", "http", "bittensor", *(["network"] if NETWORK else [])])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    if request.param == "local":
        yield Bench(LocalChain(tmp_path / "chain.db"))
    elif request.param == "http":
        with served_chain(tmp_path / "chain.db") as (chain, url):
            yield Bench(chain, url=url)
    else:
        # The SDK keeps its caches in the home folder otherwise.
        monkeypatch.setenv("BITTENSOR_RUNTIME_CACHE_DIR", str(tmp_path / "runtime"))
        monkeypatch.setenv("BTCLI_TOKEN_SYMBOLS_CACHE", str(tmp_path / "symbols"))
        with contextlib.ExitStack() as stack:
            if request.param == "network":
                bench = Bench(None, url=NETWORK)
                bench.owner = owner_of(bench.of(ALICE))
            else:
                node = stack.enter_context(running_node(Ledger()))
                bench = Bench(node, url=node.url)
            stack.callback(bench.close)
            yield bench


def test_blocks_are_numbered_in_order_and_keep_their_hash_and_time(bench: Bench) -> None:
    chain = bench.of(ALICE)
    first = chain.head()
    bench.advance(3)
    later = chain.head()
    assert later.number == first.number + 3
    assert chain.block_hash(first.number) == first.hash != later.hash
    assert chain.timestamp_s(first.number) <= chain.timestamp_s(later.number)
    assert chain.finalized().number <= later.number


def test_a_future_block_has_no_hash(bench: Bench) -> None:
    chain = bench.of(ALICE)
    with pytest.raises(ChainUnavailable):
        chain.block_hash(chain.head().number + 100)


def test_a_commitment_is_read_with_the_block_that_it_was_made_in(bench: Bench) -> None:
    bench.register(ALICE)
    chain = bench.of(ALICE)
    result = chain.publish(ALICE.address, DIGEST)
    assert result.ok
    (commitment,) = of_alice(chain.commitments())
    assert (commitment.digest, commitment.block) == (DIGEST, result.block)


@pytest.mark.parametrize("text", [DIGEST, "n" * 300, seal("n" * 300, 1_000)], ids=["digest", "plain", "sealed"])
def test_every_kind_of_commitment_is_read_unchanged(bench: Bench, text: str) -> None:
    bench.register(ALICE)
    assert bench.of(ALICE).publish(ALICE.address, text).ok
    assert [c.digest for c in of_alice(bench.of(ALICE).commitments())] == [text]


def of_alice(commitments: tuple[Commitment, ...]) -> list[Commitment]:
    return [commitment for commitment in commitments if commitment.hotkey == ALICE.address]


def test_a_snapshot_shows_the_chain_as_of_its_block(bench: Bench) -> None:
    bench.register(ALICE)
    chain = bench.of(ALICE)
    first = chain.publish(ALICE.address, DIGEST)
    bench.advance(2)
    bench.register(BOB)
    chain.publish(ALICE.address, "cd" * 32)
    then = chain.snapshot(first.block)
    assert [c.digest for c in of_alice(then.commitments)] == [DIGEST]
    now = chain.snapshot()
    assert {n.hotkey for n in now.neurons} & {ALICE.address, BOB.address} == {ALICE.address, BOB.address}
    assert [c.digest for c in of_alice(now.commitments)] == ["cd" * 32]
    if not bench.real:
        assert [n.hotkey for n in then.neurons] == [ALICE.address]


def test_a_text_that_is_committed_again_has_its_first_block_if_the_chain_lists_it(bench: Bench) -> None:
    bench.register(ALICE)
    chain = bench.of(ALICE)
    first = chain.publish(ALICE.address, DIGEST)
    chain.publish(ALICE.address, "cd" * 32)
    bench.advance(1)
    (between,) = of_alice(chain.commitments())
    again = chain.publish(ALICE.address, DIGEST)
    bench.advance(1)
    (now,) = of_alice(chain.commitments())
    assert between.first_block in (None, between.block)
    assert (now.block, now.first_block) in ((again.block, first.block), (again.block, None))


def test_neurons_have_stake_permit_and_endpoint(bench: Bench) -> None:
    uid = bench.register(VALIDATOR, stake=1_500.0, permit=True)
    chain = bench.of(VALIDATOR)
    assert chain.publish_endpoint(VALIDATOR.address, "10.0.0.7:6001").ok
    (neuron,) = (n for n in chain.neurons() if n.hotkey == VALIDATOR.address)
    assert (neuron.uid, neuron.permit, neuron.endpoint) == (uid, True, "10.0.0.7:6001")
    assert neuron.stake > 0 if bench.real else neuron.stake == 1_500.0


def test_weights_are_set_by_hotkey_and_kept_by_uid(bench: Bench) -> None:
    alice, bob = bench.register(ALICE), bench.register(BOB)
    bench.register(VALIDATOR, stake=1_500.0, permit=True)
    result = bench.of(VALIDATOR).set_weights(VALIDATOR.address, {ALICE.address: 0.75, BOB.address: 0.25})
    assert result.ok, result
    kept = bench.weights(VALIDATOR)
    assert kept[alice] == pytest.approx(3 * kept[bob], rel=1e-3)
    # A validator whose write got no answer reads this to see whether it succeeded.
    set_at = {n.hotkey: n.weights_set_at for n in bench.of(ALICE).snapshot().neurons}
    assert set_at == {ALICE.address: None, BOB.address: None, VALIDATOR.address: result.block}


def test_writes_without_registration_or_permit_are_refused_for_good(bench: Bench) -> None:
    stranger = Hotkey.of_seed("a stranger")
    assert not bench.of(stranger).publish(stranger.address, DIGEST).ok
    bench.register(ALICE)
    result = bench.of(ALICE).set_weights(ALICE.address, {ALICE.address: 1.0})
    assert not result.ok
    assert not result.unknown
    assert result.code == "no_permit"


def test_two_accounts_read_the_same_snapshot(bench: Bench) -> None:
    bench.register(ALICE)
    bench.of(ALICE).publish(ALICE.address, DIGEST)
    number = bench.of(ALICE).finalized().number
    assert bench.of(ALICE).snapshot(number) == bench.of(BOB).snapshot(number)


def test_a_finalized_block_has_a_hash_a_recent_time_and_neurons(bench: Bench) -> None:
    chain = bench.of(ALICE)
    final = chain.finalized()
    assert chain.block_hash(final.number) == final.hash
    if bench.real:
        assert abs(chain.timestamp_s(final.number) - time.time()) < 600
        assert chain.snapshot(final.number).neurons
    assert chain.rules().tempo_blocks > 0
    assert 0 < chain.rules().max_weight <= 1


COLD, OTHER, TREASURY = (Hotkey.of_seed(f"{name}'s coldkey").address for name in ("alice", "bob", "treasury"))


def test_a_neuron_has_the_coldkey_that_owns_it(bench: Bench) -> None:
    bench.register(ALICE, coldkey=COLD)
    bench.register(BOB, coldkey=COLD)
    assert [(n.hotkey, n.coldkey) for n in bench.of(BOB).neurons()] == [
        (ALICE.address, COLD),
        (BOB.address, COLD),
    ]


def test_the_owner_of_a_chain_is_known_to_everybody(bench: Bench) -> None:
    if not bench.real:
        bench.owner.appoint(BOB.address)
        assert bench.of(ALICE).owner() == BOB.address
    assert isinstance(bench.of(ALICE).owner(), str)


@pytest.fixture
def funded(bench: Bench) -> Bench:
    """A chain on which two coldkeys have RAO, and a treasury has an account."""
    for coldkey, amount_rao in ((COLD, 10**9), (OTHER, 500), (TREASURY, 1)):
        bench.owner.mint(coldkey, amount_rao)
    bench.advance(1)
    return bench


def test_transfers_are_listed_in_order_with_sender_amount_and_block(funded: Bench) -> None:
    treasury, before = funded.treasury(ALICE), funded.of(ALICE).head().number
    blocks = []
    for sender, amount_rao in ((COLD, 250_000_000), (OTHER, 500), (COLD, 250_000_000)):
        funded.owner.transfer(sender, TREASURY, amount_rao)
        blocks.append(funded.of(ALICE).head().number)
        funded.owner.transfer(TREASURY, COLD, 1)  # Not to the treasury.
    listed = treasury.transfers(TREASURY, before)
    assert [(t.coldkey, t.amount_rao, t.block) for t in listed] == [
        (COLD, 250_000_000, blocks[0]),
        (OTHER, 500, blocks[1]),
        (COLD, 250_000_000, blocks[2]),
    ]
    assert len({t.id for t in listed}) == 3
    assert treasury.transfers(TREASURY, blocks[0]) == listed[1:]
    assert treasury.transfers(TREASURY, before, blocks[1]) == listed[:2]
    assert treasury.transfers(TREASURY, blocks[2]) == ()
    assert treasury.transfers(OTHER, before) == ()


def test_transfers_of_blocks_that_are_not_final_are_no_empty_list(funded: Bench) -> None:
    treasury, final = funded.treasury(ALICE), funded.of(ALICE).finalized().number
    assert treasury.transfers(TREASURY, final, final) == ()
    for after, until in ((final + 100, None), (final, final + 100)):
        with pytest.raises(ChainUnavailable):
            treasury.transfers(TREASURY, after, until)
