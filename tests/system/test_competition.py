"""A whole private competition as separate processes: one chain, three miners, two validators, two rounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.hubs.folder import FolderHub
from soundsright.adapters.peers.auth import signed_headers
from soundsright.adapters.peers.client import request
from soundsright.adapters.peers.keys import valid_signature
from soundsright.core.submission import salted_digest
from soundsright.services.records.feedback_store import FeedbackStore
from soundsright.services.records.reveal import open_reveal
from soundsright.testing.fakechain.drand import ROUND_1000_S, served_relay
from tests.system.world import COMPETITION, HOURS_A_DAY, SECRET, World, running_world, until

MINERS = {"alice": "smooth", "bob": "copy", "carol": "crash"}
VALIDATORS = ("victor", "wanda")
PUBLISHED = "metrics events current_models best_models competitions competition_scores scores next_competition seed"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield from running_world(tmp_path)


@pytest.mark.slow
def test_two_rounds_of_a_private_competition(world: World) -> None:
    chain = world.start_chain()
    for name in VALIDATORS:
        chain.register(world.key(name).address, stake=2_000.0, permit=True)
    models = {name: world.model(kind, name) for name, kind in MINERS.items()}
    for name, model in models.items():
        chain.register(world.key(name).address)
        world.start_miner(name, model)
    for name in VALIDATORS:
        world.start_validator(name)

    until(lambda: len(chain.commitments()) == 3, "three commitments")
    # A miner publishes its endpoint after its commitment. Validators send requests there, and to each other.
    until(lambda: sum(neuron.endpoint is not None for neuron in chain.neurons()) == 5, "five endpoints")
    for commitment in chain.commitments():
        name = next(n for n in MINERS if world.key(n).address == commitment.hotkey)
        salts = json.loads((world.folder / name / "salts.json").read_text())["salts"]
        content = FolderHub(world.folder / "hub", world.folder / "cache").content_of(models[name])
        salt = salts[f"{commitment.hotkey}:{COMPETITION}:{content}"]
        assert commitment.digest == salted_digest(content, commitment.hotkey, COMPETITION, salt)
        # Nobody can read the model before entries close.
        assert models[name].revision not in str(world.health(name, "/healthcheck/current_models"))
    until(lambda: all((world.health(v, "/readyz") or {}).get("status") for v in VALIDATORS), "validators ready")

    # First round: a block is an hour. Entries close at the next start, and the seed follows.
    chain.advance(2 * HOURS_A_DAY)
    first = {v: until(partial(chain.weights, world.key(v).address), "weights", timeout_s=120) for v in VALIDATORS}
    assert first["victor"] == first["wanda"]
    uids = {neuron.hotkey: neuron.uid for neuron in chain.neurons()}
    assert set(first["victor"]) <= {uids[world.key(name).address] for name in ("alice", "bob")}

    stores = {
        name: FeedbackStore(world.folder / name / "feedback", valid_signature=valid_signature) for name in MINERS
    }
    until(lambda: all(len(list(store.all())) == 2 for store in stores.values()), "feedback from both validators")
    for name, store in stores.items():
        received = list(store.all())
        assert {kept.envelope.validator for kept in received} == {world.key(v).address for v in VALIDATORS}
        assert {kept.feedback.hotkey for kept in received} == {world.key(name).address}
        one, two = (kept.feedback for kept in received)
        assert (one.seed, one.set_digest, one.rank, one.metrics) == (
            two.seed,
            two.set_digest,
            two.rank,
            two.metrics,
        )
        assert len(one.clips) == 12
    (crashed, _) = stores["carol"].all()
    assert set(crashed.feedback.failures) == {"crashed"}
    _check_health(world)
    _check_refusals(world, crashed.feedback.round)
    _check_reveals_are_passed_on(world, crashed.feedback.round)

    # Second round: bob enters alice's kind of model, and has a new commitment.
    assert world.services["bob"].stop() == 0
    world.start_miner("bob", world.model("smooth", "bob"))
    before = {c.hotkey: c.block for c in chain.commitments()}
    until(
        lambda: (
            {c.hotkey: c.block for c in chain.commitments()}[world.key("bob").address]
            > before[world.key("bob").address]
        ),
        "bob's new commitment",
    )
    chain.advance(HOURS_A_DAY)
    until(
        lambda: all(len(list(store.all())) == 4 for store in stores.values()),
        "feedback of the second round",
        timeout_s=120,
    )
    second = {name: chain.weights(world.key(name).address) for name in VALIDATORS}
    assert second["victor"] == second["wanda"]
    for v in VALIDATORS:
        assert world.health(v, "/healthcheck/metrics")["data"]["competitions_judged"] == 2
    after = {c.hotkey: c.block for c in chain.commitments()}
    assert after[world.key("alice").address] == before[world.key("alice").address], "alice committed once"

    for service in world.services.values():
        assert service.stop() == 0, service.output()[-2_000:]
    _check_no_secret(world)


@pytest.mark.slow
def test_a_sealed_entry_is_judged_while_its_miner_is_away(world: World) -> None:
    rules = world.folder / "rules.toml"
    published = files("soundsright").joinpath("rulesets/published.toml").read_text()
    for old, new in (
        ("time_utc = 09:00:00", "time_utc = 15:59:24"),
        ("seed_delay_blocks = 10", "first_day = 2023-08-23\nseed_delay_blocks = 3"),
    ):
        assert old in published
        published = published.replace(old, new)
    rules.write_text(published)

    # A day in August 2023. Entries close at the time of a real round of the beacon.
    chain = world.start_chain(ROUND_1000_S - 12 * 3_600)
    chain.register(world.key("victor").address, stake=2_000.0, permit=True)
    chain.register(world.key("alice").address)
    world.start_miner("alice", world.model("smooth", "alice"), SOUNDSRIGHT_RULESET=str(rules))
    (commitment,) = until(chain.commitments, "a commitment")
    assert commitment.digest.startswith("sealed:1000:")
    assert world.services["alice"].stop() == 0

    with served_relay() as relay:
        world.start_validator("victor", SOUNDSRIGHT_RULESET=str(rules), DRAND_RELAYS=relay.url)
        until(lambda: (world.health("victor", "/readyz") or {}).get("status"), "the validator is ready")
        assert relay.requests == []
        chain.advance(HOURS_A_DAY)
        weights = until(partial(chain.weights, world.key("victor").address), "weights", timeout_s=120)
    uids = {neuron.hotkey: neuron.uid for neuron in chain.neurons()}
    assert weights == {uids[world.key("alice").address]: 1.0}
    models = world.health("victor", "/healthcheck/current_models")["data"][COMPETITION]
    assert [(model["hf_model_namespace"], model["block"]) for model in models] == [("alice", commitment.block)]
    assert len(relay.requests) == 1
    assert world.services["victor"].stop() == 0, world.services["victor"].output()[-2_000:]


def _check_health(world: World) -> None:
    for name in (*MINERS, *VALIDATORS):
        for endpoint in PUBLISHED.split():
            answer = world.health(name, f"/healthcheck/{endpoint}")
            assert set(answer) == {"data", "timestamp"}, (name, endpoint, answer)
        assert world.health(name, "/readyz")["status"] is True
        assert "soundsright_ready" in world.health(name, "/metrics")
        assert "/healthcheck/seed" in world.health(name, "/openapi.json")["paths"]
    scores = world.health("victor", "/healthcheck/competition_scores")["data"]
    assert set(scores) == {COMPETITION}
    assert world.health("victor", "/healthcheck/seed")["data"]["sets"].keys() == {COMPETITION}


def _check_refusals(world: World, round_id: str) -> None:
    """A miner refuses a request that is replayed, wrongly signed, without permit, or too large."""
    url, miner = f"http://127.0.0.1:{world.ports['alice-axon']}", world.key("alice").address
    body = json.dumps({"schema": "soundsright.reveal/2", "round": round_id}).encode()

    def post(name: str, sent: bytes, *, again: bool = False, **changes: str) -> tuple[int, str]:
        headers = (
            signed_headers(world.key(name), method="POST", path="/reveal", body=body, receiver=miner) | changes
        )
        replies = [
            request(url, "POST", "/reveal", body=sent, headers=headers, timeout_s=10) for _ in range(1 + again)
        ]
        return replies[-1].status, str(json.loads(replies[-1].body).get("code"))

    assert post("victor", body) == (200, "None")
    assert post("victor", body, again=True) == (401, "replayed")
    assert post("bob", body) == (403, "no_permit")
    assert post("victor", b'{"schema": "soundsright.reveal/1"}') == (401, "bad_signature")
    assert post("victor", b" " * 3_000) == (413, "too_large")


def _check_reveals_are_passed_on(world: World, round_id: str) -> None:
    """A validator gives another one all reveals, each signed by its miner, and gives a miner none."""
    body = json.dumps({"schema": "soundsright.reveals/1", "round": round_id}).encode()

    def ask(name: str) -> tuple[int, Any]:
        receiver = world.key("victor").address
        headers = signed_headers(world.key(name), method="POST", path="/reveals", body=body, receiver=receiver)
        url = f"http://127.0.0.1:{world.ports['victor-axon']}"
        reply = request(url, "POST", "/reveals", body=body, headers=headers, timeout_s=10)
        return reply.status, json.loads(reply.body)

    status, reply = ask("wanda")
    assert status == 200
    for document in reply["reveals"]:
        open_reveal(document, hotkey=document["hotkey"], round_id=round_id, valid_signature=valid_signature)
    assert {d["hotkey"] for d in reply["reveals"]} == {world.key(name).address for name in MINERS}
    status, reply = ask("alice")
    assert (status, reply["code"]) == (403, "no_permit")


def _check_no_secret(world: World) -> None:
    files_with_secret = [
        path.relative_to(world.folder)
        for path in world.folder.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert files_with_secret == []
