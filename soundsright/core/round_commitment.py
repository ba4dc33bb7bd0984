"""A validator's commitment to its round document: one text on the chain, which is never an entry.

A chain keeps one text for each hotkey. A validator with a private corpus is committed to its corpus as well, and
prizes depend on that. So its text has both, with digests in base64 in place of hex: it fits in the 128 bytes that
Bittensor stores.

    soundsright:round:ROUND:SHA256                         the document alone
    corpus:2:ROOT:PARAMETERS:ROUND:SHA256                  the corpus and the document, in base64
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from soundsright.core.corpus_commitment import CorpusCommitment, base64_of, both_in, corpus_commitment_in
from soundsright.core.federation_commitments import beside_view
from soundsright.core.system_commitments import is_entry_commitment, is_system_commitment

MAX_ROUND_CHARS = 44
MAX_ROUND_CHARS_WITH_CORPUS = 18
_FORM = re.compile(rf"soundsright:round:([A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_ROUND_CHARS - 1}}}):([0-9a-f]{{64}})")


@dataclass(frozen=True)
class RoundCommitment:
    """The round, the SHA-256 of its document in hex, and the corpus that the same text names, or None."""

    round_id: str
    sha256: str
    corpus: CorpusCommitment | None = None

    @property
    def text(self) -> str:
        """The text on the chain.

        >>> RoundCommitment("2030-01-05", "ab" * 32).text[:33]
        'soundsright:round:2030-01-05:abab'
        """
        if self.corpus is None:
            return f"soundsright:round:{self.round_id}:{self.sha256}"
        corpus = f"{base64_of(self.corpus.root)}:{base64_of(self.corpus.parameters)}"
        return f"corpus:2:{corpus}:{self.round_id}:{base64_of(self.sha256)}"


def round_commitment_in(text: str) -> RoundCommitment | None:
    """The commitment to a round document in a text on the chain; None if it has none.

    >>> round_commitment_in(RoundCommitment("r1", "ab" * 32).text).round_id
    'r1'
    >>> round_commitment_in("soundsright:rules") is None
    True
    """
    match = _FORM.fullmatch(beside_view(text))
    if match is not None:
        return RoundCommitment(match[1], match[2])
    both = both_in(text)
    return None if both is None else RoundCommitment(both.round_id, both.sha256, corpus_commitment_in(text))


def keeps(present: str, wanted: CorpusCommitment) -> str:
    """The text that commits to a corpus and keeps the round that the present text names."""
    committed = round_commitment_in(present)
    if committed is None or len(committed.round_id) > MAX_ROUND_CHARS_WITH_CORPUS:
        return wanted.text
    return RoundCommitment(committed.round_id, committed.sha256, wanted).text


def reason_to_leave(present: str, *, round_id: str = "", committed: CorpusCommitment | None = None) -> str:
    """The reason to keep the text that a hotkey has on the chain; empty if it may be replaced.

    `round_id` is the round that would be in its place. `committed` is the corpus that this program has seen in the
    hotkey's text: if there is another one now, another program with the hotkey wrote it. A view of a federation may
    be replaced at any time.

    >>> reason_to_leave("ab" * 32)
    'This hotkey has an entry on the chain. Use another hotkey for the entry'
    >>> reason_to_leave("")
    ''
    """
    present = beside_view(present)
    if present and is_entry_commitment(present):
        return "This hotkey has an entry on the chain. Use another hotkey for the entry"
    if is_system_commitment(present) and round_commitment_in(present) is None:
        return f"This hotkey has {present[:40]!r} on the chain, which belongs to another system"
    corpus = corpus_commitment_in(present)
    if corpus is not None and len(round_id) > MAX_ROUND_CHARS_WITH_CORPUS:
        return f"Beside the corpus, a round's name has at most {MAX_ROUND_CHARS_WITH_CORPUS} characters"
    if len(round_id) > MAX_ROUND_CHARS:
        return f"A round's name has at most {MAX_ROUND_CHARS} characters in a commitment"
    if corpus is not None and committed is not None and corpus != committed:
        return (
            f"Another program with this hotkey has committed to the corpus {corpus.root[:16]} in place of"
            f" {committed.root[:16]}. Give both the same corpus, or hotkeys of their own"
        )
    return ""
