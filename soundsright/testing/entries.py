"""Reveals of made-up entries. The salt follows from the entry, so that the same seed gives the same commitment."""

from __future__ import annotations

import hashlib

from soundsright.core.sources import ModelRef
from soundsright.core.submission import Reveal


def salted_reveal(model: ModelRef, hotkey: str, competition_id: str, content_hash: str) -> Reveal:
    """The reveal of an entry with that content. `salted_reveal(...).digest(hotkey)` is its commitment."""
    salt = hashlib.sha256(f"{hotkey}:{competition_id}:{content_hash}".encode()).hexdigest()[:32]
    return Reveal(model, competition_id, salt, content_hash)
