"""The records of an interval, one for each kind of step. They stand in the state under the id `tiers-N`.

    seed          the 32 random bytes of the interval's banks
    opened        the block in which the verifier began to ask in this interval
    bank:ENTRY    the verifier's own answers to the clips of a prover, or why it has none
    step:K        the attempts of a step, with what they earned, before they are counted
    closed        the interval is archived, decided and written

Blocks are counted, times are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from soundsright.core.tiers import Attempt, attempt_of
from soundsright.services.rounds import steps


def round_of(interval: int) -> str:
    """The id of an interval in the state.

    >>> round_of(7)
    'tiers-7'
    """
    return f"tiers-{interval}"


@dataclass(frozen=True)
class SeedStep(steps.StepRecord):
    """The seed of an interval's banks, in hex. It is secret until the interval is over."""

    seed: str


@dataclass(frozen=True)
class OpenedStep(steps.StepRecord):
    """The final block in which the verifier opened the interval, and the block after its last one.

    `program` is the version that opened it, `rules` the canonical JSON of its rules. Old records have neither.
    """

    block: int
    end_block: int
    program: str = ""
    rules: str = ""

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        return cls(facts["block"], facts["end_block"], facts.get("program", ""), facts.get("rules", ""))


@dataclass(frozen=True)
class BankStep(steps.StepRecord):
    """The verifier's own run of a committed model on a bank.

    `answers` are the digests of the own answers by clip id, without the clips on which the run failed. `repeat_db`
    is the model's agreement with itself. `code` says why nobody asks this prover, and is empty if it is asked.
    `model_s` is the time of the run, `repeat_s` that of the repeated clips. `model` is the full name of the source
    that the hotkey committed to `competition`. `lookahead_ms` is None if the model does not stream. `open_clips`
    have public recordings only, so anybody may hear them when the seed is opened. Old records lack these.
    """

    content_hash: str
    answers: Mapping[str, str] = field(default_factory=dict)
    repeat_db: float | None = None
    code: str = ""
    sentence: str = ""
    model_s: float = 0.0
    repeat_s: float = 0.0
    hotkey: str = ""
    competition: str = ""
    model: str = ""
    lookahead_ms: float | None = None
    open_clips: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        known = {each.name: facts[each.name] for each in fields(cls) if each.name in facts}
        return cls(
            **known | {"content_hash": facts["content_hash"], "open_clips": tuple(known.get("open_clips", ()))}
        )

    def reproducible(self) -> Self:
        return replace(self, model_s=0.0, repeat_s=0.0)


@dataclass(frozen=True)
class CountedAttempt:
    """An attempt with its prover's uid and tier, its time since the epoch, its reward, and the score after it."""

    attempt: Attempt
    uid: int
    tier: str
    at_s: float
    reward: float
    score: float

    def facts(self) -> dict[str, Any]:
        return {**asdict(self), "attempt": self.attempt.facts()}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> CountedAttempt:
        return cls(**{**facts, "attempt": attempt_of(facts["attempt"])})


@dataclass(frozen=True)
class AskedStep(steps.StepRecord):
    """The attempts of a step, and the evidence of those that failed.

    They are recorded before they are counted, so each is counted once after a kill.
    """

    attempts: tuple[CountedAttempt, ...]
    failures: tuple[Mapping[str, Any], ...] = ()

    def facts(self) -> dict[str, Any]:
        return {"attempts": [each.facts() for each in self.attempts], "failures": list(self.failures)}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        return cls(tuple(CountedAttempt.of(each) for each in facts["attempts"]), tuple(facts["failures"]))


@dataclass(frozen=True)
class ClosedStep(steps.StepRecord):
    """The interval is over, and its record is written."""

    end_block: int


SEED = steps.StepKey("seed", SeedStep)
OPENED = steps.StepKey("opened", OpenedStep)
CLOSED = steps.StepKey("closed", ClosedStep)


def bank_of(entry_id: str) -> steps.StepKey[BankStep]:
    return steps.StepKey(f"bank:{entry_id}", BankStep)


def asked(number: int) -> steps.StepKey[AskedStep]:
    return steps.StepKey(f"step:{number}", AskedStep)
