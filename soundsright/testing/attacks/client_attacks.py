"""Attacks on what miners and validators show: the model of a commitment that is not closed yet."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.adapters.chains import LocalChain
from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.competition import Competition
from soundsright.core.schedule import Schedule
from soundsright.core.sources import ModelRef
from soundsright.core.submission import commitment_digest, salted_digest
from soundsright.services.http import Health, health_app
from soundsright.services.miner import Entry, EntryCommitment, MinerContext, MinerService, stored_salt
from soundsright.services.records import FeedbackStore
from soundsright.testing.attacks.scenes import DENOISING_48K, Attack, Scene
from soundsright.testing.attacks.signal_attacks import WIDE
from soundsright.testing.attacks.weights import entry_folder
from soundsright.testing.attacks.worlds import World
from soundsright.testing.fakes import VirtualClock

if TYPE_CHECKING:
    from starlette.testclient import TestClient

PUBLIC_MODELS = 20_000
_SCHEDULE = Schedule(time_of_day_s=0, every_days=1, seed_delay_blocks=3)
_EARLY_S = 1.7e9


@dataclass(frozen=True)
class Watched:
    """What a watcher learns of an entry before entries close: from the miner's API, and from the digest."""

    named_by_api: bool
    opened_digest: bool

    @property
    def finding(self) -> str:
        api = "names the model" if self.named_by_api else "does not name the model"
        digest = "opens" if self.opened_digest else "does not open"
        return f"before the close the API {api}, and the digest {digest} with {PUBLIC_MODELS} public models"


def watched_entry(folder: Path, competition: Competition) -> Watched:
    """Watch a miner of our own before its entry is committed and after, and try all public models on its digest."""
    from starlette.testclient import TestClient

    folder.mkdir(parents=True, exist_ok=True)
    owner = Hotkey.of_seed("owner")
    model = ModelRef("secret-owner", "secret-model", "5e" * 20)
    content = "c0" * 32
    chain = LocalChain(folder / "chain.db", now_s=lambda: _EARLY_S)
    chain.register(owner.address)
    clock = VirtualClock(_EARLY_S)
    health = Health(clock)
    salt = stored_salt(folder, owner.address, competition.id, content)
    entry = Entry(owner, competition, model, content, salt)
    context = MinerContext(
        chain=chain,
        clock=clock,
        health=health,
        store=FeedbackStore(folder / "feedback", valid_signature=valid_signature),
        valid_signature=valid_signature,
        schedule=_SCHEDULE,
    )
    miner = MinerService(entry, EntryCommitment(entry, folder), context)
    client = TestClient(health_app(health, miner, service="miner", version="1"))
    replies = [_public_replies(client)]
    miner.tick()
    replies.append(_public_replies(client))
    (commitment,) = chain.commitments()
    named = any(part in reply for reply in replies for part in (model.namespace, model.name, model.revision))
    return Watched(named, _opens(commitment.digest, owner.address, competition.id, model, content))


def _public_replies(client: TestClient) -> str:
    """Everything that a stranger can read from a miner."""
    paths = ("current_models", "best_models", "events", "metrics", "seed")
    pages = [client.get(f"/healthcheck/{path}").json() for path in paths]
    return json.dumps([page.get("data") for page in pages])


def _opens(digest: str, hotkey: str, competition_id: str, model: ModelRef, content: str) -> bool:
    """Whether the digest is that of a public model, as an attacker tries them without the salt."""
    others = (ModelRef("public", f"model-{number}", f"{number:040x}") for number in range(PUBLIC_MODELS - 1))
    no_salts = ("", "0" * 32)
    return any(commitment_digest(other, hotkey, competition_id) == digest for other in (*others, model)) or any(
        salted_digest(content, hotkey, competition_id, salt) == digest for salt in no_salts
    )


def _front_running(world: World) -> Scene:
    """The champion's owner enters a new model. If the attacker sees it in time, it commits the same model first."""
    if world.is_before:
        watched = Watched(named_by_api=True, opened_digest=True)  # So did the miner of that version.
    else:
        watched = watched_entry(world.workshop / "watched", world.stage.competition)
    weights = (WIDE.champion.folder / "weights.safetensors").read_bytes()
    files = {"weights.safetensors": weights, "README.md": b"My own model.\n"}
    stolen = entry_folder(world.workshop / "stolen", files)
    honest = (*WIDE.rivals, WIDE.own, WIDE.champion)
    first = replace(WIDE.own, system=WIDE.champion.system, folder=stolen)
    attacked = (*WIDE.rivals, first, WIDE.champion) if watched.named_by_api else honest
    return Scene(WIDE.rivals, (honest,), (attacked,), finding=watched.finding)


CLIENT_ATTACKS = (
    Attack(
        "front-running",
        "watches a miner's API and the chain, and commits the miner's model first",
        "nsnet2",
        _front_running,
        DENOISING_48K,
    ),
)
"""Attacks by clients of miners and validators."""
