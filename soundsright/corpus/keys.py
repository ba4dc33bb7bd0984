"""The key of a private corpus: AES-256-GCM with a random nonce for each file.

A sealed file is 12 bytes of nonce, the encrypted content, and a tag of 16 bytes. The tag covers the content and the
text to which it is bound, so a file that was changed or put in another's place is noticed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from soundsright.core.errors import UsageError

_PREFIX = "soundsright-corpus-key-1:"
_NONCE_BYTES = 12
_MAX_KEYFILE_BYTES = 1_024


class Changed(Exception):
    """Sealed content was changed, is bound to another text, or was sealed with another key."""


@dataclass(frozen=True)
class CorpusKey:
    """32 secret bytes. No message shows them; `fingerprint` may be shown."""

    secret: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that identify the key and reveal nothing about it."""
        return hashlib.sha256(b"soundsright corpus key\n" + self.secret).hexdigest()[:16]

    def seal(self, content: bytes, bound: bytes) -> bytes:
        """The content, encrypted and bound to a text."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self.secret).encrypt(nonce, content, bound)

    def unseal(self, sealed: bytes, bound: bytes) -> bytes:
        """The content that was sealed.

        Raises:
            Changed: it was changed, is bound to another text, or the key is another one.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self.secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError) as error:
            raise Changed from error

    def derived(self, purpose: str) -> int:
        """A secret number of 63 bits for a purpose, always the same one."""
        digest = hashlib.sha256(b"soundsright corpus seed\n" + self.secret + purpose.encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    @classmethod
    def new(cls) -> CorpusKey:
        return cls(secrets.token_bytes(32))

    @classmethod
    def read(cls, path: Path) -> CorpusKey:
        """The key in a file that only its owner can read.

        Raises:
            UsageError: the file is missing, readable by others, or has no key.
        """
        content = read_secret_file(
            path,
            "the corpus key",
            "Restore it from your backup, or ask a validator with the same corpus to export it to you. "
            "Without its key a private corpus cannot be read.",
        )
        text = content.decode("ascii", errors="replace").strip()
        try:
            if not text.startswith(_PREFIX):
                raise ValueError
            secret = bytes.fromhex(text.removeprefix(_PREFIX))
            if len(secret) != 32:
                raise ValueError
        except ValueError:
            raise UsageError(
                f"{path} has no corpus key", "Give the file that `soundsright corpus build` wrote."
            ) from None
        return cls(secret)

    def write(self, path: Path) -> None:
        """Write the key to a new file that only its owner can read.

        Raises:
            UsageError: the file exists, or its folder cannot be written.
        """
        write_secret_file(path, f"{_PREFIX}{self.secret.hex()}\n".encode())


def read_secret_file(path: Path, what: str, if_missing: str) -> bytes:
    """The content of a small file that only its owner can read.

    Raises:
        UsageError: it is missing, readable by others, or too large.
    """
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            content = stream.read(_MAX_KEYFILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {what} cannot be read ({error.strerror})", if_missing) from error
    if mode & 0o077:
        raise UsageError(
            f"{path}: {what} can be read or changed by others (mode {mode:04o})",
            f"Run `chmod 600 {path}`. If another person may have read it, build a new corpus.",
        )
    if len(content) > _MAX_KEYFILE_BYTES:
        raise UsageError(f"{path} is too large for {what}", "Give the file with the key.")
    return content


def write_secret_file(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read.

    Raises:
        UsageError: the file exists, or its folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A key that is only half written would look like a lost one. A link never replaces a file.
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(part, path)
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError:
        raise UsageError(f"{path} exists", "Give another name. Keys are never replaced.") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror})", "Give a folder where you may write."
        ) from error
