"""Addresses of accounts, SS58: in base 58 a byte for the network, the key's 32 bytes and two of a checksum.

The form is that of Substrate's documentation. The network is 42: Bittensor's, and any that has no byte of its own.
"""

from __future__ import annotations

import hashlib

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_NETWORK = 42
_BYTES = 1 + 32 + 2
_LETTERS = 48


def is_address(text: str) -> bool:
    """Whether the text can be a hotkey's address. A slip of a letter does not pass the checksum.

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
