"""An executor that keeps everything in memory, its app, and signed requests to it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import FastAPI

from soundsright.adapters.peers.auth import RequestGate, signed_headers
from soundsright.adapters.peers.dialects import talkhead_text
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import RequestRefused
from soundsright.core.images import ImageMetrics, ImageRow, PublishedTable, SubmittedImage
from soundsright.core.ports import TakenSubmissions
from soundsright.core.sources import ImageRef
from soundsright.services.executor_api import ExecutorAccess, executor_app
from soundsright.services.http import Admit

OWNER, VICTOR, MINER, EVE = (Hotkey.of_seed(name) for name in ("owner", "victor", "miner", "eve"))


def image(number: int = 0) -> ImageRef:
    return ImageRef("reg.example/lab/gate", f"{number:064x}")


def submission(key: Hotkey = MINER, number: int = 0, submitted_s: int = 1_000) -> SubmittedImage:
    return SubmittedImage(submitted_s, key.address, image(number))


ROW = ImageRow(
    submission(),
    ImageMetrics(
        final_score=0.7077647,
        quality_score=0.8,
        efficiency_factor=0.8847059,
        inference_time_sec=12.0,
        peak_vram_gb=5.0,
        challenge_metrics=({"run": 0, "clip_ids": ["c0"], "time_sec": 12.0, "scores": {"c0": {"ESTOI": 0.8}}},),
        updated_s=2_000.5,
    ),
)
TABLE = PublishedTable("round-7", (ROW,), "ab12", {})


@dataclass
class MemoryExecutor:
    """The port `ImageExecutor`. It counts how often its table was read."""

    shown: PublishedTable = field(default_factory=lambda: TABLE)
    standing: tuple[SubmittedImage, ...] = ()
    envelopes: dict[str, bytes] = field(default_factory=dict)
    refusal: Exception | None = None

    def take(self, submissions: Sequence[SubmittedImage]) -> TakenSubmissions:
        if self.refusal is not None:
            raise self.refusal
        before = {each.hotkey: each for each in self.standing}
        self.standing = tuple(submissions)
        added = [each for each in submissions if before.get(each.hotkey) != each]
        changed = sum(each.hotkey in before for each in added)
        return TakenSubmissions(len(submissions), len(added) - changed, changed)

    def table(self) -> PublishedTable:
        return self.shown

    def results(self, round_id: str) -> bytes | None:
        return self.envelopes.get(round_id)

    def status(self) -> Mapping[str, Any]:
        return {"state": "idle", "round": self.shown.round_id, "entry": None, "machine": {"gpu": None}}

    def publish(self, *rows: ImageRow, version: str) -> None:
        self.shown = replace(self.shown, rows=rows, version=version)


def only_victor(hotkey: str) -> None:
    if hotkey != VICTOR.address:
        raise RequestRefused("no_permit", "Only validators of this executor get a reply")


def app_of(executor: MemoryExecutor, *, admit: Admit | None = None) -> FastAPI:
    """The app of an executor whose hotkey is the owner's. Victor is its validator."""
    gate = RequestGate(OWNER.address, dialects=("btauth", "talkhead"))
    access = ExecutorAccess(
        admit=admit or gate.admit,
        admit_read=admit or gate.admit_read,
        throttle=lambda _client: None,
        check_validator=only_victor,
    )
    return executor_app(executor, access, sign=OWNER.sign)


def signed(
    method: str,
    path: str,
    body: bytes = b"",
    *,
    key: Hotkey = VICTOR,
    receiver: Hotkey = OWNER,
    late_s: float = 0.0,
) -> dict[str, str]:
    """The headers of a signed request."""
    nonce_ns = time.time_ns() - int(late_s * 1e9)
    return signed_headers(key, method=method, path=path, body=body, receiver=receiver.address, nonce_ns=nonce_ns)


def talkhead(path: str, *, key: Hotkey = VICTOR, ahead_s: int = 1) -> dict[str, str]:
    """The headers of a read in the dialect `talkhead`. A moment ahead: the gate has only just begun."""
    at_s = int(time.time()) + ahead_s
    signature = key.sign(talkhead_text(path=path, timestamp_s=at_s, sender=key.address)).hex()
    return {"X-Hotkey": key.address, "X-Timestamp": str(at_s), "X-Signature": signature}
