"""The head of a log: its size and root at a time, signed by the log's hotkey.

    {"schema": "soundsright.log-head/1", "log": "5F...", "size": 12, "root": "<64 hex digits>", "time": 1796000000}

`log` is the hotkey that signs. Times are in whole seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import LogRefused, RequestRefused
from soundsright.core.ports import Account, Clock
from soundsright.services.log.entries import MAX_ENTRIES
from soundsright.services.records import DocumentKind, ValidSignature, open_document, sign_document

LOG_HEAD = DocumentKind("head of a log", "soundsright.log-head/1")
MAX_HEAD_BYTES = 4_000
MAX_TIME_S = 253_402_300_799
"""The last second of the year 9999."""
HEAD_AGE_S = 3_600
"""A head is signed again after this time, also if the log did not grow."""


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_: Literal["soundsright.log-head/1"] = Field(alias="schema")
    log: Annotated[str, Field(max_length=128)]
    size: Annotated[int, Field(ge=0, le=MAX_ENTRIES)]
    root: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    time: Annotated[int, Field(ge=0, le=MAX_TIME_S)]


@dataclass(frozen=True)
class LogHead:
    """A head. `log` is the hotkey that signed it, `envelope` the signed document as JSON."""

    log: str
    size: int
    root: bytes
    time_s: int
    envelope: str

    def __str__(self) -> str:
        return f"{counted(self.size)}, root {self.root.hex()[:16]}"


def counted(size: int) -> str:
    """The number of entries in words.

    >>> counted(1), counted(2)
    ('1 entry', '2 entries')
    """
    return f"{size} entr{'y' if size == 1 else 'ies'}"


def sign_head(size: int, root: bytes, time_s: int, account: Account) -> LogHead:
    """The signed head of a log whose hotkey is `account`."""
    facts = {
        "schema": LOG_HEAD.schema,
        "log": account.address,
        "size": size,
        "root": root.hex(),
        "time": time_s,
    }
    return LogHead(account.address, size, root, time_s, sign_document(LOG_HEAD, facts, account))


def open_head(raw: bytes, *, valid_signature: ValidSignature) -> LogHead:
    """The head in a signed envelope.

    Raises:
        LogRefused: it is no head, or the log that it names did not sign it.
    """
    try:
        opened = open_document(LOG_HEAD, raw, valid_signature=valid_signature, max_bytes=MAX_HEAD_BYTES)
        facts = _Facts.model_validate(dict(opened.facts))
    except RequestRefused as refused:
        raise LogRefused(f"the log's head is refused: {refused.sentence}") from refused
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))[:60]
        raise LogRefused(f"the log's head is refused: {field}: {first['msg'][:200]}") from None
    if facts.log != opened.signer:
        raise LogRefused(f"the head names the log {facts.log}, but {opened.signer} signed it")
    return LogHead(facts.log, facts.size, bytes.fromhex(facts.root), facts.time, raw.decode())


class HeadSigner:
    """Signs the head of each size once, and again after an hour."""

    def __init__(self, account: Account, clock: Clock) -> None:
        self._account = account
        self._clock = clock
        self._last: LogHead | None = None

    def __call__(self, size: int, root: Callable[[], bytes]) -> LogHead:
        """The head of a tree of that size."""
        now_s, last = int(self._clock.now()), self._last
        if last is None or last.size != size or not 0 <= now_s - last.time_s < HEAD_AGE_S:
            self._last = last = sign_head(size, root(), now_s, self._account)
        return last
