"""Signed HTTP requests: who sent them, to whom, with which body, and when. The `btauth/1` protocol.

Times are in nanoseconds since the epoch where they are nonces, else in seconds. A signature covers, joined by
newlines: protocol, scheme, method, path with its query, the body's SHA-256, nonce, sender, receiver. Six headers
carry it, so any HTTP client will do, and Bittensor's own `http_auth` reads what is written here.

Only sr25519 is taken: hotkeys of a subnet have no other kind.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from soundsright.adapters.peers.keys import valid_signature
from soundsright.core.errors import RequestRefused
from soundsright.core.ports import Account

PROTOCOL = "btauth/1"
SCHEME = "sr25519"
MAX_AGE_S = 10.0
MAX_AHEAD_S = 2.0
_MAX_HEADER_CHARS = 256
_MAX_NONCES = 100_000


def signed_payload(*, method: str, path: str, body: bytes, nonce_ns: int, sender: str, receiver: str) -> bytes:
    """The bytes that are signed.

    >>> signed_payload(method="get", path="/x?y=1", body=b"", nonce_ns=5, sender="a", receiver="b")[:25]
    b'btauth/1\\nsr25519\\nGET\\n/x?y'
    """
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join((PROTOCOL, SCHEME, method.upper(), path, digest, str(nonce_ns), sender, receiver)).encode()


def signed_headers(
    account: Account, *, method: str, path: str, body: bytes, receiver: str, nonce_ns: int | None = None
) -> dict[str, str]:
    """The headers of a signed request. A retry needs new ones."""
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


class Gate:
    """Admits signed requests to one receiver: each once, and only while it is fresh.

    What was signed before the gate was made is stale, so that a restart forgets no nonce that still counts. So is
    what was signed before a nonce that is forgotten: nor does a clock that is set back.
    """

    def __init__(self, receiver: str, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._receiver = receiver
        self._now_ns = now_ns
        self._oldest_ns = now_ns()
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()

    def admit(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """The sender's address.

        Raises:
            RequestRefused: `unsigned`, `wrong_receiver`, `stale`, `bad_signature` or `replayed`.
        """
        lowered = {key.lower(): value for key, value in headers.items()}
        sender = _header(lowered, "hotkey")
        signature = _header(lowered, "signature")
        raw_nonce = _header(lowered, "nonce")
        if _header(lowered, "version") != "1" or lowered.get("x-bittensor-crypto", SCHEME) != SCHEME:
            raise RequestRefused("unsigned", f"Only {PROTOCOL} with {SCHEME} is understood", status=401)
        if _header(lowered, "receiver") != self._receiver:
            raise RequestRefused("wrong_receiver", "The request was signed for another receiver", status=401)
        if not (raw_nonce.isascii() and raw_nonce.isdigit() and len(raw_nonce) <= 20):
            raise RequestRefused("unsigned", "X-Bittensor-Nonce is no time in nanoseconds", status=401)
        nonce = int(raw_nonce)
        self._check_fresh(nonce)
        payload = signed_payload(
            method=method, path=path, body=body, nonce_ns=nonce, sender=sender, receiver=self._receiver
        )
        try:
            raw_signature = bytes.fromhex(signature.removeprefix("0x"))
        except ValueError:
            raise RequestRefused("unsigned", "X-Bittensor-Signature is not hex", status=401) from None
        if not valid_signature(sender, payload, raw_signature):
            raise RequestRefused("bad_signature", "The signature is not the sender's", status=401)
        # After the signature: nobody can use up another's nonces.
        self._check_new(sender, nonce)
        return sender

    def _check_fresh(self, nonce_ns: int) -> None:
        now_ns = self._now_ns()
        age_s = (now_ns - nonce_ns) / 1e9
        if age_s > MAX_AGE_S or age_s < -MAX_AHEAD_S:
            raise RequestRefused(
                "stale",
                f"The request's time is {abs(age_s):.0f} s {'behind' if age_s > 0 else 'ahead of'} this machine's "
                "clock; set both by NTP",
                status=401,
            )

    def _check_new(self, sender: str, nonce_ns: int) -> None:
        oldest_ns = self._now_ns() - int((MAX_AGE_S + 1) * 1e9)
        with self._lock:
            while self._seen and next(iter(self._seen))[1] < oldest_ns:
                (_, forgotten_ns), _ = self._seen.popitem(last=False)
                self._oldest_ns = max(self._oldest_ns, forgotten_ns + 1)
            if nonce_ns < self._oldest_ns:
                raise RequestRefused(
                    "stale",
                    "The request was signed before this service started, or before its clock was set back; sign it "
                    "anew",
                    status=401,
                )
            if (sender, nonce_ns) in self._seen:
                raise RequestRefused("replayed", "This request was already answered", status=401)
            if len(self._seen) >= _MAX_NONCES:
                raise RequestRefused("busy", "Too many requests; try again in a moment", status=429)
            self._seen[sender, nonce_ns] = None


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(f"x-bittensor-{name}", "")
    if not value or len(value) > _MAX_HEADER_CHARS:
        raise RequestRefused("unsigned", f"X-Bittensor-{name.capitalize()} is missing or too long", status=401)
    return value


class RateLimit:
    """At most `per_minute` requests of one address in a minute, `burst` at once; a bucket that fills evenly."""

    MAX_ADDRESSES = 10_000

    def __init__(self, *, per_minute: float, burst: int, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_minute / 60
        self._burst = float(burst)
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Count one request.

        Raises:
            RequestRefused: `busy`.
        """
        now_s = self._monotonic_s()
        with self._lock:
            tokens, then_s = self._buckets.pop(address, (self._burst, now_s))
            tokens = min(self._burst, tokens + (now_s - then_s) * self._per_s)
            allowed = tokens >= 1
            self._buckets[address] = (tokens - 1 if allowed else tokens, now_s)
            if len(self._buckets) > self.MAX_ADDRESSES:
                self._buckets.popitem(last=False)
        if not allowed:
            raise RequestRefused("busy", "Too many requests; try again in a minute", status=429)
