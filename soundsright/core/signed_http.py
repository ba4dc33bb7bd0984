"""Signed HTTP: the dialects of requests, and what a service signs when it signs its answer."""

from __future__ import annotations

import hashlib

DIALECTS = ("btauth", "leoma", "talkhead")
"""The first one is always on, and the only one that may write."""

ANSWER_HEADER = "X-Answer-Signature"
_SCHEMA = "soundsright.answer/1"
_STREAM_SCHEMA = "soundsright.stream/1"


def answer_text(nonce: int, sender: str, status: int, body: bytes) -> bytes:
    """The bytes that the service's hotkey signs.

    Two clients can choose the same nonce, so the sender is signed too: otherwise one of them could get an answer
    signed that the other one takes for its own.

    >>> answer_text(5, "5F", 200, b"")[:29]
    b'soundsright.answer/1\\n5\\n5F\\n200'
    """
    return answer_text_of_digest(nonce, sender, status, hashlib.sha256(body).hexdigest())


def answer_text_of_digest(nonce: int, sender: str, status: int, body_sha256: str) -> bytes:
    """The same bytes, from the SHA-256 of the body in lower-case hex."""
    return "\n".join((_SCHEMA, str(nonce), sender, str(status), body_sha256)).encode()


def stream_text(nonce: int, sender: str, frames: int, sha256_in: str, sha256_out: str) -> bytes:
    """The bytes that the service's hotkey signs at the end of a stream of `frames` frames.

    The digests are the SHA-256 of all bytes of audio that came in, and of all that went out, in lower-case hex.
    """
    return "\n".join((_STREAM_SCHEMA, str(nonce), sender, str(frames), sha256_in, sha256_out)).encode()
