"""The records of an executor's round, one for each kind of step, and the names of the steps.

Times of submission are in whole seconds since the epoch, other times in seconds.

    seed           the seed's block, its hash and its time
    participants   the images that run in this round, and those that may not
    material       the recordings of the set, and whether anybody may have heard them
    set            the digest of the set
    measured:ENTRY the scoring runs of an image; the results of its clips are separate rows
    scored:ENTRY   the metrics of an image; they are staged until the round is published
    copies         the images that copy an earlier submission by their layers, and those that are alike
    published      the whole table, and the signed results of the round
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from soundsright.core.images import (
    ImageMetrics,
    ImageRow,
    MeasuredImage,
    ScoringRun,
    SubmittedImage,
    image_row,
    submitted_image,
)
from soundsright.core.results import Failure
from soundsright.services.executor.suspects import NO_SUSPECTS, Suspects, suspects_of_facts
from soundsright.services.rounds import steps

UNPROCESSED = "unprocessed"
"""The entry id under which a round keeps the scores of the degraded input."""


@dataclass(frozen=True)
class SeedStep(steps.StepRecord):
    """The block whose hash is the seed, and its time in seconds since the epoch."""

    block: int
    hash: str
    time_s: float


@dataclass(frozen=True)
class ParticipantsStep(steps.StepRecord):
    """The images of a round in the order in which they run. `banned` would take part, but their hotkeys may not.

    `holder` is the entry id of the image that the last round ranked first; empty if it does not take part.
    """

    entries: tuple[SubmittedImage, ...]
    banned: tuple[SubmittedImage, ...] = ()
    holder: str = ""

    def facts(self) -> dict[str, Any]:
        return {
            "entries": [entry.facts() for entry in self.entries],
            "banned": [entry.facts() for entry in self.banned],
            "holder": self.holder,
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        entries, banned = (tuple(map(submitted_image, facts[name])) for name in ("entries", "banned"))
        return cls(entries, banned, facts["holder"])


@dataclass(frozen=True)
class MaterialStep(steps.StepRecord):
    """The recordings of a round's set, as the executor states them.

    `digest` is that of the corpus. `is_public` says whether anybody may have heard the speech. `speech` describes
    the program that spoke new sentences; it is empty for recordings. On a private corpus, `corpus_round` is the
    round in the life of its recordings, and `committed_block` the block before the seed in which the executor's
    hotkey committed to it. It is None if the hotkey did not, and also if the executor's chain no longer knew; then
    `is_commitment_known` is false.
    """

    digest: str
    is_public: bool
    speech: Mapping[str, str]
    corpus_round: int | None = None
    committed_block: int | None = None
    is_commitment_known: bool = True

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        # Rounds that began under earlier versions lack it.
        return super().of({"is_commitment_known": True, **facts})


@dataclass(frozen=True)
class MeasuredStep(steps.StepRecord):
    """The measurement of an image, without the results of its clips."""

    measured: MeasuredImage

    def facts(self) -> dict[str, Any]:
        values = asdict(self.measured)
        del values["clips"]
        return values

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        runs = tuple(ScoringRun(**{**run, "clip_ids": tuple(run["clip_ids"])}) for run in facts["runs"])
        failure = None if facts["failure"] is None else Failure(**facts["failure"])
        about = facts["unsteady"], facts["load_s"], facts["log"], facts.get("reference_s")
        return cls(MeasuredImage(runs, (), failure, *about))


@dataclass(frozen=True)
class ScoredStep(steps.StepRecord):
    """The row of an image, staged until its round is published."""

    row: ImageRow

    @property
    def metrics(self) -> ImageMetrics:
        return self.row.metrics

    def facts(self) -> dict[str, Any]:
        return self.row.facts()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        return cls(image_row(facts))


@dataclass(frozen=True)
class CopiesStep(steps.StepRecord):
    """The copies of earlier submissions. They are found when all images have run.

    `failures` are by entry id. `suspects` are images whose output alone is nearly that of another one.
    """

    failures: Mapping[str, Failure]
    suspects: Suspects = NO_SUSPECTS

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        failures = {entry_id: Failure(**failure) for entry_id, failure in facts["failures"].items()}
        return cls(failures, suspects_of_facts(facts["suspects"]) if "suspects" in facts else NO_SUSPECTS)


@dataclass(frozen=True)
class PublishedStep(steps.StepRecord):
    """The table after a round, best image first, and the round's signed results in their envelope.

    `participants` are the entry ids of the rows that took part in the round. `dropped` are the entry ids of results
    that were dropped, because another image stood when the round was published. `time_s` is when that was.
    """

    rows: tuple[ImageRow, ...]
    participants: tuple[str, ...]
    envelope: str
    dropped: tuple[str, ...] = ()
    time_s: float = 0.0

    def facts(self) -> dict[str, Any]:
        rows = [row.facts() for row in self.rows]
        return {
            "rows": rows,
            "participants": list(self.participants),
            "envelope": self.envelope,
            "dropped": list(self.dropped),
            "time_s": self.time_s,
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        return cls(
            tuple(map(image_row, facts["rows"])),
            tuple(facts["participants"]),
            facts["envelope"],
            tuple(facts["dropped"]),
            facts["time_s"],
        )


SEED = steps.StepKey("seed", SeedStep)
PARTICIPANTS = steps.StepKey("participants", ParticipantsStep)
MATERIAL = steps.StepKey("material", MaterialStep)
SET = steps.StepKey("set", steps.SetStep)
COPIES = steps.StepKey("copies", CopiesStep)
PUBLISHED = steps.StepKey("published", PublishedStep)


def measured(entry_id: str) -> steps.StepKey[MeasuredStep]:
    return steps.StepKey(f"measured:{entry_id}", MeasuredStep)


def scored(entry_id: str) -> steps.StepKey[ScoredStep]:
    return steps.StepKey(f"scored:{entry_id}", ScoredStep)
