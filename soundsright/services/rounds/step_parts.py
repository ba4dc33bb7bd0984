"""The base class of all step records, and the values that several of them contain.

Blocks are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from soundsright.copies import DuplicateRule, Likeness
from soundsright.core.competition import Competition
from soundsright.core.errors import EntryRefused, UsageError
from soundsright.core.results import ApartReason, Refusal
from soundsright.core.sources import Source, source_of
from soundsright.core.submission import Submission, entry_id_of
from soundsright.ranking import Champion

Facts = Mapping[str, Any]
"""The values of a record as JSON has them."""


@dataclass(frozen=True)
class StepRecord:
    """The base of all records. `facts` and `of` convert the fields to JSON values and back."""

    VERSION: ClassVar[int] = 1

    def to_facts(self) -> dict[str, Any]:
        """The record as JSON values, with its version."""
        return {"version": self.VERSION, **self.facts()}

    @classmethod
    def from_facts(cls, facts: Facts, *, source: str = "A recorded step") -> Self:
        """The record that `to_facts` gave. `source` names it in errors.

        Raises:
            UsageError: the record is newer than this program, or damaged.
        """
        version = facts.get("version", 0)
        if not isinstance(version, int) or version > cls.VERSION:
            raise UsageError(
                f"{source}: the record has version {version!r}, and this program reads up to version {cls.VERSION}",
                "Update soundsright.",
            )
        try:
            return cls.of(facts)
        except (EntryRefused, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise UsageError(
                f"{source}: the record is damaged ({type(error).__name__}: {error})",
                "Restore the last backup of the state database.",
            ) from error

    def facts(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """The record of these values. Every version up to `VERSION` is accepted."""
        return cls(**{each.name: facts[each.name] for each in fields(cls)})

    def reproducible(self) -> Self:
        """The record without what a restart may change, such as the seconds that a batch took."""
        return self


@dataclass(frozen=True)
class RecordedEntry:
    """A submission with the id of its competition, for records."""

    uid: int
    hotkey: str
    competition_id: str
    source: Source
    block: int
    content_hash: str = ""
    archive_key: str = ""

    @property
    def entry_id(self) -> str:
        """The same as `Submission.entry_id`."""
        return entry_id_of(self.uid, self.hotkey)

    @classmethod
    def of(cls, facts: Facts) -> RecordedEntry:
        source = source_of(facts["model"])
        committed = (facts.get("content", ""), facts.get("key", ""))
        return cls(facts["uid"], facts["hotkey"], facts["competition"], source, facts["block"], *committed)

    @classmethod
    def of_submission(cls, entry: Submission) -> RecordedEntry:
        committed = (entry.content_hash, entry.archive_key)
        return cls(entry.uid, entry.hotkey, entry.competition.id, entry.source, entry.block, *committed)

    def facts(self) -> dict[str, Any]:
        return {
            "uid": self.uid,
            "hotkey": self.hotkey,
            "competition": self.competition_id,
            "model": self.source.facts(),
            "block": self.block,
            **({"content": self.content_hash} if self.content_hash else {}),
            **({"key": self.archive_key} if self.archive_key else {}),
        }

    def submission(self, competitions: Mapping[str, Competition]) -> Submission:
        """The submission, with its competition looked up by id."""
        competition = competitions[self.competition_id]
        committed = (self.content_hash, self.archive_key)
        return Submission(self.uid, self.hotkey, competition, self.source, self.block, *committed)


@dataclass(frozen=True)
class RecordedNeuron:
    """A registration when entries closed. `registered_at` is None in old records, which do not contain it."""

    uid: int
    hotkey: str
    registered_at: int | None


@dataclass(frozen=True)
class RecordedChampion(StepRecord):
    """The holder of a metric's title: its entry, its mean when last ranked, and the block of its first win.

    Title rows of the state contain it as a separate record.
    """

    uid: int
    hotkey: str
    source: Source
    block: int
    mean: float
    since_block: int

    @classmethod
    def of(cls, facts: Facts) -> Self:
        source = source_of(facts["model"])
        return cls(facts["uid"], facts["hotkey"], source, facts["block"], facts["mean"], facts["since_block"])

    @classmethod
    def of_champion(cls, champion: Champion) -> RecordedChampion:
        entry = champion.submission
        return cls(entry.uid, entry.hotkey, entry.source, entry.block, champion.mean, champion.since_block)

    def facts(self) -> dict[str, Any]:
        return {
            "uid": self.uid,
            "hotkey": self.hotkey,
            "block": self.block,
            "model": self.source.facts(),
            "mean": self.mean,
            "since_block": self.since_block,
        }

    def champion(self, competition: Competition) -> Champion:
        entry = Submission(self.uid, self.hotkey, competition, self.source, self.block)
        return Champion(entry, self.mean, self.since_block)


@dataclass(frozen=True)
class RecordedApart:
    """Why an entry is ranked apart: the reason, a sentence, and the numbers behind it."""

    reason: ApartReason
    sentence: str
    evidence: Mapping[str, float | str]


@dataclass(frozen=True)
class BatchFault:
    """Why a model failed on a batch: a stable code, a message, and the end of what the model wrote."""

    code: str
    detail: str
    log: str


def refusal_facts(refusal: Refusal) -> dict[str, Any]:
    return {**asdict(refusal), "evidence": dict(refusal.evidence)}


def likenesses_of(pairs: Sequence[Facts]) -> tuple[Likeness, ...]:
    """Pairs of entries, from what `asdict` gave. Old records have no `since`."""
    return tuple(
        Likeness(
            pair["first"],
            pair["second"],
            DuplicateRule(pair["rule"]),
            pair["evidence"],
            None if pair.get("since") is None else (pair["since"][0], pair["since"][1]),
        )
        for pair in pairs
    )
