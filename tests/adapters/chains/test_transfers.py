"""Payments between coldkeys: what a private chain refuses and keeps, and blocks that cannot be read."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.chains import ledger_transfers
from soundsright.adapters.chains.bittensor import BittensorChain
from soundsright.adapters.chains.ledger_transfers import MAX_PER_PERIOD, PERIOD_BLOCKS
from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.peers.auth import signed_headers
from soundsright.adapters.peers.client import request
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.coldkeys import coldkey_consent
from soundsright.core.errors import ChainUnavailable, HistoryGone, UsageError
from soundsright.core.ports import Reply, Transfer
from soundsright.core.ports.tables import MAX_RAO
from soundsright.testing.fakechain.http import ORGANISER, client, served_chain
from soundsright.testing.fakechain.ledger import Ledger
from soundsright.testing.fakechain.node import RunningNode, running_node

ALICE, EVE = Hotkey.of_seed("alice"), Hotkey.of_seed("eve")
COLD, TREASURY = Hotkey.of_seed("alice's coldkey"), Hotkey.of_seed("treasury")
DIGEST = "ab" * 32


@pytest.fixture
def chain(tmp_path: Path) -> LocalChain:
    chain = LocalChain(tmp_path / "chain.db")
    assert chain.mint("a", 400_000_000).ok
    assert chain.mint("treasury", 1).ok
    return chain


def test_a_transfer_moves_rao_and_makes_none(chain: LocalChain) -> None:
    rng = random.Random(7)
    for name in ("b", "c"):
        chain.mint(name, 1_000)
    names = ("a", "b", "c", "treasury", "nobody")
    results = [
        chain.transfer(rng.choice(names), rng.choice(names), rng.choice((1, 999, 200_000_000))) for _ in range(150)
    ]
    balances = [chain.balance_rao(name) for name in names]
    assert {result.ok for result in results} == {True, False}
    assert min(balances) >= 0
    assert sum(balances) == 400_000_001 + 2_000


def test_two_charges_that_the_balance_cannot_pay_both_leave_the_rest(chain: LocalChain) -> None:
    assert chain.transfer("a", "treasury", 250_000_000).ok
    assert chain.transfer("a", "treasury", 250_000_000).code == "balance_too_low"
    assert chain.balance_rao("a") == 150_000_000


@pytest.mark.parametrize("amount", [0, -1, 1.0, 0.5, True, "5", None, MAX_RAO + 1, float("nan")])
def test_an_amount_is_a_whole_positive_number_of_rao(chain: LocalChain, amount: Any) -> None:
    assert chain.transfer("a", "treasury", amount).code == "bad_amount"
    assert chain.mint("a", amount).code == "bad_amount"
    assert (chain.balance_rao("a"), chain.transfers("treasury", -1)) == (400_000_000, ())


def test_all_balances_together_have_at_most_21_million_tao(chain: LocalChain) -> None:
    assert chain.mint("b", MAX_RAO).code == "too_much"
    assert chain.mint("b", MAX_RAO - 400_000_001).ok
    assert chain.mint("b", 1).code == "too_much"


def test_rao_goes_only_to_another_address_with_an_account(chain: LocalChain) -> None:
    chain.register("hotkey", coldkey="cold")
    assert chain.transfer("a", "a", 1).code == "same_account"
    assert chain.transfer("a", "nobody", 1).code == "no_account"
    assert chain.transfer("a", "cold", 1).ok
    assert chain.balance_rao("cold") == 1


def test_an_address_makes_few_transfers_in_a_period(chain: LocalChain) -> None:
    assert all(chain.transfer("a", "treasury", 1).ok for _ in range(MAX_PER_PERIOD))
    refused = chain.transfer("a", "treasury", 1)
    assert (refused.code, refused.retryable) == ("too_often", True)
    chain.advance(PERIOD_BLOCKS)
    assert chain.transfer("a", "treasury", 1).ok


def test_a_transfer_shows_with_the_block_that_it_is_in(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "chain.db", block_per_write=False)
    chain.mint("a", 5)
    chain.mint("treasury", 1)
    assert chain.transfer("a", "treasury", 5).block == 1
    assert chain.transfers("treasury", -1) == ()
    chain.advance()
    (transfer,) = chain.transfers("treasury", -1)
    assert (transfer.coldkey, transfer.amount_rao, transfer.block) == ("a", 5, 1)


def test_money_and_coldkeys_survive_a_restart(chain: LocalChain, tmp_path: Path) -> None:
    chain.appoint("organiser")
    chain.register("hotkey", coldkey="a")
    chain.transfer("a", "treasury", 7)
    again = LocalChain(tmp_path / "chain.db")
    assert again.owner() == "organiser"
    assert [n.coldkey for n in again.neurons()] == ["a"]
    assert (again.balance_rao("a"), again.balance_rao("treasury")) == (399_999_993, 8)
    assert again.transfers("treasury", -1) == chain.transfers("treasury", -1) != ()


def test_a_chain_from_before_coldkeys_is_upgraded(tmp_path: Path) -> None:
    old = LocalChain(tmp_path / "chain.db")
    old.register("hotkey")
    old.publish("hotkey", DIGEST)
    before = old.snapshot()
    with closing(sqlite3.connect(tmp_path / "chain.db")) as db:
        for table in ("coldkeys", "organiser", *ledger_transfers.TABLES):
            db.execute(f"DROP TABLE {table}")
        db.commit()
    chain = LocalChain(tmp_path / "chain.db")
    assert chain.snapshot() == before
    assert (chain.owner(), chain.balance_rao("a"), chain.transfers("treasury", -1)) == (None, 0, ())
    chain.register("hotkey", coldkey="a")
    assert [n.coldkey for n in chain.snapshot(before.block.number).neurons] == [None]
    chain.advance()
    assert [n.coldkey for n in chain.neurons()] == ["a"]


def test_transfers_that_the_chain_no_longer_has_are_an_error(
    chain: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_transfers, "KEPT", 2)
    blocks = [chain.transfer("a", "treasury", amount).block or 0 for amount in (1, 2, 3, 4)]
    with pytest.raises(HistoryGone, match=f"those up to block {blocks[1]} are gone"):
        chain.transfers("treasury", blocks[0])
    assert [t.amount_rao for t in chain.transfers("treasury", blocks[1])] == [3, 4]


def test_the_owner_commits_without_registration_until_another_key_is_the_owner(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "chain.db")
    assert chain.publish("organiser", DIGEST).code == "not_registered"
    chain.appoint("organiser")
    assert chain.publish("organiser", f"soundsright:rules:{DIGEST}").ok
    assert [(c.hotkey, c.digest) for c in chain.commitments()] == [("organiser", f"soundsright:rules:{DIGEST}")]
    assert chain.neurons() == ()
    chain.appoint("another")
    assert chain.commitments() == ()
    assert not chain.publish("organiser", DIGEST).ok


# Over HTTP


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[LocalChain, str]]:
    with served_chain(tmp_path / "chain.db", open_registration=True) as (chain, url):
        chain.mint(COLD.address, 1_000)
        chain.mint(TREASURY.address, 1)
        yield chain, url


def post(url: str, path: str, content: object, account: Hotkey) -> tuple[int, dict[str, object]]:
    body = json.dumps(content).encode()
    headers = signed_headers(account, method="POST", path=path, body=body, receiver=ORGANISER.address)
    reply = request(url, "POST", path, body=body, headers=headers, timeout_s=5)
    return reply.status, json.loads(reply.body)


def test_a_coldkey_signs_its_own_transfers(served: tuple[LocalChain, str]) -> None:
    chain, url = served
    cold = client(url, COLD)
    assert cold.transfer(COLD.address, TREASURY.address, 400).ok
    assert client(url, EVE).transfer(COLD.address, TREASURY.address, 400).code == "wrong_account"
    status, reply = post(url, "/v1/transfer", {"to": TREASURY.address, "amount_rao": 1}, EVE)
    assert (status, reply["code"]) == (200, "balance_too_low")
    assert cold.balance_rao(COLD.address) == chain.balance_rao(COLD.address) == 600
    assert client(url).transfers(TREASURY.address, -1) == chain.transfers(TREASURY.address, -1)


def test_only_the_organiser_mints(served: tuple[LocalChain, str]) -> None:
    url = served[1]
    assert client(url, ORGANISER).mint(COLD.address, 5).ok
    assert client(url, EVE).mint(EVE.address, 5).code == "not_organiser"
    assert client(url).balance_rao(COLD.address) == 1_005
    assert client(url).balance_rao(EVE.address) == 0


@pytest.mark.parametrize("amount", ["1.5", "1.0", "1e3", "-5", "0", '"5"', "true", "null", str(MAX_RAO + 1)])
@pytest.mark.parametrize("path", ["/v1/transfer", "/v1/mint"])
def test_an_amount_that_is_no_whole_number_is_malformed(
    served: tuple[LocalChain, str], path: str, amount: str
) -> None:
    body = f'{{"to": "{TREASURY.address}", "amount_rao": {amount}}}'.encode()
    headers = signed_headers(ORGANISER, method="POST", path=path, body=body, receiver=ORGANISER.address)
    reply = request(served[1], "POST", path, body=body, headers=headers, timeout_s=5)
    assert (reply.status, json.loads(reply.body)["code"]) == (422, "malformed")


def test_many_transfers_are_read_in_pages(served: tuple[LocalChain, str], monkeypatch: pytest.MonkeyPatch) -> None:
    chain, url = served
    monkeypatch.setattr("soundsright.services.http.chain.TRANSFERS_PER_PAGE", 3)
    for amount in range(1, 8):
        chain.transfer(COLD.address, TREASURY.address, amount)
    assert [t.amount_rao for t in client(url).transfers(TREASURY.address, -1)] == [1, 2, 3, 4, 5, 6, 7]


def test_lost_transfers_are_an_error_over_http_too(
    served: tuple[LocalChain, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, url = served
    monkeypatch.setattr(ledger_transfers, "KEPT", 1)
    for amount in (1, 2):
        chain.transfer(COLD.address, TREASURY.address, amount)
    with pytest.raises(HistoryGone, match="are gone"):
        client(url).transfers(TREASURY.address, -1)


@pytest.mark.parametrize(
    "change",
    [
        lambda page: page | {"until_block": page["until_block"] - 1},
        lambda page: page | {"transfers": page["transfers"][::-1]},
        lambda page: page | {"more": True, "transfers": []},
        lambda page: page | {"transfers": [page["transfers"][0] | {"amount_rao": 0.5}]},
        lambda page: page | {"transfers": [page["transfers"][0] | {"block": 1}]},
        lambda page: {},
    ],
)
def test_an_answer_that_is_not_the_list_asked_for_is_an_error(
    served: tuple[LocalChain, str], monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]
) -> None:
    chain, url = served
    for amount in (1, 2):
        chain.transfer(COLD.address, TREASURY.address, amount)
    last = chain.head().number
    reader = client(url)
    monkeypatch.setattr("soundsright.adapters.chains.http.request", changed(change))
    with pytest.raises(ChainUnavailable):
        reader.transfers(TREASURY.address, last - 2, last)


def changed(change: Callable[[Any], Any]) -> Callable[..., Reply]:
    def answer(*args: Any, **kwargs: Any) -> Reply:
        reply = request(*args, **kwargs)
        return Reply(reply.status, json.dumps(change(json.loads(reply.body))).encode())

    return answer


def test_a_hotkey_names_its_coldkey_only_with_the_coldkeys_signature(served: tuple[LocalChain, str]) -> None:
    chain, url = served
    eve = client(url, EVE)
    with pytest.raises(UsageError, match="coldkey has not signed"):
        eve.register(EVE.address, coldkey=COLD.address)
    for message in (coldkey_consent(ORGANISER.address, ALICE.address), coldkey_consent(EVE.address, EVE.address)):
        wish = {"hotkey": EVE.address, "coldkey": COLD.address, "coldkey_signature": COLD.sign(message).hex()}
        status, reply = post(url, "/v1/register", wish, EVE)
        assert (status, reply["code"]) == (403, "coldkey_unsigned")
    assert chain.neurons() == ()
    client(url, ALICE).register(ALICE.address, coldkey_account=COLD)
    client(url, ORGANISER).register(EVE.address, coldkey=TREASURY.address)
    assert [n.coldkey for n in client(url).neurons()] == [COLD.address, TREASURY.address]
    with pytest.raises(UsageError, match=f"belongs to the coldkey {TREASURY.address}"):
        eve.register(EVE.address, coldkey_account=COLD)


# Bittensor


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RunningNode, BittensorChain]]:
    monkeypatch.setenv("BITTENSOR_RUNTIME_CACHE_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("BTCLI_TOKEN_SYMBOLS_CACHE", str(tmp_path / "symbols"))
    with running_node(Ledger()) as node:
        node.mint(COLD.address, 1_000)
        node.transfer(COLD.address, TREASURY.address, 5)
        chain = BittensorChain(node.url, 1, read_timeout_s=10, sleep=lambda _: None)
        yield node, chain
        chain.close()


def without_events(node: RunningNode) -> None:
    key = bytes(node.node.ledger.runtime.storage_key("System", "Events", []))
    del node.node.ledger.blocks[2].state[key]


def test_a_block_whose_events_cannot_be_read_is_not_one_without_transfers(
    node: tuple[RunningNode, BittensorChain],
) -> None:
    running, chain = node
    running.advance(40)
    assert [t.amount_rao for t in chain.transfers(TREASURY.address, 0)] == [5]
    running.do(lambda: without_events(running))
    with pytest.raises(ChainUnavailable, match="events of block 2 cannot be read"):
        chain.transfers(TREASURY.address, 0)


def test_a_failed_read_of_a_block_is_repeated(node: tuple[RunningNode, BittensorChain]) -> None:
    running, chain = node
    running.node.faults.failing["state_getStorageAt"] = 1
    assert [t.amount_rao for t in chain.transfers(TREASURY.address, 0)] == [5]
    running.node.faults.failing["state_getStorageAt"] = 1_000
    with pytest.raises(ChainUnavailable):
        chain.transfers(TREASURY.address, 0)


def test_a_block_that_the_node_has_discarded_is_gone(node: tuple[RunningNode, BittensorChain]) -> None:
    running, chain = node
    running.node.faults.message = "UnknownBlock: State already discarded for 0x1234"
    running.node.faults.failing["state_getStorageAt"] = 1
    with pytest.raises(HistoryGone, match="archive node"):
        chain.transfers(TREASURY.address, 0)


def test_a_subnet_without_an_owner_has_none(node: tuple[RunningNode, BittensorChain]) -> None:
    running, chain = node
    assert chain.owner() is None
    running.appoint(ALICE.address)
    assert chain.owner() == ALICE.address


def test_the_owner_of_a_bittensor_subnet_registers_to_commit(node: tuple[RunningNode, BittensorChain]) -> None:
    running, _ = node
    running.appoint(ALICE.address)
    own = BittensorChain(running.url, 1, ALICE, read_timeout_s=10, write_timeout_s=20)
    try:
        assert not own.publish(ALICE.address, f"soundsright:rules:{DIGEST}").ok
        running.register(ALICE.address)
        assert own.publish(ALICE.address, f"soundsright:rules:{DIGEST}").ok
    finally:
        own.close()


@pytest.mark.parametrize(
    ("id_", "coldkey", "amount", "block"),
    [("", "a", 1, 1), ("1-1", "", 1, 1), ("1-1", "a", 0, 1), ("1-1", "a", 1.0, 1), ("1-1", "a", 1, -1)],
)
def test_a_transfer_without_its_parts_cannot_be_made(id_: str, coldkey: str, amount: Any, block: int) -> None:
    with pytest.raises(ValueError, match=r"RAO must be|A transfer has"):
        Transfer(id_, coldkey, amount, block)
