"""Signed HTTP requests by the `btauth/1` protocol: they prove their sender, receiver, body and time.

A nonce is a time in nanoseconds since the epoch; all other times are in seconds. The signature covers these values,
joined by newlines: protocol, scheme, method, path with its query, the body's SHA-256, nonce, sender, receiver. It
travels in HTTP headers, so any HTTP client can send it. Bittensor's own `http_auth` accepts these requests.

Only sr25519 signatures are valid: hotkeys of a subnet have no other kind.
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

    A request that was signed before the gate was made is stale. Otherwise a restarted service, which has forgotten
    its nonces, would admit it twice. A request older than a dropped nonce is stale too, so setting back the clock
    admits nothing twice.
    """

    def __init__(self, receiver: str, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._receiver = receiver
        self._now_ns = now_ns
        self._oldest_ns = now_ns()
        self._lock = threading.Lock()
        self._nonces: OrderedDict[tuple[str, int], None] = OrderedDict()

    def admit(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """Check one request and return its sender's address.

        Raises:
            RequestRefused: `unsigned`, `wrong_receiver`, `stale`, `bad_signature`, `replayed` or `busy`.
        """
        lowered = {key.lower(): value for key, value in headers.items()}
        sender = _header(lowered, "hotkey")
        signature = _header(lowered, "signature")
        raw_nonce = _header(lowered, "nonce")
        if _header(lowered, "version") != "1" or lowered.get("x-bittensor-crypto", SCHEME) != SCHEME:
            raise RequestRefused("unsigned", f"Sign the request by {PROTOCOL} with {SCHEME}", status=401)
        if _header(lowered, "receiver") != self._receiver:
            raise RequestRefused("wrong_receiver", "The request was signed for another receiver", status=401)
        if not (raw_nonce.isascii() and raw_nonce.isdigit() and len(raw_nonce) <= 20):
            raise RequestRefused("unsigned", "X-Bittensor-Nonce is not a time in nanoseconds", status=401)
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
        # Only after the signature, or strangers could use up the sender's nonces.
        self._use_nonce(sender, nonce)
        return sender

    def _check_fresh(self, nonce_ns: int) -> None:
        now_ns = self._now_ns()
        age_s = (now_ns - nonce_ns) / 1e9
        if age_s > MAX_AGE_S or age_s < -MAX_AHEAD_S:
            raise RequestRefused(
                "stale",
                f"The request's time is {abs(age_s):.0f} s {'behind' if age_s > 0 else 'ahead of'} this machine's "
                "clock; set both clocks by NTP",
                status=401,
            )

    def _use_nonce(self, sender: str, nonce_ns: int) -> None:
        oldest_ns = self._now_ns() - int((MAX_AGE_S + 1) * 1e9)
        with self._lock:
            while self._nonces and next(iter(self._nonces))[1] < oldest_ns:
                (_, dropped_ns), _ = self._nonces.popitem(last=False)
                self._oldest_ns = max(self._oldest_ns, dropped_ns + 1)
            if nonce_ns < self._oldest_ns:
                raise RequestRefused(
                    "stale",
                    "The request was signed before this service started, or before its clock was set back; sign it "
                    "again",
                    status=401,
                )
            if (sender, nonce_ns) in self._nonces:
                raise RequestRefused("replayed", "This request was already answered", status=401)
            if len(self._nonces) >= _MAX_NONCES:
                raise RequestRefused("busy", "Too many requests; try again in a moment", status=429)
            self._nonces[sender, nonce_ns] = None


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(f"x-bittensor-{name}", "")
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
