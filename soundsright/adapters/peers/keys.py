"""Hotkeys in the files of Bittensor's wallets. They sign for any chain.

An address is text in SS58; a signature is 64 bytes of sr25519.
"""

from __future__ import annotations

import os
from pathlib import Path

from soundsright.core.errors import UsageError

_MAX_KEYFILE_BYTES = 16_384


class Hotkey:
    """The `Account` port over a key pair. No message and no log shows its secret."""

    def __init__(self, keypair: object) -> None:
        self._keypair = keypair
        self._address = str(keypair.ss58_address)  # type: ignore[attr-defined]

    @classmethod
    def of_seed(cls, text: str) -> Hotkey:
        """A key that anybody can derive from the text: for tests and demonstrations only.

        >>> Hotkey.of_seed("alice").address == Hotkey.of_seed("alice").address != Hotkey.of_seed("bob").address
        True
        """
        import hashlib

        from bittensor_core import Keypair

        return cls(Keypair.create_from_seed(hashlib.sha256(text.encode()).digest()))

    @classmethod
    def read(cls, path: Path, *, variable: str = "HOTKEY") -> Hotkey:
        """The key in a wallet's file. `variable` names the setting in an error.

        Raises:
            UsageError: the file is missing, unreadable or encrypted, or has no sr25519 key.
        """
        import bittensor_core as core

        try:
            with path.open("rb") as stream:
                data = stream.read(_MAX_KEYFILE_BYTES)
        except OSError as error:
            raise UsageError(
                f"{variable}: {path} cannot be read ({error.strerror})",
                "Check WALLET, HOTKEY and WALLET_PATH, or make a key with `soundsright chain account`.",
            ) from None
        if core.keyfile_data_is_encrypted(data):
            raise UsageError(
                f"{variable}: {path} is encrypted",
                "Use a key without a password: a service cannot ask for one.",
            )
        try:
            keypair = core.deserialize_keypair_from_keyfile_data(data)
        except (core.KeyfileError, ValueError):
            # Not chained: the library's error could quote the secret.
            raise UsageError(f"{variable}: {path} has no key", "Restore the wallet from its phrase.") from None
        if keypair.crypto_type != core.CRYPTO_SR25519:
            raise UsageError(f"{variable}: the key in {path} is not of type sr25519", "Make a hotkey of that type.")
        return cls(keypair)

    def write(self, path: Path) -> None:
        """Write the key to a new file in the format of a wallet. Only the file's owner can read it.

        Raises:
            UsageError: the file exists, or its folder cannot be written.
        """
        import bittensor_core as core

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(bytes(core.serialized_keypair_to_keyfile_data(self._keypair)))
        except FileExistsError:
            address = _address_in(path)
            raise UsageError(
                f"{path} already has a key{f': {address}' if address else ''}",
                "Choose another name. Keys are never replaced.",
            ) from None
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written ({error.strerror})", "Check WALLET_PATH, and that you may write there."
            ) from error

    @property
    def address(self) -> str:
        return self._address

    @property
    def keypair(self) -> object:
        """The key pair that Bittensor's client needs for signing."""
        return self._keypair

    def sign(self, message: bytes) -> bytes:
        return bytes(self._keypair.sign(message))  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"Hotkey({self._address})"


def _address_in(path: Path) -> str:
    """The address of the key in a file, or an empty text if the file cannot be read."""
    try:
        return Hotkey.read(path).address
    except UsageError:
        return ""


def new_hotkey() -> Hotkey:
    """A new random key."""
    from bittensor_core import Keypair

    return Hotkey(Keypair.create_from_mnemonic(Keypair.generate_mnemonic()))


def valid_signature(address: str, message: bytes, signature: bytes) -> bool:
    """Whether the address's owner signed the message. False if the address is not valid."""
    import bittensor_core as core

    try:
        return bool(core.verify(message, signature, address, core.CRYPTO_SR25519))
    except ValueError:
        return False
