"""Commitments that are no entries: those of the systems beside the rounds, and those to a private corpus.

A system writes one line that begins with its name, such as `soundsright:…`. Rounds ignore such a line: they neither
admit nor refuse it.
"""

from __future__ import annotations

import re

from soundsright.core.corpus_commitment import is_corpus_commitment

_PREFIXES = ("soundsright:", "leoma:")
_OLD_ENTRY = re.compile(r"[^:]+:[^:]+:[0-9a-f]{40}:[^:]+:[^:]+")


def is_system_commitment(text: str) -> bool:
    """Whether a commitment is that of a system beside the rounds.

    A plain entry of format 1 begins with its namespace on the hub. It is an entry even if that is a system's name.

    >>> is_system_commitment("leoma:digest"), is_system_commitment(f"leoma:gate:{'0' * 40}:5Hk:DENOISING_16000HZ")
    (True, False)
    """
    return text.startswith(_PREFIXES) and _OLD_ENTRY.fullmatch(text) is None


def is_entry_commitment(text: str) -> bool:
    """Whether a commitment can be an entry of a round.

    >>> is_entry_commitment("ab" * 32), is_entry_commitment("soundsright:rules"), is_entry_commitment("corpus:1:ab")
    (True, False, False)
    """
    return not (is_corpus_commitment(text) or is_system_commitment(text))
