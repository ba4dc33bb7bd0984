"""Two older ways to sign a request. They may only read, because neither of them signs all of the request.

A timestamp is a whole number of seconds since the epoch. Signatures are sr25519, as hex.

- `leoma` signs the body and the time, but not the method, the path or the receiver.
- `talkhead` signs the path with its query, the time and the sender, but not the method, the body or the receiver.

So another service that gets such a request can send it on to this one while it is fresh. A route that accepts them
must answer nothing that this other service may not know.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from soundsright.adapters.peers.freshness import Freshness
from soundsright.adapters.peers.keys import valid_signature
from soundsright.core.errors import RequestRefused
from soundsright.core.ss58 import is_address

_TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}")
_SIGNATURE = re.compile(r"(?:0x)?([0-9a-fA-F]{128})")
_NS = 1_000_000_000


def leoma_text(*, body: bytes, timestamp_s: int) -> bytes:
    """The bytes that a request signs in the dialect `leoma`.

    >>> leoma_text(body=b"", timestamp_s=1_700_000_000)[:14]
    b'e3b0c44298fc1c'
    """
    return f"{hashlib.sha256(body).hexdigest()}:{timestamp_s}".encode()


def talkhead_text(*, path: str, timestamp_s: int, sender: str) -> bytes:
    """The bytes that a request signs in the dialect `talkhead`.

    >>> talkhead_text(path="/submissions", timestamp_s=1_700_000_000, sender="5F")
    b'<Bytes>/submissions:1700000000:5F</Bytes>'
    """
    return f"<Bytes>{path}:{timestamp_s}:{sender}</Bytes>".encode()


@dataclass(frozen=True)
class Dialect:
    """One of these ways. `signed_text` makes the signed bytes from path, body, timestamp and sender."""

    name: str
    sender_header: str
    max_age_s: float
    methods: frozenset[str]
    signs_body: bool
    signed_text: Callable[[str, bytes, int, str], bytes]

    def sender(self, method: str, path: str, headers: Mapping[str, str], body: bytes, freshness: Freshness) -> str:
        """The sender of a request that reads. `headers` have lower-case names.

        Raises:
            RequestRefused: `dialect_reads_only`, `body_unsigned`, `unsigned`, `stale`, `bad_signature`, `replayed`
                or `busy`.
        """
        if method.upper() not in self.methods:
            raise self.reads_only()
        if body and not self.signs_body:
            sentence = f"{self.name} does not sign the body; send none, or sign the request by btauth/1"
            raise RequestRefused("body_unsigned", sentence, status=401)
        sender = headers.get(self.sender_header.lower(), "")
        timestamp = headers.get("x-timestamp", "")
        signature = _SIGNATURE.fullmatch(headers.get("x-signature", ""))
        if not is_address(sender):
            raise RequestRefused("unsigned", f"{self.sender_header} is not the address of a hotkey", status=401)
        if not _TIMESTAMP.fullmatch(timestamp):
            raise RequestRefused("unsigned", "X-Timestamp is not a whole number of seconds", status=401)
        if signature is None:
            raise RequestRefused("unsigned", "X-Signature is not a signature of 64 bytes in hex", status=401)
        time_s = int(timestamp)
        freshness.check_age(time_s * _NS)
        text = self.signed_text(path, body, time_s, sender)
        if not valid_signature(sender, text, bytes.fromhex(signature[1])):
            raise RequestRefused("bad_signature", "The signature is not the sender's", status=401)
        # The text and not the path: what is not signed must not make two requests of one signature.
        freshness.use((sender, hashlib.sha256(text).digest()), time_s * _NS)
        return sender

    def reads_only(self) -> RequestRefused:
        """The refusal of a request that may change something."""
        sentence = f"{self.name} does not sign all of a request, so it may only read; sign the request by btauth/1"
        return RequestRefused("dialect_reads_only", sentence, status=401)


READ_DIALECTS = (
    Dialect(
        "leoma",
        "X-Validator-Hotkey",
        300.0,
        frozenset({"GET", "HEAD", "POST"}),
        True,
        lambda _path, body, timestamp_s, _sender: leoma_text(body=body, timestamp_s=timestamp_s),
    ),
    Dialect(
        "talkhead",
        "X-Hotkey",
        120.0,
        frozenset({"GET", "HEAD"}),
        False,
        lambda path, _body, timestamp_s, sender: talkhead_text(path=path, timestamp_s=timestamp_s, sender=sender),
    ),
)
