"""One record for each kind of step that a validator adds to those of a round. `steps.py` has their names.

Blocks are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from soundsright.core.sources import ModelRef
from soundsright.core.submission import Reveal
from soundsright.services.rounds.step_parts import Facts, StepRecord


@dataclass(frozen=True)
class RevealStep(StepRecord):
    """The model and the competition that a commitment stands for.

    `signature` is the miner's, by which other validators can check the reveal. It is empty if a text on the chain
    revealed the entry, and in records of old versions.
    """

    reveal: Reveal
    signature: str = ""

    def facts(self) -> dict[str, Any]:
        reveal = self.reveal
        facts = {"model": reveal.model.facts(), "competition": reveal.competition_id}
        salted = {"salt": reveal.salt, "content": reveal.content_hash, "key": reveal.archive_key}
        return {
            **facts,
            **(salted if reveal.is_salted else {}),
            **({"signature": self.signature} if self.signature else {}),
        }

    @classmethod
    def of(cls, facts: Facts) -> Self:
        model = ModelRef(*facts["model"])
        salted = (facts.get("salt", ""), facts.get("content", ""), facts.get("key", ""))
        return cls(Reveal(model, facts["competition"], *salted), facts.get("signature", ""))


@dataclass(frozen=True)
class CollectedStep(StepRecord):
    """The block in which the validator last asked the miners for reveals, before the deadline for them."""

    block: int


@dataclass(frozen=True)
class PayeesStep(StepRecord):
    """The weights of a round, by hotkey."""

    by_hotkey: Mapping[str, float]

    @classmethod
    def of(cls, facts: Facts) -> Self:
        return cls(dict(facts["by_hotkey"] if "version" in facts else facts))


@dataclass(frozen=True)
class WeightsSetStep(StepRecord):
    """The block in which the chain first accepted the round's weights."""

    block: int | None

    def reproducible(self) -> Self:
        return replace(self, block=None)


@dataclass(frozen=True)
class FeedbackStep(StepRecord):
    """The SHA-256 of each signed envelope, by hotkey. The envelopes are stored among the artifacts."""

    envelopes: Mapping[str, str]

    @classmethod
    def of(cls, facts: Facts) -> Self:
        return cls(dict(facts["envelopes"] if "version" in facts else facts))


@dataclass(frozen=True)
class BundleStep(StepRecord):
    """The SHA-256 of the round document that the validator signed."""

    sha256: str

    def reproducible(self) -> Self:
        # The document has the digest of results.json, which has the times of the round.
        return replace(self, sha256="")


@dataclass(frozen=True)
class CommittedStep(StepRecord):
    """The block in which the validator committed to its round document."""

    block: int

    def reproducible(self) -> Self:
        return replace(self, block=0)


@dataclass(frozen=True)
class LoggedStep(StepRecord):
    """The hotkey of the log that has the round's signed document, and the document's index there."""

    log: str
    index: int

    def reproducible(self) -> Self:
        return replace(self, log="", index=0)


@dataclass(frozen=True)
class DeliveredStep(StepRecord):
    """Whether a miner received its feedback, after how many tries, and the reason if it did not."""

    ok: bool
    tries: int
    reason: str = ""

    @classmethod
    def of(cls, facts: Facts) -> Self:
        return cls(facts["ok"], facts["tries"], facts.get("reason", ""))

    def reproducible(self) -> Self:
        return replace(self, tries=0)


@dataclass(frozen=True)
class FinishedStep(StepRecord):
    """The number of a round that is over."""

    number: int
