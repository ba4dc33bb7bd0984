"""Sentences about the recordings of a round: whether prizes are paid on them, and what is kept private."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from soundsright.core.unpaid import NOT_COMMITTED, PUBLIC_CORPUS

WITHHELD = "withheld, because a model could print the private recordings of this round"
"""Stands for text that a model wrote, in documents of a round on private recordings."""
_SHOWN_DIGITS = 16


class PaymentFacts(Protocol):
    """The facts that decide whether prizes are paid: see `CorpusDoc`."""

    @property
    def digest(self) -> str: ...
    @property
    def public(self) -> Sequence[str]: ...
    @property
    def unpaid(self) -> Sequence[str]: ...
    @property
    def reason(self) -> str: ...


class CorpusFacts(PaymentFacts, Protocol):
    """The facts about the recordings of a round: see `CorpusDoc`."""

    @property
    def private_clips(self) -> int: ...


def corpus_remarks(corpus: CorpusFacts) -> Iterator[str]:
    """What a reader must know about payment and privacy, one sentence each."""
    if sentence := payment_sentence(corpus):
        yield sentence
    if corpus.private_clips:
        clips = "1 clip" if corpus.private_clips == 1 else f"{corpus.private_clips} clips"
        yield f"The audio and the recipes of {clips} stay private until their recordings retire."


def payment_sentence(corpus: PaymentFacts) -> str:
    """Why nobody is paid, or why payment is not protected; empty if nothing is wrong."""
    shown = corpus.digest[:_SHOWN_DIGITS]
    unpaid, public = ", ".join(corpus.unpaid), ", ".join(corpus.public)
    if corpus.reason == PUBLIC_CORPUS:
        return (
            f"Nobody is paid in {unpaid}, because the recordings are public (corpus {shown}): an entry could"
            " contain the clean speech. Use a private corpus of recordings that nobody else has, or pay anyway with"
            " --pay-on-public-corpus."
        )
    if corpus.reason:
        missing = "the root" if corpus.reason == NOT_COMMITTED else "these parameters of the sets"
        return (
            f"Nobody is paid in {unpaid}, because this validator had not committed {missing} of its corpus {shown}"
            " on the chain when entries closed. Start it before the next close of entries: it then commits to it."
        )
    if public:
        return (
            f"Prizes are paid in {public} although the recordings are public (corpus {shown}), because"
            " --pay-on-public-corpus was given: an entry could contain the clean speech."
        )
    return ""
