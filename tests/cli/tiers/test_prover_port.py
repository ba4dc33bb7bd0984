"""A prover's single port: verifiers reach the model there, and validators the miner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import httpx
import numpy as np
import pytest

from soundsright.adapters.chains import LocalChain
from soundsright.adapters.peers import Hotkey, SignedPeers, request, signed_headers, valid_answer_signature
from soundsright.cli.shared.prover_running import model_runner, prover_axon
from soundsright.config import TiersSettings, read_settings
from soundsright.core.audio import Audio
from soundsright.core.endpoint import PeerNetworks
from soundsright.core.errors import RequestRefused, UsageError
from soundsright.core.signed_http import ANSWER_HEADER, answer_text
from soundsright.core.tiers import ServedModel, served_model
from soundsright.services.http import HttpService, Limits, listening
from soundsright.services.prover import Prover
from soundsright.testing.provers import (
    COMPETITION,
    MODEL,
    RATE_HZ,
    FunctionRunner,
    challenge_body,
    fetched_reference,
    reference_model,
)
from tests.system.world import until

MINER, VALIDATOR = Hotkey.of_seed("alice"), Hotkey.of_seed("victor")


class Miner:
    """A miner that takes feedback, and has no reveal for anybody."""

    def receive_feedback(self, sender: str, body: bytes) -> dict[str, str]:
        return {"stored": sender}

    def reveal(self, sender: str, round_id: str) -> Any:
        raise RequestRefused("too_early", f"{sender} asks too early for {round_id}", status=403)


@pytest.fixture
def url(tmp_path: Any) -> Iterator[str]:
    settings = read_settings(TiersSettings, environment={"VALIDATOR_MIN_STAKE": "0"})
    chain = LocalChain(tmp_path / "chain.db")
    chain.register(VALIDATOR.address, stake=10.0, permit=True)
    offer = ServedModel(MINER.address, str(MODEL), COMPETITION, RATE_HZ, 30.0, 1)
    prover = Prover(FunctionRunner(reference_model, delay_s=0.0), fetched_reference(MINER), offer)
    app = prover_axon(settings, cast("Any", Miner()), prover, cast("Any", chain), MINER)
    sock = listening("127.0.0.1", 0, host_variable="HOST", port_variable="PORT")
    prover.start()
    service = HttpService(app, sock, name="prover", limits=Limits(), has_streams=True).start()
    try:
        address = f"http://127.0.0.1:{service.port}"
        until(lambda: request(address, "GET", "/v1/model", timeout_s=10).status == 200, "the model is loaded")
        yield address
    finally:
        service.close()
        prover.close()


def test_verifiers_find_the_model_and_validators_the_miner_on_one_port(url: str) -> None:
    assert served_model(request(url, "GET", "/v1/model", timeout_s=10).body).hotkey == MINER.address
    peers = SignedPeers(VALIDATOR, PeerNetworks.of("loopback"))
    body = json.dumps({"schema": "soundsright.reveal/2", "round": "r1"}).encode()
    reply = peers.call(url.removeprefix("http://"), MINER.address, "/reveal", body, timeout_s=10)
    assert (reply.status, json.loads(reply.body)["code"]) == (403, "too_early")


def test_an_unsigned_request_gets_no_signed_answer_from_either(url: str) -> None:
    for path in ("/reveal", "/challenge", "/inference"):
        reply = request(url, "POST", path, body=b"{}", timeout_s=10)
        assert (reply.status, reply.signature) == (401, "")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/enhance", "/docs", "/../etc/passwd", "/reveal/more"])
def test_other_paths_are_not_found(url: str, path: str) -> None:
    reply = request(url, "GET", path, timeout_s=10)
    assert reply.status == 404
    assert reply.signature == ""


def test_answers_of_both_are_signed_once(url: str) -> None:
    silence = Audio(np.zeros(1_600, np.float32), RATE_HZ)
    bodies = {
        "/challenge": challenge_body(silence, "request-of-the-tests"),
        "/feedback": b'{"round": "r1"}',
    }
    for path, body in bodies.items():
        headers = signed_headers(VALIDATOR, method="POST", path=path, body=body, receiver=MINER.address)
        answer = httpx.post(url + path, content=body, headers=headers, timeout=20)
        assert answer.status_code == 200, answer.text
        (signature,) = answer.headers.get_list(ANSWER_HEADER)
        nonce = int(headers["X-Bittensor-Nonce"])
        text = answer_text(nonce, VALIDATOR.address, 200, answer.content)
        assert valid_answer_signature(signature, text, MINER.address)


def test_two_slots_need_a_sandbox() -> None:
    settings = read_settings(
        TiersSettings, environment={"PROVER_MODEL_ENDPOINT": "http://127.0.0.1:9", "PROVER_SLOTS": "2"}
    )
    with pytest.raises(UsageError, match="PROVER_SLOTS is 2"):
        model_runner(settings)
