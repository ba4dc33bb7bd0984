"""Seals texts until a given time, with drand's public beacon "quicknet".

The beacon publishes a signature every three seconds, one for each of its rounds. The signature of a round opens the
texts that are sealed to it. Nobody can open them earlier, not even their author.

Times are in seconds since the epoch; rounds are counted from 1. Sealing needs no network. Opening needs a signature
from a relay of the beacon, which is first checked on a text that is sealed here. A sealed text has the form
`sealed:ROUND:BASE64`. The encryption is Bittensor's own, so that its chain can store sealed texts.
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
"""The beacon's id. A relay can serve several beacons."""
GENESIS_S = 1_692_803_367
PERIOD_S = 3
PREFIX = "sealed:"
MAX_SEALED_CHARS = 2_000
_TIMEOUT_S = 10.0
_MAX_REPLY_BYTES = 10_000
_SIGNATURE_CHARS = 96
_PROBE = b"probe"


def round_at(time_s: float) -> int:
    """The first round whose signature is published at or after that time.

    >>> round_at(GENESIS_S), round_at(GENESIS_S + 0.1), round_at(1_692_806_364)
    (1, 2, 1000)
    """
    return max(1, math.ceil((time_s - GENESIS_S) / PERIOD_S) + 1)


def seal(text: str, round_number: int) -> str:
    """The text, sealed to that round of the beacon."""
    import bittensor_core as core

    envelope, _ = core.encrypt_at_round(text.encode(), round_number)
    inner = base64.b64encode(bytes(core.inner_ciphertext(envelope))).decode()
    return f"{PREFIX}{round_number}:{inner}"


def sealed_parts(sealed: str) -> tuple[int, bytes]:
    """The round that opens a sealed text, and its encrypted bytes.

    Raises:
        EntryRefused: `bad_seal`, if this is not a sealed text.

    >>> sealed_parts(sealed_text(7, b"abc"))
    (7, b'abc')
    """
    number, _, encoded = sealed.removeprefix(PREFIX).partition(":")
    try:
        if not sealed.startswith(PREFIX) or len(sealed) > MAX_SEALED_CHARS:
            raise ValueError
        if not (number.isascii() and number.isdigit()):
            raise ValueError
        round_number, encrypted = int(number), base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise EntryRefused("bad_seal", "The commitment is not a sealed text") from None
    if not 1 <= round_number < 2**40 or not encrypted:
        raise EntryRefused("bad_seal", "The commitment is not sealed to a round of the beacon")
    return round_number, encrypted


def sealed_text(round_number: int, encrypted: bytes) -> str:
    """The sealed text for encrypted bytes and the round that opens them."""
    return f"{PREFIX}{round_number}:{base64.b64encode(encrypted).decode()}"


def unseal(sealed: str, signature: str) -> str:
    """The original text, opened with the hex signature of its round.

    Raises:
        EntryRefused: `bad_seal`, if it is damaged or not ASCII text, or if the signature is of another round.
    """
    round_number, inner = sealed_parts(sealed)
    try:
        return _decrypted(_envelope(inner, round_number), signature).decode("ascii")
    except ValueError:
        raise EntryRefused("bad_seal", "The sealed text cannot be opened") from None


def _envelope(inner: bytes, round_number: int) -> bytes:
    # The length in SCALE's compact form for lengths below 2^14, then the bytes, then the round.
    size = len(inner)
    length = bytes([size << 2]) if size < 64 else (size << 2 | 1).to_bytes(2, "little")
    return length + inner + round_number.to_bytes(8, "little")


def _decrypted(envelope: bytes, signature: str) -> bytes:
    import bittensor_core as core

    return bytes(core.decrypt_with_signature(envelope, signature))


class DrandTimelock:
    """The `Timelock` port over relays of the beacon, which are tried in turn. A signature is fetched only once.

    Parameters:
        relays: the URLs of the relays.
        timeout_s: the limit of each request.

    Raises:
        EntryRefused: `bad_seal`, from `opens_s` and `opened`, if a text is not sealed or is damaged.
        PeerUnavailable: from `opened`, if no relay has the signature.
    """

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
                self._signatures[round_number] = self._fetched_signature(round_number)
            return self._signatures[round_number]

    def _fetched_signature(self, round_number: int) -> str:
        reasons = []
        for relay in self._relays:
            path = f"/{CHAIN}/public/{round_number}"
            try:
                reply = request(relay, "GET", path, timeout_s=self._timeout_s, max_bytes=_MAX_REPLY_BYTES)
                if reply.status == 200:
                    signature = reply_json(reply, relay + path)["signature"]
                    if _opens(signature, round_number):
                        return str(signature)
                reasons.append(f"{relay} answered with status {reply.status} and not with the signature")
            except (PeerUnavailable, KeyError, TypeError) as error:
                reasons.append(f"{relay}: {type(error).__name__}: {str(error)[:120]}")
        raise PeerUnavailable(
            f"No relay has the signature of drand's round {round_number}: {'; '.join(reasons)}",
            "Check DRAND_RELAYS.",
        )


def _opens(signature: object, round_number: int) -> bool:
    """Whether it is the round's signature. It is tried on a text sealed here, since an entry's may be damaged."""
    import bittensor_core as core

    if not isinstance(signature, str) or len(signature) != _SIGNATURE_CHARS:
        return False
    envelope, _ = core.encrypt_at_round(_PROBE, round_number)
    try:
        return _decrypted(bytes(envelope), signature) == _PROBE
    except ValueError:
        return False
