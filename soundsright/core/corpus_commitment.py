"""A validator's commitment to its private corpus: one line on the chain, which is never an entry."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"corpus:1:([0-9a-f]{64}):([0-9a-f]{16})")
_PREFIX = "corpus:"


@dataclass(frozen=True)
class CorpusCommitment:
    """The corpus of a validator: its Merkle root in hex, and the start of the digest of the set's other parameters.

    Validators that draw the same sets commit to the same line.
    """

    root: str
    parameters: str

    @property
    def text(self) -> str:
        """The line on the chain.

        >>> CorpusCommitment("ab" * 32, "0" * 16).text[:20]
        'corpus:1:abababababa'
        """
        return f"corpus:1:{self.root}:{self.parameters}"


def is_corpus_commitment(text: str) -> bool:
    """Whether a commitment names a corpus, in this form or a later one. Such a commitment is never an entry."""
    return text.startswith(_PREFIX)


def corpus_commitment_in(text: str) -> CorpusCommitment | None:
    """The corpus that a commitment names; None if it names none in a form that this program reads.

    >>> corpus_commitment_in(f"corpus:1:{'ab' * 32}:{'0' * 16}").root == "ab" * 32
    True
    >>> corpus_commitment_in("corpus:2:something") is None
    True
    """
    match = _FORM.fullmatch(text)
    return None if match is None else CorpusCommitment(match[1], match[2])
