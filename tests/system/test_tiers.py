"""Served models by real processes: a chain, a prover that commits and serves, and a verifier that pays it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from soundsright.adapters.chains.http import HttpChain
from soundsright.adapters.peers.client import request
from soundsright.core.audio import Audio
from soundsright.core.errors import PeerUnavailable
from soundsright.core.tiers import served_model
from soundsright.core.wav import decode_wav, encode_wav
from tests.ports import free_port
from tests.system.world import COMPETITION, Service, World, running_world, until

LISTENER = "listener-of-the-tests"
RULES = """\
[ruleset]
base = "soundsright-v5"

[emission]
competitions = 0.0
tiers = 1.0

[entries]
commitment = "plain"

[tiers]
interval_blocks = 20
step_s = 0.5
bank_clips = 4
repeat_clips = 2
min_attempts = 4

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = { PESQ_WB = 1.0 }
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield from running_world(tmp_path)


def prover(world: World, name: str, **settings: str) -> Service:
    model = world.model("smooth", name)
    for role in ("health", "prover"):
        world.ports.setdefault(f"{name}-{role}", free_port())
    return world.start(
        name,
        ["tiers.prove"],
        {
            f"{COMPETITION}_HF_MODEL_NAMESPACE": model.namespace,
            f"{COMPETITION}_HF_MODEL_NAME": model.name,
            f"{COMPETITION}_HF_MODEL_REVISION": model.revision,
            "HEALTHCHECK_API_PORT": str(world.ports[f"{name}-health"]),
            "PROVER_PORT": str(world.ports[f"{name}-prover"]),
            "AXON_EXTERNAL_IP": "127.0.0.1",
            "SOUNDSRIGHT_RULESET": str(world.folder / "rules.toml"),
            "SOUNDSRIGHT_SANDBOX": "process",
            "SOUNDSRIGHT_TRUST": "true",
        }
        | settings,
    )


def verifier(world: World, name: str, **settings: str) -> Service:
    for role in ("health", "gateway"):
        world.ports.setdefault(f"{name}-{role}", free_port())
    return world.start(
        name,
        ["tiers.verify"],
        {
            "HEALTHCHECK_API_PORT": str(world.ports[f"{name}-health"]),
            "GATEWAY_PORT": str(world.ports[f"{name}-gateway"]),
            "GATEWAY_HOST": "127.0.0.1",
            "TIERS_API_KEYS": LISTENER,
            "SOUNDSRIGHT_RULESET": str(world.folder / "rules.toml"),
            "SOUNDSRIGHT_PEER_NETWORKS": "loopback",
            "SOUNDSRIGHT_SANDBOX": "process",
            "SOUNDSRIGHT_TRUST": "true",
            "SOUNDSRIGHT_SPEECH": "recordings",
            "SOUNDSRIGHT_WORKERS": "1",
        }
        | settings,
    )


def paid(chain: HttpChain, hotkey: str) -> dict[int, float]:
    """The weights that a verifier set, after one more block."""
    chain.advance(1)
    time.sleep(0.4)
    return dict(chain.weights(hotkey))


@pytest.mark.slow
def test_a_prover_that_serves_its_committed_model_is_verified_and_paid(world: World) -> None:
    (world.folder / "rules.toml").write_text(RULES)
    chain = world.start_chain()
    victor, alice = world.key("victor").address, world.key("alice").address
    chain.register(victor, stake=2_000.0, permit=True)
    chain.register(alice)
    prover(world, "alice")
    until(lambda: any(each.endpoint for each in chain.neurons()), "alice's endpoint", timeout_s=60)
    url = f"http://127.0.0.1:{world.ports['alice-prover']}"
    until(lambda: request(url, "GET", "/v1/model", timeout_s=10).status == 200, "the model is loaded")
    offer = served_model(request(url, "GET", "/v1/model", timeout_s=10).body)
    assert (offer.hotkey, offer.competition) == (alice, COMPETITION)

    verifier(world, "victor")
    weights = until(partial(paid, chain, victor), "weights", timeout_s=120)
    uids = {neuron.hotkey: neuron.uid for neuron in chain.neurons()}
    assert weights == {uids[alice]: pytest.approx(1.0)}
    _check_a_listener_gets_an_answer(world, alice)
    gateway = f"http://127.0.0.1:{world.ports['victor-gateway']}"
    for given, words in ((("--gateway", gateway), "(Bronze) answered in"), ((), "not verified: ask a verifier's")):
        assert words in _requested(world, *given)
    for name in ("alice", "victor", "organiser"):
        assert world.services[name].stop() == 0, world.services[name].output()[-2_000:]


@pytest.mark.slow
def test_a_validator_verifies_provers_beside_its_rounds(world: World) -> None:
    rules = RULES.replace("competitions = 0.0\ntiers = 1.0", "competitions = 0.5\ntiers = 0.5")
    (world.folder / "rules.toml").write_text(rules)
    chain = world.start_chain()
    victor, alice = world.key("victor").address, world.key("alice").address
    chain.register(victor, stake=2_000.0, permit=True)
    chain.register(alice)
    prover(world, "alice")
    until(lambda: any(each.endpoint for each in chain.neurons()), "alice's endpoint", timeout_s=60)
    world.ports["victor-gateway"] = free_port()
    gateway = f"http://127.0.0.1:{world.ports['victor-gateway']}"
    world.start_validator(
        "victor",
        SOUNDSRIGHT_RULESET=str(world.folder / "rules.toml"),
        GATEWAY_PORT=str(world.ports["victor-gateway"]),
        GATEWAY_HOST="127.0.0.1",
        TIERS_API_KEYS=LISTENER,
        SOUNDSRIGHT_SPEECH="recordings",
    )

    def listed() -> bool:
        chain.advance(1)
        time.sleep(0.4)
        try:
            reply = request(gateway, "GET", "/v1/provers", timeout_s=10)
        except PeerUnavailable:
            return False
        return [each["hotkey"] for each in json.loads(reply.body)["provers"]] == [alice]

    until(listed, "the gateway lists alice", timeout_s=120)
    _check_a_listener_gets_an_answer(world, alice)
    for name in ("alice", "victor", "organiser"):
        assert world.services[name].stop() == 0, world.services[name].output()[-2_000:]


def _requested(world: World, *arguments: str) -> str:
    """Send a recording by the command, in the name of the verifier. Returns what it prints."""
    tone = Audio((np.sin(np.arange(16_000) / 9) / 4).astype(np.float32), 16_000)
    (world.folder / "noisy.wav").write_bytes(encode_wav(tone))
    settings = {
        "TIERS_API_KEY": LISTENER,
        "WALLET": "victor",
        "SOUNDSRIGHT_RULESET": str(world.folder / "rules.toml"),
        "SOUNDSRIGHT_PEER_NETWORKS": "loopback",
    }
    service = world.start("listener", ["tiers.request", "noisy.wav", "--out", "clean.wav", *arguments], settings)
    assert service.process.wait(60) == 0, service.output()
    answer = decode_wav((world.folder / "clean.wav").read_bytes())
    assert answer.samples.shape == (16_000, 1)
    (world.folder / "clean.wav").unlink()
    return service.output()


def _check_a_listener_gets_an_answer(world: World, hotkey: str) -> None:
    tone = Audio((np.sin(np.arange(16_000) / 9) / 4).astype(np.float32), 16_000)
    reply = request(
        f"http://127.0.0.1:{world.ports['victor-gateway']}",
        "POST",
        "/v1/enhance",
        body=encode_wav(tone),
        headers={"Authorization": f"Bearer {LISTENER}", "Content-Type": "audio/wav"},
        timeout_s=30,
    )
    assert (reply.status, reply.headers["x-prover"]) == (200, hotkey)
    assert decode_wav(reply.body).samples.shape == (16_000, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"NEURON_TIMEOUT": "3"}, "NEURON_TIMEOUT is 3"),
        ({"SOUNDSRIGHT_RULESET": "soundsright-v5"}, "gives tiers no share"),
    ],
)
def test_a_verifier_whose_settings_do_not_fit_ends_with_one_line(
    world: World, settings: dict[str, str], words: str
) -> None:
    (world.folder / "rules.toml").write_text(RULES)
    world.url = "http://127.0.0.1:9"
    service = verifier(world, "victor", **settings)
    assert service.process.wait(60) == 2
    assert words in service.output()
    assert "Traceback" not in service.output()
