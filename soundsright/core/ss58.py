"""SS58 addresses of accounts: in base 58, one byte for the network, the 32 bytes of the key, and a 2-byte checksum.

Substrate's documentation defines the form. The network is 42, which Bittensor uses.
"""

from __future__ import annotations

import hashlib

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_NETWORK = 42
_BYTES = 1 + 32 + 2
_LETTERS = 48


def is_address(text: str) -> bool:
    """Whether the text is the address of a hotkey. The checksum finds a mistyped letter.

    >>> is_address("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"), is_address("alice")
    (True, False)
    """
    if len(text) != _LETTERS or not set(text) <= set(ALPHABET):
        return False
    number = 0
    for letter in text:
        number = 58 * number + ALPHABET.index(letter)
    if number >> 8 * (_BYTES - 1) != _NETWORK:
        return False
    address = number.to_bytes(_BYTES, "big")
    return hashlib.blake2b(b"SS58PRE" + address[:-2]).digest()[:2] == address[-2:]
