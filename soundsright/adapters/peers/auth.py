"""Signed HTTP requests by the `btauth/1` protocol: they prove their sender, receiver, body and time.

A nonce is a time in nanoseconds since the epoch; all other times are in seconds. The signature covers these values,
joined by newlines: protocol, scheme, method, path with its query, the body's SHA-256, nonce, sender, receiver. It
travels in HTTP headers, so any HTTP client can send it. Bittensor's own `http_auth` accepts these requests.

Only sr25519 signatures are valid: hotkeys of a subnet have no other kind.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping

from soundsright.adapters.peers.dialects import READ_DIALECTS, Dialect
from soundsright.adapters.peers.freshness import Freshness
from soundsright.adapters.peers.keys import valid_signature
from soundsright.core.errors import RequestRefused
from soundsright.core.ports import Account
from soundsright.core.signed_http import DIALECTS

PROTOCOL = "btauth/1"
SCHEME = "sr25519"
MAX_AGE_S = 10.0
_MAX_HEADER_CHARS = 256
_PREFIX = "x-bittensor-"
_READ_HEADERS = {"x-timestamp", "x-signature", *(dialect.sender_header.lower() for dialect in READ_DIALECTS)}


def signed_payload(*, method: str, path: str, body: bytes, nonce_ns: int, sender: str, receiver: str) -> bytes:
    """The bytes that the sender signs.

    >>> signed_payload(method="get", path="/x?y=1", body=b"", nonce_ns=5, sender="a", receiver="b")[:25]
    b'btauth/1\\nsr25519\\nGET\\n/x?y'
    """
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join((PROTOCOL, SCHEME, method.upper(), path, digest, str(nonce_ns), sender, receiver)).encode()


def signed_headers(
    account: Account, *, method: str, path: str, body: bytes, receiver: str, nonce_ns: int | None = None
) -> dict[str, str]:
    """The headers of a signed request. Sign each retry again: a nonce is accepted only once."""
    nonce = time.time_ns() if nonce_ns is None else nonce_ns
    payload = signed_payload(
        method=method, path=path, body=body, nonce_ns=nonce, sender=account.address, receiver=receiver
    )
    return {
        "X-Bittensor-Version": "1",
        "X-Bittensor-Hotkey": account.address,
        "X-Bittensor-Receiver": receiver,
        "X-Bittensor-Nonce": str(nonce),
        "X-Bittensor-Signature": "0x" + account.sign(payload).hex(),
    }


class RequestGate:
    """Admits the signed requests to one receiver: each only once, and only while it is fresh.

    `dialects` names what it reads: `btauth` always, `leoma` and `talkhead` for reads. `max_age_s` lowers the age of
    each dialect, but never raises it.
    """

    def __init__(
        self,
        receiver: str,
        *,
        dialects: Collection[str] = DIALECTS[:1],
        max_age_s: float = math.inf,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._receiver = receiver
        self._freshness = Freshness(min(MAX_AGE_S, max_age_s), now_ns)
        # Each dialect has its own memory, so that a flood in one of them does not close the others.
        self._read_dialects = [
            (dialect, Freshness(min(dialect.max_age_s, max_age_s), now_ns))
            for dialect in READ_DIALECTS
            if dialect.name in dialects
        ]

    def admit(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """Check one request that may change something, and return its sender's address. Only btauth/1 may do that.

        Raises:
            RequestRefused: `unsigned`, `wrong_receiver`, `stale`, `bad_signature`, `replayed`, `busy` or
                `dialect_reads_only`.
        """
        lowered = _lowered(headers)
        found = self._read_dialect(lowered)
        if found is not None:
            raise found[0].reads_only()
        return self._admit_btauth(method, path, lowered, body)

    def admit_read(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """Check one request that only reads, in any of the dialects, and return its sender's address.

        Raises:
            RequestRefused: as `admit`, or `body_unsigned`.
        """
        lowered = _lowered(headers)
        found = self._read_dialect(lowered)
        if found is None:
            return self._admit_btauth(method, path, lowered, body)
        dialect, freshness = found
        return dialect.sender(method, path, lowered, body, freshness)

    def _read_dialect(self, headers: Mapping[str, str]) -> tuple[Dialect, Freshness] | None:
        """The dialect of a request and its memory, or None for btauth/1.

        Raises:
            RequestRefused: `unsigned`, if the request is signed in two dialects.
        """
        found = [each for each in self._read_dialects if each[0].sender_header.lower() in headers]
        if len(found) + any(name.startswith(_PREFIX) for name in headers) > 1 and found:
            raise RequestRefused("unsigned", "The request is signed in two dialects; sign it in one", status=401)
        return found[0] if found else None

    def _admit_btauth(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
        sender = _header(headers, "hotkey")
        signature = _header(headers, "signature")
        raw_nonce = _header(headers, "nonce")
        if _header(headers, "version") != "1" or headers.get("x-bittensor-crypto", SCHEME) != SCHEME:
            raise RequestRefused("unsigned", f"Sign the request by {PROTOCOL} with {SCHEME}", status=401)
        if _header(headers, "receiver") != self._receiver:
            raise RequestRefused("wrong_receiver", "The request was signed for another receiver", status=401)
        if not (raw_nonce.isascii() and raw_nonce.isdigit() and len(raw_nonce) <= 20):
            raise RequestRefused("unsigned", "X-Bittensor-Nonce is not a time in nanoseconds", status=401)
        nonce = int(raw_nonce)
        self._freshness.check_age(nonce)
        payload = signed_payload(
            method=method, path=path, body=body, nonce_ns=nonce, sender=sender, receiver=self._receiver
        )
        try:
            raw_signature = bytes.fromhex(signature.removeprefix("0x"))
        except ValueError:
            raise RequestRefused("unsigned", "X-Bittensor-Signature is not hex", status=401) from None
        if not valid_signature(sender, payload, raw_signature):
            raise RequestRefused("bad_signature", "The signature is not the sender's", status=401)
        self._freshness.use(sender, nonce)
        return sender


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers by lower-case name.

    Raises:
        RequestRefused: `unsigned`, if a header of a signature is there twice: a proxy could take the other one.
    """
    lowered: dict[str, str] = {}
    for key, value in headers.items():
        name = key.lower()
        if name in lowered and (name.startswith(_PREFIX) or name in _READ_HEADERS):
            raise RequestRefused("unsigned", f"The header {name} is there twice", status=401)
        lowered[name] = value
    return lowered


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(f"{_PREFIX}{name}", "")
    if not value or len(value) > _MAX_HEADER_CHARS:
        raise RequestRefused("unsigned", f"X-Bittensor-{name.capitalize()} is missing or too long", status=401)
    return value


class RateLimit:
    """Limits each address to `per_minute` requests a minute, with at most `burst` at once (a token bucket)."""

    MAX_ADDRESSES = 10_000

    def __init__(self, *, per_minute: float, burst: int, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_minute / 60
        self._burst = float(burst)
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Count one request of the address.

        Raises:
            RequestRefused: `busy`, if it has sent too many.
        """
        if not self._take(address, 1.0, only_if_there=True):
            raise RequestRefused("busy", "Too many requests; try again in a minute", status=429)

    def spend(self, address: str, tokens: float) -> None:
        """Take tokens for work that is done. The address waits until it has earned them."""
        self._take(address, tokens, only_if_there=False)

    def _take(self, address: str, cost: float, *, only_if_there: bool) -> bool:
        now_s = self._monotonic_s()
        with self._lock:
            tokens, counted_at_s = self._buckets.pop(address, (self._burst, now_s))
            tokens = min(self._burst, tokens + (now_s - counted_at_s) * self._per_s)
            taken = tokens >= cost or not only_if_there
            self._buckets[address] = (tokens - cost if taken else tokens, now_s)
            if len(self._buckets) > self.MAX_ADDRESSES:
                self._buckets.popitem(last=False)
        return taken
