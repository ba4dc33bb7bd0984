"""One record for each kind of step of a round. `services/rounds/steps.py` has their names.

Blocks are counted, times are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from soundsright.copies import Likeness
from soundsright.core.results import ApartReason, Refusal, Timing
from soundsright.core.stopping import RuledOut
from soundsright.ranking import Flag
from soundsright.services.rounds.step_parts import (
    BatchFault,
    Facts,
    RecordedApart,
    RecordedChampion,
    RecordedEntry,
    RecordedNeuron,
    StepRecord,
    likenesses_of,
    refusal_facts,
)


@dataclass(frozen=True)
class SeedStep(StepRecord):
    """The seed's block and its hash."""

    block: int
    hash: str


@dataclass(frozen=True)
class EntriesStep(StepRecord):
    """The entries of a round, the refused ones, and the registrations when entries closed.

    `neurons` is None in records of old versions that do not contain it.
    """

    submissions: tuple[RecordedEntry, ...]
    refusals: tuple[Refusal, ...]
    neurons: tuple[RecordedNeuron, ...] | None

    def facts(self) -> dict[str, Any]:
        neurons = {str(n.uid): [n.hotkey, n.registered_at] for n in self.neurons or ()}
        return {
            "submissions": [entry.facts() for entry in self.submissions],
            "refusals": [refusal_facts(refusal) for refusal in self.refusals],
            **({} if self.neurons is None else {"neurons": neurons}),
        }

    @classmethod
    def of(cls, facts: Facts) -> Self:
        neurons = facts.get("neurons")
        if neurons is None and "hotkeys" in facts:
            neurons = {uid: (hotkey, None) for uid, hotkey in facts["hotkeys"].items()}
        return cls(
            tuple(RecordedEntry.of(entry) for entry in facts.get("submissions", ())),
            tuple(Refusal(**refusal) for refusal in facts.get("refusals", ())),
            None
            if neurons is None
            else tuple(RecordedNeuron(int(uid), hotkey, since) for uid, (hotkey, since) in neurons.items()),
        )


@dataclass(frozen=True)
class FetchStep(StepRecord):
    """A model's hashes, the refusal of its entry, or both: a model can be refused after it was fetched."""

    content_hash: str | None = None
    checkpoint_hashes: tuple[str, ...] = ()
    refusal: Refusal | None = None

    def facts(self) -> dict[str, Any]:
        hashes = {"content_hash": self.content_hash, "checkpoint_hashes": list(self.checkpoint_hashes)}
        return {
            **({} if self.content_hash is None else hashes),
            **({} if self.refusal is None else {"refusal": refusal_facts(self.refusal)}),
        }

    @classmethod
    def of(cls, facts: Facts) -> Self:
        refusal = facts.get("refusal")
        return cls(
            facts.get("content_hash"),
            tuple(facts.get("checkpoint_hashes", ())),
            None if refusal is None else Refusal(**refusal),
        )


@dataclass(frozen=True)
class ImageStep(StepRecord):
    """The image that was built for a model: the digest of its content, and whether another build has the same.

    `reason` says what prevents the same content. `content` is None if it could not be read, and `unread` says why.
    """

    content: str | None
    repeatable: bool
    reason: str = ""
    unread: str = ""


@dataclass(frozen=True)
class DuplicatesStep(StepRecord):
    """The entries with the same tensors, the files that could not be read, and since when hotkeys have their files.

    `unread` and `sketches` are by entry id. `since_blocks` are by entry id and mark; None in old records, which do
    not contain them.
    """

    same_tensors: tuple[Likeness, ...]
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sketches: Mapping[str, str] = field(default_factory=dict)
    since_blocks: Mapping[str, Mapping[str, int]] | None = None

    def facts(self) -> dict[str, Any]:
        return {
            "same_tensors": [asdict(pair) for pair in self.same_tensors],
            "unread": {entry_id: list(reasons) for entry_id, reasons in self.unread.items()},
            "tensors": dict(self.sketches),
            **({} if self.since_blocks is None else {"since": self.since_blocks}),
        }

    @classmethod
    def of(cls, facts: Facts) -> Self:
        unread = {entry_id: tuple(reasons) for entry_id, reasons in facts.get("unread", {}).items()}
        return cls(likenesses_of(facts["same_tensors"]), unread, facts.get("tensors", {}), facts.get("since"))


@dataclass(frozen=True)
class CorpusStep(StepRecord):
    """The digest of a round's corpus, and the competitions in which nobody is paid, with the code of the reason.

    `public` are the competitions whose speech anybody may have heard. `committed_block` is the block in which the
    validator committed to its private corpus, or None.
    """

    digest: str
    public: tuple[str, ...] = ()
    committed_block: int | None = None
    unpaid: tuple[str, ...] = ()
    reason: str = ""

    @classmethod
    def of(cls, facts: Facts) -> Self:
        public, unpaid = tuple(facts["public"]), tuple(facts["unpaid"])
        return cls(facts["digest"], public, facts["committed_block"], unpaid, facts["reason"])


@dataclass(frozen=True)
class SetStep(StepRecord):
    """The seed of a competition's set, and the digest of its clips."""

    seed: int
    digest: str


@dataclass(frozen=True)
class BatchStep(StepRecord):
    """The time and the fault of one batch of clips. The results of its clips are separate rows."""

    timing: Timing = field(default_factory=Timing)
    score_s: float = 0.0
    fault: BatchFault | None = None

    def facts(self) -> dict[str, Any]:
        fault = {} if self.fault is None else {"fault": asdict(self.fault)}
        return {**asdict(self.timing), "score_s": self.score_s, **fault}

    @classmethod
    def of(cls, facts: Facts) -> Self:
        timing = Timing(**{each.name: facts[each.name] for each in fields(Timing) if each.name in facts})
        fault = facts.get("fault")
        return cls(timing, facts.get("score_s", 0.0), BatchFault(**{"log": "", **fault}) if fault else None)

    def reproducible(self) -> Self:
        return replace(self, timing=Timing(), score_s=0.0)


@dataclass(frozen=True)
class LookStep(StepRecord):
    """A look before the end of a set: the entries that can win no metric, and whether all is decided.

    `ruled_out` are by hotkey and metric. `evidence` is by metric, for a challenger that wins early.
    """

    ruled_out: Mapping[str, Mapping[str, RuledOut]]
    is_decided: bool
    evidence: Mapping[str, float]

    def facts(self) -> dict[str, Any]:
        ruled_out = {
            hotkey: {metric: asdict(each) for metric, each in by_metric.items()}
            for hotkey, by_metric in self.ruled_out.items()
        }
        return {"ruled_out": ruled_out, "is_decided": self.is_decided, "evidence": dict(self.evidence)}

    @classmethod
    def of(cls, facts: Facts) -> Self:
        ruled_out = {
            hotkey: {metric: RuledOut(**each) for metric, each in by_metric.items()}
            for hotkey, by_metric in facts["ruled_out"].items()
        }
        return cls(ruled_out, facts["is_decided"], facts["evidence"])


@dataclass(frozen=True)
class SetAsideStep(StepRecord):
    """The refusal of an entry that could not be run while others could."""

    refusal: Refusal

    def facts(self) -> dict[str, Any]:
        return {"refusal": refusal_facts(self.refusal)}

    @classmethod
    def of(cls, facts: Facts) -> Self:
        return cls(Refusal(**facts["refusal"]))


@dataclass(frozen=True)
class NearCopiesStep(StepRecord):
    """The pairs of entries whose enhanced audio agrees as only copies do."""

    pairs: tuple[Likeness, ...]

    def facts(self) -> dict[str, Any]:
        return {"near_copies": [asdict(pair) for pair in self.pairs]}

    @classmethod
    def of(cls, facts: Facts) -> Self:
        return cls(likenesses_of(facts["near_copies"]))


@dataclass(frozen=True)
class FlagsStep(StepRecord):
    """Signs that an entry was tuned to a metric, by entry id."""

    by_entry: Mapping[str, tuple[Flag, ...]]

    def facts(self) -> dict[str, Any]:
        return {"by_entry": {entry: [asdict(flag) for flag in flags] for entry, flags in self.by_entry.items()}}

    @classmethod
    def of(cls, facts: Facts) -> Self:
        by_entry = facts["by_entry"] if "version" in facts else facts
        return cls({entry: tuple(Flag(**flag) for flag in flags) for entry, flags in by_entry.items()})


@dataclass(frozen=True)
class ApartStep(StepRecord):
    """The entries of a competition that are ranked apart, by entry id, and why a test was impossible, by reason."""

    by_entry: Mapping[str, RecordedApart]
    unmeasured: Mapping[str, str]

    def facts(self) -> dict[str, Any]:
        by_entry = {entry: asdict(apart) for entry, apart in self.by_entry.items()}
        return {"by_entry": by_entry, "unmeasured": dict(self.unmeasured)}

    @classmethod
    def of(cls, facts: Facts) -> Self:
        by_entry = {
            entry: RecordedApart(ApartReason(each["reason"]), each["sentence"], each["evidence"])
            for entry, each in facts["by_entry"].items()
        }
        return cls(by_entry, facts["unmeasured"])


@dataclass(frozen=True)
class DecideStep(StepRecord):
    """A competition's result: champions and decisions by metric, shares by hotkey in percent of the emission."""

    champions: Mapping[str, RecordedChampion]
    shares: Mapping[str, float]
    decisions: Mapping[str, str]

    def facts(self) -> dict[str, Any]:
        champions = {metric: champion.facts() for metric, champion in self.champions.items()}
        return {"champions": champions, "shares": dict(self.shares), "decisions": dict(self.decisions)}

    @classmethod
    def of(cls, facts: Facts) -> Self:
        champions = {metric: RecordedChampion.of(champion) for metric, champion in facts["champions"].items()}
        return cls(champions, facts["shares"], facts.get("decisions", {}))


@dataclass(frozen=True)
class WeightsStep(StepRecord):
    """The weights by uid, and the block in which they were set; None if the validator sets them later."""

    by_uid: Mapping[int, float]
    block: int | None

    def facts(self) -> dict[str, Any]:
        return {"by_uid": {str(uid): weight for uid, weight in self.by_uid.items()}, "block": self.block}

    @classmethod
    def of(cls, facts: Facts) -> Self:
        return cls({int(uid): float(weight) for uid, weight in facts["by_uid"].items()}, facts["block"])

    def reproducible(self) -> Self:
        return replace(self, block=None)
