"""The recordings of an executor's round, as its signed results state them, and what validators do about them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHOWN = 16


@dataclass(frozen=True)
class RoundMaterial:
    """The recordings of a round, by the executor's word: the `digest` of the corpus, and whether it is public.

    With `is_new_speech`, a program spoke new sentences for the round. `committed_block` is the block before the
    seed in which the executor committed to a private corpus; None if it did not.
    """

    digest: str
    is_public: bool
    is_new_speech: bool
    committed_block: int | None = None

    @property
    def kind(self) -> str:
        """The material in a few words."""
        if self.is_new_speech:
            return "public, though a program spoke new sentences" if self.is_public else "new speech by a program"
        if self.is_public:
            return "public recordings"
        if self.committed_block is None:
            return "private recordings, not committed to before the seed"
        return f"private recordings, committed to in block {self.committed_block}"

    @property
    def pay(self) -> str:
        """The answer of validators with the default settings to such material."""
        if self.is_public or not (self.is_new_speech or self.committed_block is not None):
            return "validators pay nobody on it by default"
        own = "program for speech" if self.is_new_speech else "corpus"
        return f"validators with the same {own} pay on it by default"


NOT_STATED = "not stated in these results; validators pay nobody on it by default"


def round_material(facts: object) -> RoundMaterial | None:
    """The material in the JSON values of signed results; None if they do not state it in its form.

    >>> round_material({"digest": "0" * 64, "is_public": True, "speech": {}}).pay
    'validators pay nobody on it by default'
    """
    if not isinstance(facts, Mapping):
        return None
    digest, is_public, block = facts.get("digest"), facts.get("is_public"), facts.get("committed_block")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or type(is_public) is not bool:
        return None
    committed = block if type(block) is int and block >= 0 else None
    return RoundMaterial(digest, is_public, bool(facts.get("speech")), committed)


def material_sentence(material: RoundMaterial | None) -> str:
    """The corpus, whether it is public or new, and whether validators pay on it.

    >>> material_sentence(RoundMaterial("ab" * 32, is_public=True, is_new_speech=False))
    'corpus abababababababab, public recordings; validators pay nobody on it by default'
    """
    if material is None:
        return NOT_STATED
    return f"corpus {material.digest[:_SHOWN]}, {material.kind}; {material.pay}"
