"""Texts sealed until a moment by drand's beacon "quicknet": it publishes a signature every three seconds, and each
signature opens what was sealed to its round. Nobody can open it sooner, whoever sealed it included.

Times are in seconds since the epoch, rounds are counted from 1. Sealing is arithmetic on this machine; opening asks
a relay of the beacon for one signature, which is tried on a seal of our own before it is believed. A sealed text is
written `sealed:ROUND:BASE64`. The encryption is Bittensor's own, so that its chain can hold what is sealed here.
"""

from __future__ import annotations

import base64
import binascii
import math
import threading
from collections.abc import Sequence

from soundsright.adapters.peers import reply_json, request
from soundsright.core.errors import EntryRefused, PeerUnavailable

CHAIN = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
"""The beacon's name: relays serve several."""
GENESIS_S = 1_692_803_367
PERIOD_S = 3
PREFIX = "sealed:"
MAX_SEALED_CHARS = 2_000
_TIMEOUT_S = 10.0
_MAX_REPLY_BYTES = 10_000
_SIGNATURE_CHARS = 96
_PROBE = b"probe"


def round_at(time_s: float) -> int:
    """The first round that is published at or after that time.

    >>> round_at(GENESIS_S), round_at(GENESIS_S + 0.1), round_at(1_692_806_364)
    (1, 2, 1000)
    """
    return max(1, math.ceil((time_s - GENESIS_S) / PERIOD_S) + 1)


def seal(text: str, round_number: int) -> str:
    """The text, sealed to that round."""
    import bittensor_core as core

    envelope, _ = core.encrypt_at_round(text.encode(), round_number)
    inner = base64.b64encode(bytes(core.inner_ciphertext(envelope))).decode()
    return f"{PREFIX}{round_number}:{inner}"


def sealed_parts(sealed: str) -> tuple[int, bytes]:
    """The round that opens a sealed text, and the encrypted bytes.

    Raises:
        EntryRefused: `bad_seal`.

    >>> sealed_parts(sealed_text(7, b"abc"))
    (7, b'abc')
    """
    number, _, encoded = sealed.removeprefix(PREFIX).partition(":")
    try:
        if not sealed.startswith(PREFIX) or len(sealed) > MAX_SEALED_CHARS:
            raise ValueError
        if not (number.isascii() and number.isdigit()):
            raise ValueError
        found = int(number), base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise EntryRefused("bad_seal", "The commitment is no sealed text") from None
    if not 1 <= found[0] < 2**40 or not found[1]:
        raise EntryRefused("bad_seal", "The commitment is sealed to no round of the beacon")
    return found


def sealed_text(round_number: int, encrypted: bytes) -> str:
    """How a sealed text is written."""
    return f"{PREFIX}{round_number}:{base64.b64encode(encrypted).decode()}"


def unseal(sealed: str, signature: str) -> str:
    """What was sealed, by the hex signature of its round.

    Raises:
        EntryRefused: `bad_seal`: it was damaged, is no text, or the signature is another round's.
    """
    round_number, inner = sealed_parts(sealed)
    try:
        return _decrypted(_envelope(inner, round_number), signature).decode("ascii")
    except ValueError:
        raise EntryRefused("bad_seal", "What is sealed cannot be read") from None


def _envelope(inner: bytes, round_number: int) -> bytes:
    # The length as SCALE writes one below 2^14, then the bytes, then the round.
    size = len(inner)
    length = bytes([size << 2]) if size < 64 else (size << 2 | 1).to_bytes(2, "little")
    return length + inner + round_number.to_bytes(8, "little")


def _decrypted(envelope: bytes, signature: str) -> bytes:
    import bittensor_core as core

    return bytes(core.decrypt_with_signature(envelope, signature))


class DrandTimelock:
    """The `Timelock` port over relays of the beacon, asked in turn. Signatures are kept: they never change."""

    def __init__(self, relays: Sequence[str], *, timeout_s: float = _TIMEOUT_S) -> None:
        self._relays = tuple(relay.rstrip("/") for relay in relays)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._signatures: dict[int, str] = {}

    def sealed(self, text: str, *, until_s: float) -> str:
        return seal(text, round_at(until_s))

    def opens_s(self, sealed: str) -> float:
        return float(GENESIS_S + (sealed_parts(sealed)[0] - 1) * PERIOD_S)

    def opened(self, sealed: str) -> str:
        return unseal(sealed, self._signature(sealed_parts(sealed)[0]))

    def _signature(self, round_number: int) -> str:
        with self._lock:
            if round_number not in self._signatures:
                self._signatures[round_number] = self._asked(round_number)
            return self._signatures[round_number]

    def _asked(self, round_number: int) -> str:
        reasons = []
        for relay in self._relays:
            path = f"/{CHAIN}/public/{round_number}"
            try:
                reply = request(relay, "GET", path, timeout_s=self._timeout_s, max_bytes=_MAX_REPLY_BYTES)
                if reply.status == 200:
                    signature = reply_json(reply, relay + path)["signature"]
                    if _opens(signature, round_number):
                        return str(signature)
                reasons.append(f"{relay} answered {reply.status} without the round's signature")
            except (PeerUnavailable, KeyError, TypeError) as error:
                reasons.append(f"{relay}: {type(error).__name__}: {str(error)[:120]}")
        raise PeerUnavailable(
            f"Round {round_number} of drand cannot be had: {'; '.join(reasons)}", "Check DRAND_RELAYS."
        )


def _opens(signature: object, round_number: int) -> bool:
    """Whether that is the round's signature, by a seal of our own: a stranger's may be damaged."""
    import bittensor_core as core

    if not isinstance(signature, str) or len(signature) != _SIGNATURE_CHARS:
        return False
    envelope, _ = core.encrypt_at_round(_PROBE, round_number)
    try:
        return _decrypted(bytes(envelope), signature) == _PROBE
    except ValueError:
        return False
