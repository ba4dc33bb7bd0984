"""Validators pass reveals on: one that got a reveal in time is enough for all, and no peer can do harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import EntryRefused, PeerUnavailable, RequestRefused
from soundsright.core.ports import Neuron, Reply
from soundsright.core.schedule import Round
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Commitment, Reveal
from soundsright.services.http.state import Health
from soundsright.services.records import open_reveal, sign_reveal
from soundsright.services.validator.api import validator_app
from soundsright.services.validator.exchange import RevealExchange
from soundsright.services.validator.gossip import (
    MAX_ANSWER_S,
    MAX_PAGES,
    MAX_REVEALS_IN_REPLY,
    REVEALS_PATH,
    RevealsRequest,
    SharedReveals,
)
from soundsright.services.validator.peers import RevealCollector
from soundsright.testing import MemoryState, VirtualClock, salted_reveal

ROUND = Round("2026-11-22", 100, 110)
COMPETITION = PUBLISHED[0].id
MINERS = {name: Hotkey.of_seed(name) for name in ("alice", "bob", "carol")}
NAMES = ("victor", "wanda", "xenia")
VALIDATORS = {name: Hotkey.of_seed(name) for name in NAMES}
REVEALS = {
    key.address: salted_reveal(ModelRef(name, "model", "a" * 40), key.address, COMPETITION, "c" * 64)
    for name, key in MINERS.items()
}
KEYS = {key.address: key for key in MINERS.values()}
COMMITMENTS = [Commitment(hotkey, reveal.digest(hotkey), 50) for hotkey, reveal in REVEALS.items()]
NEURONS = [Neuron(n, key.address, 1, endpoint=f"10.0.0.{n}:1") for n, key in enumerate(MINERS.values())] + [
    Neuron(10 + n, key.address, 1, stake=1_000.0, permit=True, endpoint=f"10.0.1.{n}:1")
    for n, key in enumerate(VALIDATORS.values())
]
ALICE = MINERS["alice"].address


class Network:
    """Validators that can reach each other, and miners that reveal to whom they like.

    `answers` says whether a miner answers a validator; `instead` replaces a validator's answer.
    """

    def __init__(self, answers: Callable[[str, str], bool] = lambda _miner, _validator: True) -> None:
        self.answers = answers
        self.instead: dict[str, Callable[[bytes], Reply]] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.clock = VirtualClock(1e9)
        self.reveal_of = dict(REVEALS)
        self.nodes = {name: Node(name, self) for name in NAMES}

    def admitted(self) -> dict[str, set[str]]:
        """The miners that each validator admits."""
        names = {key.address: name for name, key in MINERS.items()}
        found = {name: node.collector.revealed(COMMITMENTS) for name, node in self.nodes.items()}
        return {
            name: {names[hotkey] for hotkey, reveal in reveals.items() if isinstance(reveal, Reveal)}
            for name, reveals in found.items()
        }

    def run(self, blocks: range = range(101, 111), names: tuple[str, ...] = NAMES) -> None:
        for block in blocks:
            for name in names:
                self.nodes[name].exchange.step(COMMITMENTS, NEURONS, block)
            self.clock.sleep(12.0)


def everywhere(*miners: str) -> dict[str, set[str]]:
    """These miners, for each validator."""
    return {name: set(miners) for name in NAMES}


class Node:
    """One validator: its collector, what it shares, and the `Peers` port of its requests."""

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self.network = network
        self.hotkey = VALIDATORS[name].address
        state = MemoryState()
        state.begin_round(ROUND.id, {})
        self.shared = SharedReveals()
        self.shared.admit_validators(NEURONS)
        clock = network.clock
        self.collector = RevealCollector(ROUND.id, self, state, clock, Health(clock), valid_signature)
        self.exchange = RevealExchange(ROUND, self.collector, self.shared, self.hotkey, self, clock)

    def get(self, endpoint: str, receiver: str, path: str, *, timeout_s: float, **_: object) -> Reply:
        raise AssertionError("a round reads nothing by GET")

    def call(self, endpoint: str, receiver: str, path: str, body: bytes, *, timeout_s: float, **_: object) -> Reply:
        network = self.network
        network.asked.append((self.name, receiver, path))
        if path == "/reveal":
            name = next(name for name, key in MINERS.items() if key.address == receiver)
            if not network.answers(name, self.name):
                raise PeerUnavailable("away")
            return Reply(
                200, json.dumps(sign_reveal(network.reveal_of[receiver], KEYS[receiver], ROUND.id)).encode()
            )
        other = next(node for node in network.nodes.values() if node.hotkey == receiver)
        if other.name in network.instead:
            return network.instead[other.name](body)
        try:
            reply = other.shared.reply(self.hotkey, RevealsRequest.model_validate_json(body))
        except RequestRefused as refused:
            return Reply(refused.status, b"{}")
        return Reply(200, reply.model_dump_json(by_alias=True).encode())


def test_a_reveal_to_one_validator_reaches_all() -> None:
    network = Network(lambda miner, validator: miner != "alice" or validator == "victor")
    network.run()
    assert network.admitted() == everywhere("alice", "bob", "carol")


def test_a_miner_that_answers_only_after_the_deadline_is_admitted_by_none() -> None:
    network = Network(lambda miner, _validator: miner != "alice")
    network.run(range(101, ROUND.reveal_deadline_block))
    network.answers = lambda _miner, _validator: True
    network.asked.clear()
    network.run(range(ROUND.reveal_deadline_block, 111))
    assert network.admitted() == everywhere("bob", "carol")
    assert not [path for _, _, path in network.asked if path == "/reveal"]


@settings(max_examples=20, deadline=None)
@given(
    shown=st.frozensets(st.tuples(st.sampled_from(sorted(MINERS)), st.sampled_from(NAMES))),
    orders=st.lists(st.permutations(NAMES), min_size=10, max_size=10),
)
def test_all_admit_the_miners_that_answered_any_of_them_in_time(
    shown: frozenset[tuple[str, str]], orders: list[tuple[str, ...]]
) -> None:
    """Each miner answers only some of the validators, which look at the chain in any order."""
    network = Network(lambda miner, validator: (miner, validator) in shown)
    for block, order in zip(range(101, 111), orders, strict=True):
        network.run(range(block, block + 1), tuple(order))
    assert network.admitted() == everywhere(*{miner for miner, _ in shown})


def test_two_different_reveals_of_one_commitment_are_refused_by_all() -> None:
    """The miner shows one place to one validator and another place to the others."""
    network = Network()
    elsewhere = replace(REVEALS[ALICE], model=ModelRef("alice", "elsewhere", "b" * 40))
    assert elsewhere.digest(ALICE) == REVEALS[ALICE].digest(ALICE)
    network.run(range(101, 102), ("victor",))
    network.reveal_of[ALICE] = elsewhere
    network.run(range(102, 111))
    for node in network.nodes.values():
        refused = node.collector.revealed(COMMITMENTS)[ALICE]
        assert isinstance(refused, EntryRefused)
        assert refused.code == "two_reveals"
    assert network.admitted() == everywhere("bob", "carol")


def test_a_validator_that_comes_late_relies_on_the_others() -> None:
    network = Network()
    network.run(range(101, 108), ("victor", "wanda"))
    network.asked.clear()
    network.answers = lambda _miner, _validator: False
    network.run(range(110, 111), ("xenia",))
    assert network.admitted()["xenia"] == {"alice", "bob", "carol"}
    assert not [name for name, _, path in network.asked if path == "/reveal"]


def test_if_all_come_late_all_ask_the_miners() -> None:
    network = Network()
    network.run(range(110, 111))
    assert network.admitted() == everywhere("alice", "bob", "carol")


def test_one_validator_that_claims_to_have_asked_does_not_keep_a_late_one_from_asking() -> None:
    network = Network()
    empty = {"schema": "soundsright.reveals/1", "round": ROUND.id, "collected": True, "reveals": [], "more": False}
    network.instead["wanda"] = lambda _body: Reply(200, json.dumps(empty).encode())
    network.run(range(110, 111), ("xenia",))
    assert network.admitted()["xenia"] == {"alice", "bob", "carol"}


def test_a_validator_without_others_asks_until_the_seed() -> None:
    network = Network(lambda _miner, _validator: False)
    for name in ("wanda", "xenia"):
        network.instead[name] = lambda _body: Reply(404, b"{}")
    network.run(range(101, 110), ("victor",))
    network.answers = lambda _miner, _validator: True
    network.run(range(110, 111), ("victor",))
    assert network.admitted()["victor"] == {"alice", "bob", "carol"}


def lying(documents: list[Any], **changes: Any) -> Callable[[bytes], Reply]:
    reply = {"schema": "soundsright.reveals/1", "round": ROUND.id, "collected": True, "more": True} | changes
    return lambda _body: Reply(200, json.dumps(reply | {"reveals": documents}).encode())


def signed(reveal: Reveal, signer: Hotkey = MINERS["alice"], round_id: str = ROUND.id) -> dict[str, Any]:
    return sign_reveal(reveal, signer, round_id)


@pytest.mark.parametrize(
    "document",
    [
        signed(replace(REVEALS[ALICE], salt="6" * 32)),
        signed(replace(REVEALS[ALICE], content_hash="d" * 64)),
        signed(REVEALS[ALICE], MINERS["bob"]),
        signed(REVEALS[ALICE], VALIDATORS["wanda"]),
        signed(REVEALS[ALICE], round_id="2026-11-21"),
        signed(REVEALS[ALICE]) | {"signature": "0x" + "0" * 128},
        signed(REVEALS[ALICE]) | {"hotkey": MINERS["bob"].address},
        signed(REVEALS[ALICE]) | {"revision": "b" * 40},
        signed(REVEALS[ALICE]) | {"key": "e" * 64},
        signed(REVEALS[ALICE]) | {"more": 1},
        {},
        [],
        "x" * 1_000,
    ],
)
def test_nothing_that_a_dishonest_validator_says_is_believed(document: Any) -> None:
    network = Network(lambda miner, _validator: miner != "alice")
    network.instead["wanda"] = lying([document])
    network.run(range(101, 111), ("victor", "xenia"))
    assert network.admitted()["victor"] == {"bob", "carol"} == network.admitted()["xenia"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"schema": "soundsright.reveals/2"}', b"[" * 50_000])
def test_an_answer_of_another_form_is_no_answer(body: bytes) -> None:
    network = Network()
    network.instead["wanda"] = lambda _body: Reply(200, body)
    network.run(range(101, 111), ("victor",))
    assert network.admitted()["victor"] == {"alice", "bob", "carol"}


def test_a_flood_of_pages_ends() -> None:
    network = Network(lambda miner, _validator: miner != "alice")
    pages = [signed(REVEALS[MINERS["bob"].address], MINERS["bob"])] * MAX_REVEALS_IN_REPLY
    network.instead["wanda"] = lying(pages)
    network.nodes["victor"].exchange.step(COMMITMENTS, NEURONS, 101)
    asked = [receiver for _, receiver, path in network.asked if path == REVEALS_PATH]
    assert asked.count(VALIDATORS["wanda"].address) == MAX_PAGES
    # And it is not asked again before its pause is over.
    network.nodes["victor"].exchange.step(COMMITMENTS, NEURONS, 102)
    asked = [receiver for _, receiver, path in network.asked if path == REVEALS_PATH]
    assert asked.count(VALIDATORS["wanda"].address) == MAX_PAGES
    too_many = lying([*pages, pages[0]])
    network.instead["wanda"] = too_many
    network.clock.sleep(100.0)
    network.run(range(103, 111), ("victor",))
    assert network.admitted()["victor"] == {"bob", "carol"}


def test_a_validator_that_sends_its_pages_slowly_delays_no_round() -> None:
    network = Network(lambda miner, _validator: miner != "alice")
    fast = lying([signed(REVEALS[MINERS["bob"].address], MINERS["bob"])])

    def slow(body: bytes) -> Reply:
        network.clock.sleep(4.9)
        return fast(body)

    network.instead["wanda"] = slow
    before_s = network.clock.now()
    network.nodes["victor"].exchange.step(COMMITMENTS, NEURONS, 101)
    assert network.clock.now() - before_s < MAX_ANSWER_S + 5.0


def test_many_signatures_of_one_reveal_cost_one_verification() -> None:
    """A miner and a validator that work together can make any number of them."""
    network = Network(lambda miner, _validator: miner != "alice")
    documents = [signed(REVEALS[ALICE]) for _ in range(20)]
    assert len({document["signature"] for document in documents}) == 20
    network.instead["wanda"] = lying(documents, more=False)
    victor = network.nodes["victor"]
    verified: list[str] = []

    def counted(hotkey: str, message: bytes, signature: bytes) -> bool:
        verified.append(hotkey)
        return valid_signature(hotkey, message, signature)

    victor.collector.valid_signature = counted
    network.run(range(101, 111), ("victor",))
    assert verified.count(ALICE) == 1
    assert network.admitted()["victor"] == {"alice", "bob", "carol"}


def test_reveals_are_given_page_by_page_to_validators_only() -> None:
    node = Network().nodes["victor"]
    keys = [Hotkey.of_seed(f"miner {number}") for number in range(MAX_REVEALS_IN_REPLY + 5)]
    reveals = [
        open_reveal(
            sign_reveal(replace(REVEALS[ALICE], salt=f"{n:032x}"), key, ROUND.id),
            hotkey=key.address,
            round_id=ROUND.id,
            valid_signature=valid_signature,
        )
        for n, key in enumerate(keys)
    ]
    node.shared.share(ROUND.id, reveals, collected=True)

    def asked(sender: str, after: int, round_id: str = ROUND.id) -> Any:
        document = {"schema": "soundsright.reveals/1", "round": round_id, "after": after}
        return node.shared.reply(sender, RevealsRequest.model_validate(document))

    wanda = VALIDATORS["wanda"].address
    first, second = asked(wanda, 0), asked(wanda, MAX_REVEALS_IN_REPLY)
    assert (len(first.reveals), first.more, len(second.reveals), second.more) == (
        MAX_REVEALS_IN_REPLY,
        True,
        5,
        False,
    )
    assert {document.hotkey for document in (*first.reveals, *second.reveals)} == {key.address for key in keys}
    assert len(first.model_dump_json(by_alias=True)) < 100_000
    for sender, round_id, code in ((ALICE, ROUND.id, "no_permit"), (wanda, "2026-11-21", "wrong_round")):
        with pytest.raises(RequestRefused) as refused:
            asked(sender, 0, round_id)
        assert refused.value.code == code


def test_the_api_checks_size_and_form_before_it_answers() -> None:
    shared = SharedReveals()
    shared.admit_validators(NEURONS)
    shared.share(ROUND.id, [], collected=False)
    sender = VALIDATORS["wanda"].address
    app = validator_app(shared, admit=lambda *_request: sender, throttle=lambda _address: None)
    client = TestClient(app)
    request = {"schema": "soundsright.reveals/1", "round": ROUND.id}
    assert client.post(REVEALS_PATH, json=request).json()["reveals"] == []
    assert client.post(REVEALS_PATH, content=b" " * 3_000).status_code == 413
    for wrong in ({}, request | {"after": -1}, request | {"after": 10**9}, request | {"extra": 1}):
        assert client.post(REVEALS_PATH, json=wrong).status_code == 422


TAMPERED = signed(REVEALS[ALICE])


@given(
    field=st.sampled_from([name for name in TAMPERED if name != "schema"]),
    position=st.integers(0, 200),
    character=st.sampled_from("0123456789abcdefxX-_.:/ é"),
)
def test_a_reveal_that_is_changed_anywhere_is_refused(field: str, position: int, character: str) -> None:
    text = TAMPERED[field]
    position = position % (len(text) + 1)
    changed = text[:position] + character + text[position + 1 :]
    if changed == text:
        return
    with pytest.raises(EntryRefused):
        open_reveal(TAMPERED | {field: changed}, hotkey=ALICE, round_id=ROUND.id, valid_signature=valid_signature)
