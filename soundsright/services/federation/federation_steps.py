"""The records of a task, one for each kind of step, and the names of the steps.

They stand beside the steps of `services/rounds` under the round id `task-N`:

    turn        the block at which this validator's turn was noticed, and the allowlist of that time
    claim       the random text with which this machine claims the task in the bucket
    material    what the sets are drawn from
    signed      the verdict in its envelope, which is published as it stands here
    published   the digest of the verdict, once it stands in the bucket
    salts       the salts of the entries' commitments
    held:HOTKEY the hotkey's earlier models that other validators judged
    abandoned   why the task gets no verdict of this validator

Blocks are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from soundsright.core.federation import StatedMaterial
from soundsright.core.sources import ModelRef
from soundsright.services.rounds import steps


@dataclass(frozen=True)
class TurnStep(steps.StepRecord):
    """The final block at which the turn was noticed, and the digest of the allowlist that gave it."""

    block: int
    allowlist: str


@dataclass(frozen=True)
class ClaimStep(steps.StepRecord):
    """The text that no other machine knows. It is recorded before it is published."""

    claim: str


@dataclass(frozen=True)
class MaterialStep(steps.StepRecord):
    """The recordings of the sets, as the verdict states them."""

    stated: StatedMaterial

    def facts(self) -> dict[str, Any]:
        return asdict(self.stated)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        public = tuple(facts["public"])
        return cls(StatedMaterial(facts["digest"], public, facts["committed_block"], facts["speech"]))


@dataclass(frozen=True)
class SignedStep(steps.StepRecord):
    """The verdict in its envelope. A signature differs each time, so the first one is kept and published."""

    envelope: str
    digest: str


@dataclass(frozen=True)
class PublishedStep(steps.StepRecord):
    """The digest of the verdict that stands in the bucket."""

    digest: str


@dataclass(frozen=True)
class AbandonedStep(steps.StepRecord):
    """The reason for no verdict on the task: its time is over, or the bucket has another verdict of this hotkey."""

    reason: str


@dataclass(frozen=True)
class SaltsStep(steps.StepRecord):
    """The salts of the reveals by hotkey."""

    salts: Mapping[str, str]


@dataclass(frozen=True)
class HeldModel:
    """An earlier model of a hotkey: the block of its commitment, its marks, and the sketch of its tensors."""

    model: ModelRef
    block: int
    marks: tuple[str, ...]
    sketch: str


@dataclass(frozen=True)
class HeldStep(steps.StepRecord):
    """The earlier models of one hotkey."""

    models: tuple[HeldModel, ...]

    def facts(self) -> dict[str, Any]:
        return {"models": [[m.model.facts(), m.block, list(m.marks), m.sketch] for m in self.models]}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        read = ((ModelRef(*model), block, tuple(marks), sketch) for model, block, marks, sketch in facts["models"])
        return cls(tuple(HeldModel(*each) for each in read))


TURN = steps.StepKey("turn", TurnStep)
CLAIM = steps.StepKey("claim", ClaimStep)
MATERIAL = steps.StepKey("material", MaterialStep)
SIGNED = steps.StepKey("signed", SignedStep)
PUBLISHED = steps.StepKey("published", PublishedStep)
ABANDONED = steps.StepKey("abandoned", AbandonedStep)
SALTS = steps.StepKey("salts", SaltsStep)


def held(hotkey: str) -> steps.StepKey[HeldStep]:
    return steps.StepKey(f"held:{hotkey}", HeldStep)
