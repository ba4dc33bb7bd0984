"""Hotkeys: read from and written to the files that Bittensor's wallets have, used on any chain.

An address is SS58, a signature is 64 bytes of sr25519.
"""

from __future__ import annotations

import os
from pathlib import Path

from soundsright.core.errors import UsageError

_MAX_KEYFILE_BYTES = 16_384


class Hotkey:
    """The `Account` port over a key pair. Its secret is shown nowhere."""

    def __init__(self, keypair: object) -> None:
        self._keypair = keypair
        self._address = str(keypair.ss58_address)  # type: ignore[attr-defined]

    @classmethod
    def of_seed(cls, text: str) -> Hotkey:
        """A key that follows from the text: for tests and demonstrations only.

        >>> Hotkey.of_seed("alice").address == Hotkey.of_seed("alice").address != Hotkey.of_seed("bob").address
        True
        """
        import hashlib

        from bittensor_core import Keypair

        return cls(Keypair.create_from_seed(hashlib.sha256(text.encode()).digest()))

    @classmethod
    def read(cls, path: Path, *, variable: str = "HOTKEY") -> Hotkey:
        """The key in a wallet's file.

        Raises:
            UsageError: it is missing, encrypted, not readable, or no sr25519 key.
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
                f"{variable}: {path} is encrypted", "A service cannot ask for its password: use a plain hotkey."
            )
        try:
            keypair = core.deserialize_keypair_from_keyfile_data(data)
        except (core.KeyfileError, ValueError):
            # The error could quote the file: it stays here.
            raise UsageError(f"{variable}: {path} holds no key", "Restore the wallet from its phrase.") from None
        if keypair.crypto_type != core.CRYPTO_SR25519:
            raise UsageError(f"{variable}: {path} is not an sr25519 key", "Make a hotkey of that kind.")
        return cls(keypair)

    def write(self, path: Path) -> None:
        """Write the key where a wallet keeps it, readable by the owner only.

        Raises:
            UsageError: there is a file already, or the folder cannot be written.
        """
        import bittensor_core as core

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(bytes(core.serialized_keypair_to_keyfile_data(self._keypair)))
        except FileExistsError:
            held = _address_in(path)
            raise UsageError(
                f"{path} holds a key already{f': {held}' if held else ''}",
                "Choose another name; keys are not replaced.",
            ) from None
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror})", "Check WALLET_PATH.") from error

    @property
    def address(self) -> str:
        return self._address

    @property
    def keypair(self) -> object:
        """What Bittensor's client signs with."""
        return self._keypair

    def sign(self, message: bytes) -> bytes:
        return bytes(self._keypair.sign(message))  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"Hotkey({self._address})"


def _address_in(path: Path) -> str:
    """The address of the key in a file; empty where it cannot be read."""
    try:
        return Hotkey.read(path).address
    except UsageError:
        return ""


def new_hotkey() -> Hotkey:
    """A key that nobody else has."""
    from bittensor_core import Keypair

    return Hotkey(Keypair.create_from_mnemonic(Keypair.generate_mnemonic()))


def valid_signature(address: str, message: bytes, signature: bytes) -> bool:
    """Whether the address's owner signed the message. An address that is none signed nothing."""
    import bittensor_core as core

    try:
        return bool(core.verify(message, signature, address, core.CRYPTO_SR25519))
    except ValueError:
        return False
