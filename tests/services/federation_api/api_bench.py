"""An owner's API over memory, its validators, and signed requests to it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from soundsright.adapters.peers.auth import RequestGate, signed_headers
from soundsright.adapters.peers.dialects import leoma_text
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import ChainUnavailable
from soundsright.core.federation_rules import FederationRules
from soundsright.core.ports import BlockRef, Bucket, Records
from soundsright.services.federation_api.app import federation_api_app
from soundsright.services.federation_api.heads import Heads
from soundsright.services.federation_api.media import Media
from soundsright.services.federation_api.sending import FederationAccess, admins_only
from soundsright.services.federation_api.shown import FederationShown
from soundsright.services.federation_api.store import ApiState, FederationStore
from soundsright.services.http import Admit
from soundsright.testing import MemoryRecords, MemoryState, VirtualClock

OWNER, ADMIN, STRANGER = (Hotkey.of_seed(name) for name in ("owner", "admin", "stranger"))
VALIDATORS = tuple(sorted((Hotkey.of_seed(f"validator-{n}") for n in range(4)), key=lambda key: key.address))
"""In the order of the rotation."""
MINERS = tuple(Hotkey.of_seed(f"miner-{n}").address for n in range(6))
COMPETITION = "DENOISING_16000HZ"
TASK = 1_234
"""The task of the present block. Its turn is that of `VALIDATORS[2]`."""
NOW_S = 1.7e9
STALE_S = 900.0


@dataclass
class HeadChain:
    """The newest block. With `is_away`, nothing answers."""

    number: int = TASK * 100 + 49
    is_away: bool = False

    def head(self) -> BlockRef:
        if self.is_away:
            raise ChainUnavailable("The chain did not answer", "Try again.")
        return BlockRef(self.number, "0x0")


@dataclass
class Bench:
    """An API with four validators. Every part can be replaced."""

    state: ApiState = field(default_factory=MemoryState)
    records: Records = field(default_factory=MemoryRecords)
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(NOW_S))
    chain: HeadChain = field(default_factory=HeadChain)
    rules: FederationRules = field(default_factory=lambda: FederationRules(competitions=(COMPETITION,)))
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    kept_tasks: int = 160
    max_of_task: int = 1_024

    def __post_init__(self) -> None:
        self.store = self.open()
        for uid, key in enumerate(VALIDATORS):
            self.store.validators.add(key.address, uid)

    def open(self) -> FederationStore:
        """The store, as a started process reads it."""
        return FederationStore(
            self.state, self.records, self.clock, kept_tasks=self.kept_tasks, max_of_task=self.max_of_task
        )

    @property
    def shown(self) -> FederationShown:
        chain: Any = self.chain
        return FederationShown(self.store, self.rules, Heads(chain), Media(self.buckets), stale_s=STALE_S)

    def app(
        self,
        *,
        admit: Admit | None = None,
        dialects: tuple[str, ...] = ("btauth", "leoma"),
        max_age_s: float = 300.0,
        throttle: Any = lambda _client: None,
        origins: tuple[str, ...] = (),
        admins: tuple[str, ...] = (ADMIN.address,),
    ) -> FastAPI:
        gate = RequestGate(OWNER.address, dialects=dialects, max_age_s=max_age_s)
        access = FederationAccess(
            admit=admit or gate.admit,
            admit_sender=admit or gate.admit_read,
            throttle=throttle,
            check_admin=admins_only(frozenset(admins)),
        )
        return federation_api_app(self.shown, access, origins=origins, sign=OWNER.sign)

    def client(self, **choices: Any) -> TestClient:
        return TestClient(self.app(**choices))


def sample(miner: int = 0, task: int = TASK, **changes: Any) -> dict[str, Any]:
    """A sample as a validator sends it."""
    values: dict[str, Any] = {
        "task": task,
        "competition": COMPETITION,
        "miner_hotkey": MINERS[miner] if miner < len(MINERS) else Hotkey.of_seed(f"miner-{miner}").address,
        "uid": 10 + miner,
        "model": f"lab/model-{miner}@{'a' * 40}",
        "block": 5_000 + miner,
        "passed": True,
        "failures": 0,
        "means": {"ESTOI": 0.8125, "PESQ_WB": 2.5},
        "answers": "a" * 64,
        "verdict": "b" * 64,
    }
    return values | changes


def report(*miners: int, invalid: tuple[int, ...] = (), winner: int | None = None) -> dict[str, Any]:
    """A report that finds these miners valid, and the others not."""
    rows = [{"hotkey": MINERS[n], "uid": 10 + n, "valid": True, "reason": ""} for n in miners]
    rows += [{"hotkey": MINERS[n], "uid": 10 + n, "valid": False, "reason": "bad_revision"} for n in invalid]
    return {"miners": rows, "winners": {} if winner is None else {COMPETITION: MINERS[winner]}}


def body_of(values: object) -> bytes:
    return json.dumps(values).encode()


def signed(
    method: str, path: str, body: bytes = b"", *, key: Hotkey = VALIDATORS[2], late_s: float = 0.0
) -> dict[str, str]:
    """The headers of a signed request, by btauth."""
    nonce_ns = time.time_ns() - int(late_s * 1e9)
    return signed_headers(key, method=method, path=path, body=body, receiver=OWNER.address, nonce_ns=nonce_ns)


def leoma(body: bytes, *, key: Hotkey = VALIDATORS[2], ahead_s: int = 1) -> dict[str, str]:
    """The headers of a request in the dialect `leoma`. A moment ahead: the gate has only just begun."""
    at_s = int(time.time()) + ahead_s
    signature = key.sign(leoma_text(body=body, timestamp_s=at_s)).hex()
    return {"X-Validator-Hotkey": key.address, "X-Timestamp": str(at_s), "X-Signature": signature}


def post(client: TestClient, path: str, values: object, *, key: Hotkey = VALIDATORS[2]) -> Any:
    """The reply to a signed POST."""
    body = values if isinstance(values, bytes) else body_of(values)
    return client.post(path, content=body, headers=signed("POST", path, body, key=key))


def send(client: TestClient, *samples: dict[str, Any], key: Hotkey = VALIDATORS[2]) -> Any:
    """The reply to a batch of samples."""
    return post(client, "/samples/batch", {"samples": list(samples)}, key=key)
