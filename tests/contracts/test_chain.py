"""What every chain must do, whoever keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.chain_bittensor import BittensorChain
from soundsright.adapters.chain_local import LocalChain
from soundsright.adapters.http_auth_keys import Hotkey
from soundsright.core.errors import ChainUnavailable
from soundsright.core.ports import LiveChain
from soundsright.testing.fakechain_http import client, served_chain
from soundsright.testing.fakechain_ledger import Ledger
from soundsright.testing.fakechain_node import running_node

ALICE, BOB, VALIDATOR = (Hotkey.of_seed(name) for name in ("alice", "bob", "validator"))
DIGEST = "ab" * 32


@dataclass
class Bench:
    """A chain under test: each account's view of it, and the hand of whoever keeps it."""

    own: Any
    views: dict[str, LiveChain] = field(default_factory=dict)
    url: str = ""

    def of(self, account: Hotkey) -> LiveChain:
        if not self.url:
            return self.own
        if account.address not in self.views:
            if self.url.startswith("ws"):
                self.views[account.address] = BittensorChain(
                    self.url, 1, account, read_timeout_s=10, write_timeout_s=20
                )
            else:
                self.views[account.address] = client(self.url, account)
        return self.views[account.address]

    def close(self) -> None:
        for chain in self.views.values():
            chain.close()

    def register(self, account: Hotkey, *, stake: float = 0.0, permit: bool = False) -> int:
        return int(self.own.register(account.address, stake=stake, permit=permit))

    def advance(self, blocks: int) -> None:
        self.own.advance(blocks)

    def weights(self, account: Hotkey) -> dict[int, float]:
        return dict(self.own.weights(account.address))


@pytest.fixture(params=["local", "http", "bittensor"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    if request.param == "local":
        yield Bench(LocalChain(tmp_path / "chain.db"))
    elif request.param == "http":
        with served_chain(tmp_path / "chain.db") as (chain, url):
            yield Bench(chain, url=url)
    else:
        # The SDK's own caches, which are in the home folder otherwise.
        monkeypatch.setenv("BITTENSOR_RUNTIME_CACHE_DIR", str(tmp_path / "runtime"))
        monkeypatch.setenv("BTCLI_TOKEN_SYMBOLS_CACHE", str(tmp_path / "symbols"))
        with running_node(Ledger()) as node:
            bench = Bench(node, url=node.url)
            try:
                yield bench
            finally:
                bench.close()


def test_blocks_follow_each_other_and_keep_their_hash_and_time(bench: Bench) -> None:
    chain = bench.of(ALICE)
    first = chain.head()
    bench.advance(3)
    later = chain.head()
    assert later.number == first.number + 3
    assert chain.block_hash(first.number) == first.hash != later.hash
    assert chain.timestamp_s(first.number) <= chain.timestamp_s(later.number)
    assert chain.finalized().number <= later.number


def test_a_block_to_come_has_no_hash(bench: Bench) -> None:
    chain = bench.of(ALICE)
    with pytest.raises(ChainUnavailable):
        chain.block_hash(chain.head().number + 100)


def test_a_commitment_is_read_with_the_block_it_was_made_in(bench: Bench) -> None:
    bench.register(ALICE)
    chain = bench.of(ALICE)
    result = chain.publish(ALICE.address, DIGEST)
    assert result.ok
    (commitment,) = chain.commitments()
    assert (commitment.hotkey, commitment.digest, commitment.block) == (ALICE.address, DIGEST, result.block)


def test_a_snapshot_shows_the_chain_as_it_was(bench: Bench) -> None:
    bench.register(ALICE)
    chain = bench.of(ALICE)
    first = chain.publish(ALICE.address, DIGEST)
    bench.advance(2)
    bench.register(BOB)
    chain.publish(ALICE.address, "cd" * 32)
    then = chain.snapshot(first.block)
    assert [n.hotkey for n in then.neurons] == [ALICE.address]
    assert [c.digest for c in then.commitments] == [DIGEST]
    now = chain.snapshot()
    assert {n.hotkey for n in now.neurons} == {ALICE.address, BOB.address}
    assert [c.digest for c in now.commitments] == ["cd" * 32]


def test_neurons_carry_stake_permit_and_endpoint(bench: Bench) -> None:
    uid = bench.register(VALIDATOR, stake=1_500.0, permit=True)
    chain = bench.of(VALIDATOR)
    assert chain.publish_endpoint(VALIDATOR.address, "10.0.0.7:6001").ok
    (neuron,) = chain.neurons()
    assert (neuron.uid, neuron.stake, neuron.permit, neuron.endpoint) == (uid, 1_500.0, True, "10.0.0.7:6001")


def test_weights_are_set_by_hotkey_and_kept_by_uid(bench: Bench) -> None:
    alice, bob = bench.register(ALICE), bench.register(BOB)
    bench.register(VALIDATOR, stake=1_500.0, permit=True)
    result = bench.of(VALIDATOR).set_weights(VALIDATOR.address, {ALICE.address: 0.75, BOB.address: 0.25})
    assert result.ok, result
    kept = bench.weights(VALIDATOR)
    assert kept[alice] == pytest.approx(3 * kept[bob], rel=1e-3)


def test_writes_of_the_unregistered_and_of_those_without_permit_are_told_as_refused(bench: Bench) -> None:
    assert not bench.of(BOB).publish(BOB.address, DIGEST).ok
    bench.register(ALICE)
    result = bench.of(ALICE).set_weights(ALICE.address, {ALICE.address: 1.0})
    assert not result.ok
    assert not result.unknown
    assert result.code == "no_permit"


def test_two_chains_of_one_service_agree(bench: Bench) -> None:
    bench.register(ALICE)
    bench.of(ALICE).publish(ALICE.address, DIGEST)
    assert bench.of(ALICE).snapshot(1) == bench.of(BOB).snapshot(1)
