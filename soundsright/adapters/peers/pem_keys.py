"""Private keys in PEM files, such as those of OpenSSL or sigstore's tools, for attestations."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError

_MAX_BYTES = 16_384
_REMEDY = "Give an Ed25519 or ECDSA P-256 key: openssl genpkey -algorithm ed25519 -out key.pem"


class PemKey:
    """A private key that signs. Its id is the hex SHA-256 of its public key in DER. No message shows its secret."""

    def __init__(self, key: Any) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key = key
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.key_id = hashlib.sha256(public).hexdigest()

    @classmethod
    def read(cls, path: Path) -> PemKey:
        """The key in a file.

        Raises:
            UsageError: the file cannot be read, has a password, or has no key of these two kinds.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES)
            key = load_pem_private_key(data, None)
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror})", _REMEDY) from error
        except TypeError:
            raise UsageError(f"{path} has a password", "Give a key without one.") from None
        except (ValueError, UnsupportedAlgorithm):
            # Not chained: the library's error could quote the file.
            raise UsageError(f"{path} has no private key in PEM", _REMEDY) from None
        is_p256 = isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
        if not (is_p256 or isinstance(key, Ed25519PrivateKey)):
            raise UsageError(f"{path} has a key of another kind", _REMEDY)
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        """The signature: 64 bytes for Ed25519, DER with SHA-256 for ECDSA."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256

        if isinstance(self._key, EllipticCurvePrivateKey):
            return self._key.sign(message, ECDSA(SHA256()))
        return bytes(self._key.sign(message))

    def __repr__(self) -> str:
        return f"PemKey({self.key_id[:16]})"
