"""Bittensor through its unmodified SDK, against a node on this machine that fails as networks do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.chains.bittensor import BittensorChain
from soundsright.adapters.chains.timelock import seal, sealed_text
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import ChainUnavailable, InfrastructureFault, UsageError
from soundsright.core.ports import SubnetRules
from soundsright.testing.fakechain.ledger import Ledger
from soundsright.testing.fakechain.node import RunningNode, running_node
from tests.ports import free_port
from tests.services.services_bench import ALICE, ENTRY, VICTOR, miner_on

BOB = Hotkey.of_seed("bob")
Connect = Callable[..., BittensorChain]


@pytest.fixture(autouse=True)
def _caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITTENSOR_RUNTIME_CACHE_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("BTCLI_TOKEN_SYMBOLS_CACHE", str(tmp_path / "symbols"))


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[RunningNode]:
    """A subnet with alice, bob and the validator victor."""
    with running_node(Ledger(**getattr(request, "param", {}))) as running:
        for miner in (ALICE, BOB):
            running.register(miner.address)
        running.register(VICTOR.address, stake=2_000.0, permit=True)
        yield running


@pytest.fixture
def connect(node: RunningNode) -> Iterator[Connect]:
    opened: list[BittensorChain] = []

    def make(account: Hotkey | None = None, **options: Any) -> BittensorChain:
        defaults: dict[str, Any] = {"read_timeout_s": 10.0, "write_timeout_s": 15.0, "sleep": lambda _s: None}
        opened.append(BittensorChain(node.url, 1, account, **(defaults | options)))
        return opened[-1]

    yield make
    for chain in opened:
        chain.close()


def test_a_metagraph_with_commitments_is_one_runtime_call_and_two_maps(node: RunningNode, connect: Connect) -> None:
    for number in range(253):
        node.do(partial(node.node.ledger.register, Hotkey.of_seed(f"m{number}").address))
    chain = connect(ALICE)
    chain.publish(ALICE.address, "ab" * 32)
    node.node.calls.clear()
    snapshot = chain.snapshot()
    assert len(snapshot.neurons) == 256
    assert [c.digest for c in snapshot.commitments] == ["ab" * 32]
    assert sum(call == "state_call" for call in node.node.calls) == 1


def test_a_clock_is_compared_with_the_time_of_the_head(node: RunningNode, connect: Connect) -> None:
    chain = connect()
    now_s = chain.timestamp_s(chain.head().number)
    # The head can be a minute old, so a clock up to a minute ahead of it may be right.
    assert chain.clock_offset_s(now_s + 30) == 0.0
    assert chain.clock_offset_s(now_s + 90) == pytest.approx(-90, abs=0.01)
    assert chain.clock_offset_s(now_s - 60) == pytest.approx(60, abs=0.01)


def test_stake_permit_and_registration_are_read(connect: Connect) -> None:
    by_hotkey = {neuron.hotkey: neuron for neuron in connect().neurons()}
    victor = by_hotkey[VICTOR.address]
    assert (victor.stake, victor.permit, victor.endpoint) == (2_000.0, True, None)
    assert victor.registered_at > 0
    assert not by_hotkey[ALICE.address].permit


@pytest.mark.parametrize(
    "text",
    [
        *("ab" * 32, "00" * 32, "0x" + "ab" * 30, "plain text", "x" * 128, "x" * 129, "x" * 512),
        *(seal("x" * 300, 1_000), sealed_text(7, b"\xff" * 1_024), sealed_text(7, b"text")),
    ],
)
def test_a_committed_text_is_read_unchanged(connect: Connect, text: str) -> None:
    chain = connect(ALICE)
    assert chain.publish(ALICE.address, text).ok
    if text.startswith("0x"):
        # The SDK shows text that begins with 0x like bytes. Our digests never begin so.
        assert len(chain.commitments()) <= 1
    else:
        assert [c.digest for c in chain.commitments()] == [text]


def test_a_commitment_of_another_kind_is_left_out(node: RunningNode, connect: Connect) -> None:
    key = [1, ALICE.address]
    for fields in (
        [{"BlakeTwo256": b"x" * 32}],
        [{"BigRaw": b"\xff" * 300}],
        [{"Raw3": b"one"}, {"Raw3": b"two"}],
        [{"Raw2": b"\xff\xfe"}],
    ):
        info = {"deposit": 0, "block": 1, "info": {"fields": [fields]}}
        node.do(partial(node.node.ledger.put, "Commitments", "CommitmentOf", key, info))
        node.advance()
        assert connect().commitments() == ()


@pytest.mark.parametrize("text", ["", "x" * 513, sealed_text(5, b"x" * 1_025), "sealed:5:?"])
def test_a_text_that_does_not_fit_is_not_sent(connect: Connect, text: str) -> None:
    assert connect(ALICE).publish(ALICE.address, text).code == "too_long"


def test_the_space_for_commitments_in_an_epoch_is_limited(connect: Connect) -> None:
    chain = connect(ALICE)
    results = [chain.publish(ALICE.address, f"{number:064}") for number in range(32)]
    assert [r.ok for r in results] == [True] * 31 + [False]
    assert not results[-1].unknown


@pytest.mark.parametrize("node", [{"rate_limit_blocks": 50}], indirect=True)
def test_weights_set_too_early_are_refused_and_can_be_tried_later(node: RunningNode, connect: Connect) -> None:
    chain = connect(VICTOR)
    assert chain.set_weights(VICTOR.address, {ALICE.address: 1.0}).ok
    result = chain.set_weights(VICTOR.address, {BOB.address: 1.0})
    assert (result.ok, result.code, result.retryable) == (False, "rate_limited", True)
    node.advance(50)
    assert chain.set_weights(VICTOR.address, {BOB.address: 1.0}).ok


@pytest.mark.parametrize("node", [{"commit_reveal": True}], indirect=True)
def test_weights_are_sealed_if_the_subnet_uses_commit_reveal(node: RunningNode, connect: Connect) -> None:
    assert connect(VICTOR).set_weights(VICTOR.address, {ALICE.address: 0.7, BOB.address: 0.3}).ok
    assert node.weights(VICTOR.address) == {}
    ((hotkey, reveal_round),) = node.do(node.node.ledger.sealed_weights)
    assert hotkey == VICTOR.address
    assert reveal_round > 0


def test_weights_are_set_with_the_version_key_of_the_subnet(node: RunningNode, connect: Connect) -> None:
    node.do(lambda: node.node.ledger.put("SubtensorModule", "WeightsVersionKey", [1], 7))
    node.advance()
    assert connect(VICTOR).set_weights(VICTOR.address, {ALICE.address: 1.0}).ok


def hyperparameter(node: RunningNode, name: str, value: int | bool) -> None:
    node.do(lambda: node.node.ledger.put("SubtensorModule", name, [1], value))
    node.advance()


def test_the_rules_of_the_subnet_are_read_again_on_each_call(node: RunningNode, connect: Connect) -> None:
    chain = connect()
    assert chain.rules() == SubnetRules(361, 0, 0, 1.0, False)
    for name, value in (
        ("Tempo", 99),
        ("WeightsSetRateLimit", 50),
        ("MinAllowedWeights", 8),
        ("MaxWeightsLimit", 6_553),
        ("CommitRevealWeightsEnabled", True),
    ):
        hyperparameter(node, name, value)
    assert chain.rules() == SubnetRules(100, 50, 8, 6_553 / 65_535, True)


def test_missing_weights_are_filled_with_the_smallest_weight(node: RunningNode, connect: Connect) -> None:
    for number in range(4):
        node.register(Hotkey.of_seed(f"more-{number}").address)
    hyperparameter(node, "MinAllowedWeights", 5)
    assert connect(VICTOR).set_weights(VICTOR.address, {BOB.address: 0.6, VICTOR.address: 0.4, "x": 0.0}).code == (
        "unknown_hotkey"
    )
    result = connect(VICTOR).set_weights(VICTOR.address, {BOB.address: 0.6, VICTOR.address: 0.4})
    assert result.ok, result
    kept = node.weights(VICTOR.address)
    assert kept[1] == 1.0
    assert kept[2] == pytest.approx(2 / 3, abs=1e-4)
    # By increasing uid: alice, then two of the others, with 1/65535 each.
    assert {uid: round(weight * 65_535) for uid, weight in kept.items() if uid not in (1, 2)} == {0: 1, 3: 1, 4: 1}


def test_no_hotkey_gets_more_than_the_subnet_allows(node: RunningNode, connect: Connect) -> None:
    hyperparameter(node, "MaxWeightsLimit", 65_535 // 2)
    result = connect(VICTOR).set_weights(
        VICTOR.address, {ALICE.address: 0.9, BOB.address: 0.06, VICTOR.address: 0.04}
    )
    assert result.ok, result
    kept = node.weights(VICTOR.address)
    assert kept[0] / sum(kept.values()) == pytest.approx(0.5, abs=1e-3)
    assert kept[1] / kept[2] == pytest.approx(1.5, rel=1e-3)


def test_an_endpoint_that_changes_too_often_does_not_delay_the_commitment(
    node: RunningNode, connect: Connect, tmp_path: Path
) -> None:
    hyperparameter(node, "ServingRateLimit", 50)
    chain = connect(ALICE)
    assert chain.publish_endpoint(ALICE.address, "10.0.0.1:1").ok
    result = chain.publish_endpoint(ALICE.address, "10.0.0.1:2")
    assert (result.ok, result.retryable) == (False, True), result
    with pytest.raises(InfrastructureFault, match="endpoint"):
        miner_on(chain, tmp_path, endpoint="10.0.0.1:2").tick()
    assert [c.digest for c in chain.commitments()] == [ENTRY.digest]


def test_all_zero_weights_never_become_uniform(node: RunningNode, connect: Connect) -> None:
    result = connect(VICTOR).set_weights(VICTOR.address, {ALICE.address: 0.0, BOB.address: 0.0})
    assert result.code == "bad_weights"
    assert node.weights(VICTOR.address) == {}


def test_weights_for_an_unregistered_hotkey_are_not_sent(connect: Connect) -> None:
    assert connect(VICTOR).set_weights(VICTOR.address, {"gone": 1.0}).code == "unknown_hotkey"


def test_a_broken_connection_is_replaced(node: RunningNode, connect: Connect) -> None:
    chain = connect(ALICE)
    for _ in range(3):
        node.drop_connections()
        assert chain.head().number == node.node.ledger.head.number


def test_a_hanging_node_is_given_up_in_time_and_used_again_when_it_answers(
    node: RunningNode, connect: Connect
) -> None:
    chain = connect(ALICE)
    chain._connection.read_timeout_s = 0.5
    node.node.faults.silent = {"chain_getHead", "chain_getHeader", "chain_getBlockHash", "chain_getFinalizedHead"}
    started_s = time.monotonic()
    with pytest.raises(ChainUnavailable, match="SUBTENSOR_CHAIN_ENDPOINT"):
        chain.head()
    assert time.monotonic() - started_s < 20
    node.node.faults.silent = set()
    chain._connection.read_timeout_s = 10.0
    assert chain.head().number == node.node.ledger.head.number


def test_a_write_that_no_block_includes_is_unknown(node: RunningNode, connect: Connect) -> None:
    chain = connect(ALICE, write_timeout_s=1.0)
    node.node.faults.swallows = True
    result = chain.publish(ALICE.address, "ab" * 32)
    assert (result.ok, result.unknown, result.retryable) == (False, True, True)
    node.node.faults.swallows = False
    chain._connection.write_timeout_s = 15.0
    assert chain.publish(ALICE.address, "ab" * 32).ok


def test_a_write_whose_connection_breaks_is_ok_or_unknown(node: RunningNode, connect: Connect) -> None:
    chain = connect(ALICE)
    node.node.faults.drops = True
    result = chain.publish(ALICE.address, "ab" * 32)
    assert result.ok or result.unknown
    deadline_s = time.monotonic() + 10
    while not chain.commitments():
        assert time.monotonic() < deadline_s
    assert [c.digest for c in chain.commitments()] == ["ab" * 32]


def test_a_node_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(ChainUnavailable, match=str(port)):
        BittensorChain(f"ws://127.0.0.1:{port}", 1, read_timeout_s=5, sleep=lambda _s: None)


def test_a_subnet_that_does_not_exist_is_named(node: RunningNode) -> None:
    with pytest.raises(UsageError, match="NETUID 9"):
        BittensorChain(node.url, 9, read_timeout_s=10)


def test_a_miner_commits_and_publishes_its_endpoint(node: RunningNode, connect: Connect, tmp_path: Path) -> None:
    chain = connect(ALICE)
    miner = miner_on(chain, tmp_path, endpoint="127.0.0.1:6001")
    miner.tick()
    miner.tick()
    assert [(c.hotkey, c.digest) for c in chain.commitments()] == [(ALICE.address, ENTRY.digest)]
    assert {n.hotkey: n.endpoint for n in chain.neurons()}[ALICE.address] == "127.0.0.1:6001"
    assert node.node.calls.count("author_submitAndWatchExtrinsic") == 2
