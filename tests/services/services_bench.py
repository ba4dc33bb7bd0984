"""Accounts, a chain in a file, and the documents that miners and validators exchange, for their tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.core.competition import PUBLISHED
from soundsright.core.schedule import Schedule
from soundsright.core.sources import ModelRef
from soundsright.services.http.state import Health
from soundsright.services.miner.entry import Entry, EntryCommitment
from soundsright.services.miner.service import MinerContext, MinerService
from soundsright.services.records.feedback_store import FeedbackStore
from soundsright.testing import VirtualClock

ALICE, BOB, VICTOR, POOR = (Hotkey.of_seed(name) for name in ("alice", "bob", "victor", "poor"))
MODEL = ModelRef("alice", "gate", "a" * 40)
ENTRY = Entry(ALICE, PUBLISHED[0], MODEL, "c" * 64, "5" * 32)
SCHEDULE = Schedule(time_of_day_s=0, every_days=1, seed_delay_blocks=3)
DAY_BLOCKS = 24


def chain_with_validators(folder: Path) -> LocalChain:
    """Alice is registered. Victor is a validator with enough stake, poor is one with too little."""
    chain = LocalChain(folder / "chain.db", block_s=3_600.0)
    chain.register(ALICE.address)
    chain.register(VICTOR.address, stake=2_000.0, permit=True)
    chain.register(POOR.address, stake=5.0, permit=True)
    return chain


def miner_on(chain: Any, folder: Path, clock: VirtualClock | None = None, **options: Any) -> MinerService:
    clock = clock or VirtualClock(1e9)
    choices: dict[str, Any] = {"min_stake": 1_000.0, "poll_s": 1.0, "health": Health(clock)}
    choices |= {"schedule": SCHEDULE} | options
    store = FeedbackStore(folder / "feedback", valid_signature=valid_signature)
    entry = choices.pop("entry", ENTRY)
    commitment = choices.pop("commitment", EntryCommitment(entry, folder))
    context = MinerContext(chain=chain, clock=clock, store=store, valid_signature=valid_signature, **choices)
    return MinerService(entry, commitment, context)


def document(**changes: Any) -> dict[str, Any]:
    """A feedback document as a validator writes it."""
    estimate = {"mean": 2.5, "low": 2.4, "high": 2.6, "n": 2}
    return {
        "schema": "soundsright.feedback/1",
        "round": "2026-01-02",
        "competition": "DENOISING_16000HZ",
        "seed": 2**63 + 1,
        "set_digest": "ab" * 32,
        "hotkey": ALICE.address,
        "uid": 0,
        "refusal": None,
        "rank": 1,
        "share": 6.0,
        "metrics": {"PESQ_WB": estimate},
        "unprocessed": {"PESQ_WB": estimate},
        "best": {"entry": "alice/gate", "rank": 1, "share": 6.0, "metrics": {"PESQ_WB": estimate}, "clips": 2},
        "winners": {"PESQ_WB": {"entry": "alice/gate", "rank": 1, "share": 6.0, "metrics": {"PESQ_WB": estimate}}},
        "clips": [
            {"id": "c0", "scores": {"PESQ_WB": 2.5}, "failure": None},
            {"id": "c1", "scores": None, "failure": {"code": "length", "detail": "too short"}},
        ],
        "timing": {"load_s": 1.0, "real_time_factor": 0.1, "peak_memory_bytes": 10_000_000},
    } | changes


def json_bytes(value: object) -> bytes:
    return json.dumps(value).encode()
