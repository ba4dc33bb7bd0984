"""Profiles of the systems' rules: whose decisions they follow."""

from __future__ import annotations

from enum import StrEnum


class Profile(StrEnum):
    """The source whose decisions the rules of a system follow.

    `soundsright`: the document's constants with repaired decisions. `doc`: the document to the letter. `code`: the
    original program.
    """

    SOUNDSRIGHT = "soundsright"
    DOC = "doc"
    CODE = "code"
