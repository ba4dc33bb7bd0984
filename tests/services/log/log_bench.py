"""A log over HTTP in this process, and a source that a test can make lie."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.errors import LogRefused
from soundsright.core.ports import Records
from soundsright.services.log import Admission, HeadSigner, LogLimits, OwnLog, RecordStore, TransparencyLog, log_app
from soundsright.services.records import DocumentKind, sign_document
from soundsright.testing import MemoryRecords, VirtualClock

LOG, VICTOR, WALTER, STRANGER = (Hotkey.of_seed(name) for name in ("log", "victor", "walter", "stranger"))
ROUND = DocumentKind("round document", "soundsright.round/1")
REPLAY = DocumentKind("replay", "soundsright.replay/1")
ADMISSION = Admission(valid_signature, frozenset({VICTOR.address, WALTER.address}))


def round_document(round_id: str = "round-1", *, signer: Hotkey = VICTOR, **facts: Any) -> bytes:
    """A signed round document."""
    document = {"schema": ROUND.schema, "round": {"id": round_id, "seed_block": 7}, **facts}
    return sign_document(ROUND, document, signer).encode()


@functools.cache
def document_of(number: int) -> bytes:
    """A signed document, the same at each call: two signatures of one document differ."""
    return round_document(f"round-{number}")


def own_log(records: Records | None = None, *, account: Hotkey = LOG, limits: LogLimits | None = None) -> OwnLog:
    return OwnLog(RecordStore(records or MemoryRecords()), HeadSigner(account, VirtualClock(1.7e9)), limits)


def filled(count: int, *, account: Hotkey = LOG, first: int = 0) -> OwnLog:
    """A log with that many rounds of one signer."""
    log = own_log(account=account)
    for number in range(first, first + count):
        log.append(ADMISSION.entry(document_of(number)))
    return log


class Source:
    """A log's app as an auditor sees it. `lie` may change the body of an answer, by path."""

    def __init__(self, log: TransparencyLog, name: str = "http://log") -> None:
        self.name = name
        self.client = TestClient(log_app(log, throttle=lambda _client: None, admission=ADMISSION))
        self.asked: list[str] = []
        self.lie: Callable[[str, bytes], bytes] = lambda _path, body: body

    def get(self, path: str, max_bytes: int) -> bytes:
        self.asked.append(path)
        answer = self.client.get(path)
        if answer.status_code != 200:
            raise LogRefused(f"{self.name} answered {answer.status_code}")
        assert len(answer.content) <= max_bytes
        return self.lie(path, answer.content)


def changed(path_start: str, change: Callable[[Any], Any]) -> Callable[[str, bytes], bytes]:
    """A lie about the answers whose path begins so."""

    def lie(path: str, body: bytes) -> bytes:
        return json.dumps(change(json.loads(body))).encode() if path.startswith(path_start) else body

    return lie
