"""A validator's commitment to its private corpus: one line on the chain, which is never an entry."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from soundsright.core.federation_commitments import beside_view

_FORM = re.compile(r"corpus:1:([0-9a-f]{64}):([0-9a-f]{16})")
_BOTH = re.compile(
    r"corpus:2:([A-Za-z0-9_-]{43}):([A-Za-z0-9_-]{11}):([A-Za-z0-9][A-Za-z0-9_.-]{0,17}):([A-Za-z0-9_-]{43})"
)
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


@dataclass(frozen=True)
class CorpusAndRound:
    """A line of form 2: a corpus, and the round document that the same hotkey signed last. Digests are in hex."""

    corpus: CorpusCommitment
    round_id: str
    sha256: str


def is_corpus_commitment(text: str) -> bool:
    """Whether a commitment names a corpus, in this form or a later one. Such a commitment is never an entry."""
    return text.startswith(_PREFIX)


def corpus_commitment_in(text: str) -> CorpusCommitment | None:
    """The corpus that a commitment names; None if it names none in a form that this program reads.

    >>> corpus_commitment_in(f"corpus:1:{'ab' * 32}:{'0' * 16}").root == "ab" * 32
    True
    >>> corpus_commitment_in("corpus:3:something") is None
    True
    """
    match = _FORM.fullmatch(beside_view(text))
    if match is not None:
        return CorpusCommitment(match[1], match[2])
    both = both_in(text)
    return None if both is None else both.corpus


def both_in(text: str) -> CorpusAndRound | None:
    """The corpus and the round document in a line of form 2; None if it is no such line."""
    match = _BOTH.fullmatch(beside_view(text))
    if match is None:
        return None
    root, parameters, sha256 = (_hex_of(match[group]) for group in (1, 2, 4))
    if root is None or parameters is None or sha256 is None:
        return None
    return CorpusAndRound(CorpusCommitment(root, parameters), match[3], sha256)


def base64_of(hexadecimal: str) -> str:
    """Hex digits in the base64 of web addresses, without padding.

    >>> base64_of("00ff")
    'AP8'
    """
    return base64.urlsafe_b64encode(bytes.fromhex(hexadecimal)).rstrip(b"=").decode()


def _hex_of(text: str) -> str | None:
    """The hex digits; None if the text has bits that stand for nothing, since one digest has one text."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return raw.hex() if base64_of(raw.hex()) == text else None
