"""Connection attacks from several addresses: a client with a real request always gets an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.adapters.peers.auth import RequestGate, signed_headers
from soundsright.adapters.peers.client import request
from soundsright.services.board.server import LiveSite, board_app
from soundsright.services.http.limits import Limits
from soundsright.services.miner.api import miner_app
from tests.services.http.connections import (
    BEGUN,
    FOUR_STRANGERS,
    Dial,
    Serve,
    is_answered,
)
from tests.services.services_bench import ALICE, VICTOR, chain_with_validators, miner_on


@pytest.mark.parametrize("attack", BEGUN)
def test_four_addresses_full_of_waiting_connections_keep_nobody_out(serve: Serve, dial: Dial, attack: str) -> None:
    service = serve()
    for address in FOUR_STRANGERS * 16:
        dial(service, BEGUN[attack], address)
    assert all(is_answered(service) for _ in range(3))


def test_520_silent_connections_of_one_address_do_not_close_the_leaderboard(
    serve: Serve, dial: Dial, tmp_path: Path
) -> None:
    service = serve(board_app(LiveSite([tmp_path], live=True)), Limits())
    for _ in range(520):
        dial(service)
    assert is_answered(service, "/index.html")


def test_a_signed_validator_gets_its_reveal_while_four_addresses_hold_an_axon(
    serve: Serve, dial: Dial, tmp_path: Path
) -> None:
    miner = miner_on(chain_with_validators(tmp_path), tmp_path)
    miner.tick()
    app = miner_app(miner, admit=RequestGate(ALICE.address).admit, throttle=lambda _client: None)
    service = serve(app, Limits())
    for address in FOUR_STRANGERS * 64:
        dial(service, b"", address)
    body = b'{"schema": "soundsright.reveal/2", "round": "x"}'
    headers = signed_headers(VICTOR, method="POST", path="/reveal", body=body, receiver=ALICE.address)
    url = f"http://127.0.0.1:{service.port}"
    reply = request(url, "POST", "/reveal", body=body, headers=headers, timeout_s=3)
    assert (reply.status, b"not_closed" in reply.body) == (409, True)
