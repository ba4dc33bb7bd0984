"""Selective reveal: a miner reveals its entry to one validator only, so that validators admit different entries."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.competition import Competition
from soundsright.core.errors import PeerUnavailable, RequestRefused
from soundsright.core.ports import Neuron, Reply
from soundsright.core.schedule import Round
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Commitment, Reveal
from soundsright.services.http import Health
from soundsright.services.records import sign_reveal
from soundsright.services.validator import RevealCollector, RevealExchange, RevealsRequest, SharedReveals
from soundsright.testing.attacks.scenes import DENOISING_48K, Attack, Scene
from soundsright.testing.attacks.signal_attacks import WIDE
from soundsright.testing.attacks.worlds import World
from soundsright.testing.entries import salted_reveal
from soundsright.testing.fakes import VirtualClock
from soundsright.testing.state import MemoryState

VALIDATORS = ("victor", "wanda", "xenia")
_ROUND = Round("round", 100, 110)


@dataclass
class _Network:
    """Validators that reach each other if they `gossip`, and one miner that answers only the first of them."""

    competition: Competition
    gossip: bool
    miner: Hotkey = field(default_factory=lambda: Hotkey.of_seed("selective"))
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(1.7e9))
    nodes: list[_Node] = field(default_factory=list)

    @property
    def reveal(self) -> Reveal:
        return salted_reveal(
            ModelRef("selective", "model", "a" * 40), self.miner.address, self.competition.id, "c" * 64
        )

    @property
    def neurons(self) -> list[Neuron]:
        validators = (
            Neuron(1 + n, node.hotkey, 1, stake=1_000.0, permit=True, endpoint=f"10.0.1.{n}:1")
            for n, node in enumerate(self.nodes)
        )
        return [Neuron(0, self.miner.address, 1, endpoint="10.0.0.1:1"), *validators]


@dataclass
class _Node:
    """One validator, and the `Peers` port of its requests."""

    hotkey: str
    network: _Network
    shared: SharedReveals = field(default_factory=SharedReveals)

    def get(self, endpoint: str, receiver: str, path: str, *, timeout_s: float, **_: object) -> Reply:
        raise PeerUnavailable(f"{endpoint}{path}: nothing in this attack reads")

    def call(self, endpoint: str, receiver: str, path: str, body: bytes, *, timeout_s: float, **_: object) -> Reply:
        network = self.network
        if receiver == network.miner.address:
            if self is not network.nodes[0]:
                raise PeerUnavailable("The miner does not answer this validator")
            return _reply(sign_reveal(network.reveal, network.miner, _ROUND.id))
        if not network.gossip:
            raise PeerUnavailable("Validators did not talk to each other")
        other = next(node for node in network.nodes if node.hotkey == receiver)
        try:
            reply = other.shared.reply(self.hotkey, RevealsRequest.model_validate_json(body))
        except RequestRefused as refused:
            return Reply(refused.status, b"")
        return _reply(reply.model_dump(mode="json", by_alias=True))


def _reply(document: dict[str, Any]) -> Reply:
    return Reply(200, json.dumps(document).encode())


def admitting_validators(competition: Competition, *, gossip: bool = True) -> list[bool]:
    """Whether each validator admits the entry of a miner that answers only the first one."""
    network = _Network(competition, gossip)
    network.nodes += [_Node(Hotkey.of_seed(name).address, network) for name in VALIDATORS]
    reveal, hotkey = network.reveal, network.miner.address
    commitments = [Commitment(hotkey, reveal.digest(hotkey), 50)]
    exchanges = []
    for node in network.nodes:
        node.shared.admit_validators(network.neurons)
        state = MemoryState()
        state.begin_round(_ROUND.id, {})
        collector = RevealCollector(_ROUND.id, node, state, network.clock, Health(network.clock), valid_signature)
        exchange = RevealExchange(_ROUND, collector, node.shared, node.hotkey, node, network.clock)
        exchanges.append((collector, exchange))
    for block in range(_ROUND.entries_close_block + 1, _ROUND.seed_block + 1):
        for _, exchange in exchanges:
            exchange.step(commitments, network.neurons, block)
        network.clock.sleep(12.0)
    return [isinstance(c.revealed(commitments).get(hotkey), Reveal) for c, _ in exchanges]


def _selective(world: World) -> Scene:
    admitting = admitting_validators(world.stage.competition, gossip=not world.is_before)
    without = (WIDE.champion, *WIDE.rivals)
    casts = tuple(WIDE.cast if admits else without for admits in admitting)
    return Scene(
        (WIDE.champion,),
        (WIDE.cast,),
        casts,
        finding=f"{sum(admitting)} of {len(admitting)} validators admit the entry",
        broken="" if len(set(admitting)) == 1 else "validators admit different entries",
    )


REVEAL_ATTACKS = (
    Attack(
        "selective-reveal",
        "reveals its entry to one validator, so that the others never learn it",
        "nsnet2",
        _selective,
        DENOISING_48K,
    ),
)
"""Attacks on the agreement of validators."""
