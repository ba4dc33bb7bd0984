"""Key cards: an X25519 key that a hotkey signs, so that a corpus can be sealed to the hotkey's owner.

Hotkeys of type sr25519 can sign, but have no standard way to decrypt. So the recipient makes an X25519 key, whose
secret half stays in a file, and signs its public half. The card is JSON with `hotkey`, `x25519` and `signature`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.ss58 import is_address
from soundsright.corpus.keys import read_secret_file, write_secret_file
from soundsright.corpus.layout import read_bounded
from soundsright.corpus.records import is_hex

_PREFIX = "soundsright-card-key-1:"
_MAX_CARD_BYTES = 10_000
_NO_SECRET = "Make one with `soundsright corpus key-card`, and ask for a new archive."

ValidSignature = Callable[[str, bytes, bytes], bool]
"""Whether the address's owner signed the message: address, message, signature."""


@dataclass(frozen=True)
class KeyCard:
    """A hotkey, its X25519 public key, and the hotkey's signature over it; keys and signature in hex."""

    hotkey: str
    x25519: str
    signature: str

    @property
    def as_json(self) -> str:
        return json.dumps(asdict(self))


def card_payload(hotkey: str, x25519: str) -> bytes:
    """The bytes that the hotkey signs."""
    return f"soundsright corpus key card 1\n{hotkey}\n{x25519}".encode()


def new_card(hotkey: str, sign: Callable[[bytes], bytes], secret_file: Path) -> KeyCard:
    """The card for the key in `secret_file`, which is made if there is none.

    Raises:
        UsageError: the file cannot be used or written.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    if not secret_file.exists():
        raw = X25519PrivateKey.generate().private_bytes_raw()
        write_secret_file(secret_file, f"{_PREFIX}{raw.hex()}\n".encode())
    public = X25519PrivateKey.from_private_bytes(read_card_secret(secret_file)).public_key()
    x25519 = public.public_bytes_raw().hex()
    return KeyCard(hotkey, x25519, sign(card_payload(hotkey, x25519)).hex())


def read_card_secret(path: Path) -> bytes:
    """The secret half of a card's key, 32 bytes.

    Raises:
        UsageError: the file is missing, readable by others, or has no such key.
    """
    text = (
        read_secret_file(path, "the secret of the key card", _NO_SECRET).decode("ascii", errors="replace").strip()
    )
    digits = text.removeprefix(_PREFIX)
    if not text.startswith(_PREFIX) or not is_hex(digits, 64):
        raise UsageError(f"{path} has no key of a card", _NO_SECRET)
    return bytes.fromhex(digits)


def read_card(path: Path, hotkey: str, valid_signature: ValidSignature) -> KeyCard:
    """The card in a file, if that hotkey signed it.

    Raises:
        UsageError: it is not a card, is another hotkey's, or has a wrong signature.
    """
    try:
        values: Any = json.loads(read_bounded(path, _MAX_CARD_BYTES))
        if not isinstance(values, dict):
            raise ValueError("not an object")
        card = KeyCard(values["hotkey"], values["x25519"], values["signature"])
        if not (isinstance(card.hotkey, str) and is_hex(card.x25519, 64) and is_hex(card.signature, 128)):
            raise ValueError("a value has another form")
    except (ValueError, KeyError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a key card ({error})", "Ask its owner for the output of `soundsright corpus key-card`."
        ) from error
    if not is_address(hotkey):
        raise UsageError(f"{hotkey[:60]!r} is not the address of a hotkey", "Give an SS58 address with --for.")
    if card.hotkey != hotkey:
        raise UsageError(
            f"{path} is the card of {card.hotkey[:60]!r}, not of {hotkey}", "Give the card of the hotkey in --for."
        )
    if not valid_signature(hotkey, card_payload(hotkey, card.x25519), bytes.fromhex(card.signature)):
        raise UsageError(
            f"The card in {path} was not signed by {hotkey}",
            "Do not use it. Ask the owner of the hotkey for a card over a channel that you trust.",
        )
    return card
