"""A private chain as a service: the writes that each key can make, and clients of a chain that does not answer."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.chains.http import HttpChain
from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.peers.auth import RateLimit, signed_headers
from soundsright.adapters.peers.client import request
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import ChainUnavailable, UsageError
from soundsright.core.ports import Reply
from soundsright.testing.fakechain.http import ORGANISER, client, served_chain

ALICE, EVE = Hotkey.of_seed("alice"), Hotkey.of_seed("eve")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[LocalChain, str]]:
    with served_chain(tmp_path / "chain.db") as both:
        yield both


def post(url: str, path: str, content: object, account: Hotkey, **changes: str) -> tuple[int, dict[str, object]]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = signed_headers(account, method="POST", path=path, body=body, receiver=ORGANISER.address)
    reply = request(url, "POST", path, body=body, headers=headers | changes, timeout_s=5)
    return reply.status, json.loads(reply.body)


def test_only_the_organiser_registers_and_makes_blocks(served: tuple[LocalChain, str]) -> None:
    chain, url = served
    organiser, eve = client(url, ORGANISER), client(url, EVE)
    uid = organiser.register(ALICE.address, stake=5.0, permit=True)
    assert chain.neurons()[0].hotkey == ALICE.address
    assert uid == 0
    assert organiser.advance(4).number == chain.head().number
    for forbidden in (lambda: eve.register(EVE.address), eve.advance):
        with pytest.raises(UsageError, match=r"organiser.*WALLET and HOTKEY"):
            forbidden()


def test_only_a_refusal_of_the_key_names_the_wallet(served: tuple[LocalChain, str]) -> None:
    organiser = client(served[1], ORGANISER)
    for refused in (lambda: organiser.register("xyz"), lambda: organiser.advance(100_000)):
        with pytest.raises(UsageError) as caught:
            refused()
        assert "WALLET" not in str(caught.value)


def test_a_full_chain_says_so(served: tuple[LocalChain, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.local.MAX_NEURONS", 1)
    organiser = client(served[1], ORGANISER)
    organiser.register(ALICE.address)
    with pytest.raises(UsageError, match=r"The chain is full: it has 1 hotkeys\. Try again in a day"):
        organiser.register(EVE.address)


def test_a_busy_chain_says_to_try_again(tmp_path: Path) -> None:
    with served_chain(tmp_path / "c.db", per_minute=1) as (_, url):
        organiser = client(url, ORGANISER)
        organiser.advance()
        with pytest.raises(ChainUnavailable, match="Try again"):
            organiser.advance()


def test_with_open_registration_a_hotkey_registers_itself_without_stake(tmp_path: Path) -> None:
    with served_chain(tmp_path / "c.db", open_registration=True) as (chain, url):
        eve = client(url, EVE)
        eve.register(EVE.address)
        assert [n.permit for n in chain.neurons()] == [False]
        with pytest.raises(UsageError, match="organiser"):
            eve.register(EVE.address, permit=True)
        with pytest.raises(UsageError, match="organiser"):
            eve.register(EVE.address, stake=1.0)
        with pytest.raises(UsageError, match="organiser"):
            eve.register(ALICE.address)


def test_an_address_registers_few_keys_a_day_and_the_organiser_any_number(tmp_path: Path) -> None:
    limit = RateLimit(per_minute=2 / 1_440, burst=2)
    with served_chain(tmp_path / "c.db", open_registration=True, registrations=limit) as (chain, url):
        keys = [Hotkey.of_seed(f"bot {number}") for number in range(3)]
        for key in (*keys[:2], keys[0]):
            client(url, key).register(key.address)  # A key that is registered already counts once.
        with pytest.raises(ChainUnavailable, match="Your address has registered too many keys today"):
            client(url, keys[2]).register(keys[2].address)
        client(url, ORGANISER).register(keys[2].address)
        assert len(chain.neurons()) == 3


def test_the_address_of_a_key_that_registers_itself_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundsright.adapters.chains.local.MAX_NEURONS", 4)
    monkeypatch.setattr("soundsright.adapters.chains.registrations.GRACE_BLOCKS", 1)
    with served_chain(tmp_path / "c.db", open_registration=True) as (chain, url):
        chain.register("honest", by_itself=True, client="203.0.113.7")
        bots = [Hotkey.of_seed(f"bot {number}") for number in range(6)]
        for key in bots:
            client(url, key).register(key.address)
            chain.advance()
        assert {n.hotkey for n in chain.neurons()} >= {"honest", bots[-1].address}


def test_an_address_that_reads_too_much_has_to_wait_and_may_still_write(tmp_path: Path) -> None:
    with served_chain(tmp_path / "c.db", reads=RateLimit(per_minute=1, burst=5)) as (_, url):
        organiser = client(url, ORGANISER)
        statuses = {request(url, "GET", "/v1/snapshot", timeout_s=5).status for _ in range(20)}
        assert statuses == {200, 429}
        with pytest.raises(ChainUnavailable, match="Too many requests"):
            organiser.snapshot()
        assert organiser.register(ALICE.address) == 0


def test_a_key_cannot_write_for_another_hotkey(served: tuple[LocalChain, str]) -> None:
    chain, url = served
    chain.register(ALICE.address)
    assert client(url, EVE).publish(ALICE.address, "x").code == "wrong_account"
    status, reply = post(url, "/v1/commitment", {"digest": "x"}, EVE, **{"X-Bittensor-Hotkey": ALICE.address})
    assert (status, reply["code"]) == (401, "bad_signature")
    assert chain.commitments() == ()


def test_a_replayed_write_is_refused(served: tuple[LocalChain, str]) -> None:
    chain, url = served
    chain.register(ALICE.address)
    body = b'{"digest": "one"}'
    headers = signed_headers(ALICE, method="POST", path="/v1/commitment", body=body, receiver=ORGANISER.address)
    replies = [request(url, "POST", "/v1/commitment", body=body, headers=headers, timeout_s=5) for _ in range(2)]
    assert [r.status for r in replies] == [200, 401]
    assert json.loads(replies[1].body)["code"] == "replayed"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"not json", 422),
        ({"digest": ""}, 422),
        ({"digest": "x" * 2_001}, 422),
        ({"digest": "x", "more": 1}, 422),
        (b" " * 500_000, 413),
        (b"[" * 100_000, 422),
    ],
)
def test_a_malformed_or_too_large_write_is_refused(
    served: tuple[LocalChain, str], content: object, status: int
) -> None:
    chain, url = served
    chain.register(ALICE.address)
    assert post(url, "/v1/commitment", content, ALICE)[0] == status
    assert chain.commitments() == ()


@pytest.mark.parametrize("weights", ['{"a": NaN}', '{"a": -1}', "{}", '{"a": 1e999}'])
def test_bad_weights_are_refused(served: tuple[LocalChain, str], weights: str) -> None:
    chain, url = served
    chain.register(ALICE.address, permit=True)
    assert post(url, "/v1/weights", f'{{"by_hotkey": {weights}}}'.encode(), ALICE)[0] == 422


def test_an_address_with_too_many_requests_is_refused_as_busy(tmp_path: Path) -> None:
    with served_chain(tmp_path / "c.db", per_minute=3) as (chain, url):
        chain.register(ALICE.address)
        codes = [client(url, ALICE).publish(ALICE.address, f"d{i}").code for i in range(5)]
    assert codes == ["", "", "", "busy", "busy"]


def test_a_metagraph_of_256_with_commitments_is_one_request(served: tuple[LocalChain, str]) -> None:
    chain, url = served
    for i in range(256):
        chain.register(f"hotkey-{i}")
        chain.publish(f"hotkey-{i}", "d" * 64)
    snapshot = client(url).snapshot()
    assert (len(snapshot.neurons), len(snapshot.commitments)) == (256, 256)


def test_a_stopped_chain_is_unavailable_in_time_and_a_write_to_it_is_unknown(tmp_path: Path) -> None:
    with served_chain(tmp_path / "c.db") as (chain, url):
        chain.register(ALICE.address)
        alice = HttpChain(url, ALICE, timeout_s=5.0, sleep=lambda _s: None)
    started_s = time.monotonic()
    with pytest.raises(ChainUnavailable, match="SUBTENSOR_CHAIN_ENDPOINT"):
        alice.head()
    result = alice.publish(ALICE.address, "x")
    assert result.unknown
    assert result.retryable
    assert time.monotonic() - started_s < 10


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started_s = time.monotonic()
        with pytest.raises(ChainUnavailable):
            HttpChain(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2, sleep=lambda _s: None)
        assert time.monotonic() - started_s < 5


def test_reads_are_tried_again_and_writes_are_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from soundsright.adapters.chains import http as chain_http
    from soundsright.core.errors import PeerUnavailable

    with served_chain(tmp_path / "c.db") as (chain, url):
        chain.register(ALICE.address)
        alice = HttpChain(url, ALICE, sleep=lambda _s: None)
        failures_left = [2]
        calls: list[str] = []

        def unreliable_request(base: str, method: str, path: str, **rest: Any) -> object:
            calls.append(method)
            if failures_left[0] > 0:
                failures_left[0] -= 1
                raise PeerUnavailable("dropped")
            return request(base, method, path, **rest)

        monkeypatch.setattr(chain_http, "request", unreliable_request)
        assert alice.head().number == chain.head().number
        assert calls == ["GET"] * 3
        failures_left[0] = 1
        assert alice.publish(ALICE.address, "x").unknown
        assert calls == ["GET"] * 3 + ["POST"]


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"service": "another"}'])
def test_an_address_without_a_chain_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    from soundsright.adapters.chains import http as chain_http

    monkeypatch.setattr(chain_http, "request", lambda *_a, **_k: Reply(200, answer))
    with pytest.raises(UsageError, match="SUBTENSOR_CHAIN_ENDPOINT"):
        HttpChain("http://127.0.0.1:1")


def test_the_openapi_document_lists_the_paths(served: tuple[LocalChain, str]) -> None:
    document = json.loads(request(served[1], "GET", "/openapi.json", timeout_s=5).body)
    assert {"/v1/head", "/v1/snapshot", "/v1/commitment", "/v1/weights", "/v1/register"} <= set(document["paths"])
