"""The records in results.json and scores.jsonl. A round builds and writes them; every reader gets the same types.

Scores are in their metric's unit, shares in percent of the emission, times in seconds, sizes in bytes.
`outcome.py` builds the records from a round, and `reading.py` reads and checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from soundsright.core.competition import MAX_COMPETITIONS
from soundsright.core.groups import MAX_FACTORS
from soundsright.core.material import RECORDED_NOISE
from soundsright.services.records.corpus_words import corpus_remarks
from soundsright.services.records.fields import Count, LongText, Number, SafeName, ShortText, Size, Whole
from soundsright.services.records.stopping import StoppingDoc

if TYPE_CHECKING:
    from soundsright.ranking import RankSet

RESULTS_SCHEMA = "soundsright.results/1"
MAX_ENTRIES = 4096
MAX_UNREAD = 20
"""At most this many unread files of an entry are listed."""


class Document(BaseModel):
    """A frozen record. Unknown fields are ignored, because a later version may add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class EstimateDoc(Document):
    """A mean over `n` clips and the ends of its 95 % interval: see `core.results.Estimate`.

    The ends are None if there is no interval. `effective_n` is None if each clip counts as independent.
    """

    mean: Number
    low: Number | None
    high: Number | None
    n: Count
    effective_n: Number | None = None

    @model_validator(mode="after")
    def _has_both_ends(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has both ends or none")
        return self

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval; None without one."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


class MetricDoc(Document):
    """A metric: its range, and the floor that a failed clip scores."""

    title: ShortText
    unit: ShortText
    direction: Literal["higher", "lower"]
    low: Number
    high: Number
    floor: Number


class TimingDoc(Document):
    """The time and memory of a model: see `core.results.Timing`. Early versions did not write every field."""

    load_s: Number
    enhance_s: Number = 0.0
    audio_s: Number = 0.0
    peak_memory_bytes: Size
    build_s: Number = 0.0
    peak_gpu_memory_bytes: Size | None = None
    gpu_utilisation: Number | None = None
    real_time_factor: Number | None


class FlagDoc(Document):
    """A sign that an entry was tuned to a metric. Flags are shown; by default they do not change the rank."""

    code: ShortText
    sentence: LongText
    value: Number
    limit: Number


class RowDoc(Document):
    """One entry of a competition. `rank`, `hotkey`, `uid`, `model` and `block` are None for the unprocessed input.

    `ranks` has, for each metric that pays, the best and the worst rank that the scores allow with 95 % confidence.
    `needed` is the mean that would have won. `failures` counts failed clips by code.
    """

    rank: int | None
    entry: ShortText
    hotkey: ShortText | None
    uid: int | None
    model: ShortText | None
    block: int | None
    ranks: dict[SafeName, tuple[Count, Count]] = {}
    share: Number
    metrics: dict[SafeName, EstimateDoc]
    clips: Count
    failures: dict[ShortText, Count]
    flags: Annotated[tuple[FlagDoc, ...], Field(max_length=64)] = ()
    timing: TimingDoc
    reasons: dict[SafeName, LongText] = {}
    needed: dict[SafeName, Number] = {}

    @property
    def possible_ranks(self) -> RankSet | None:
        """From the best to the worst rank that any metric that pays allows. None if no ranks were computed."""
        from soundsright.ranking import RankSet

        if not self.ranks:
            return None
        return RankSet(min(best for best, _ in self.ranks.values()), max(worst for _, worst in self.ranks.values()))

    @property
    def failure_note(self) -> str:
        """The failures in words, for one line of a table. Empty if no clip failed."""
        return ", ".join(f"{count} of {self.clips} clips: {code}" for code, count in self.failures.items())


class DecisionDoc(Document):
    """The winner of one metric's prize (a hotkey, or None), and the numbers behind it."""

    metric: SafeName
    winner: ShortText | None
    sentence: LongText
    evidence: dict[ShortText, bool | Whole | FiniteFloat | LongText | None]


class RefusalDoc(Document):
    """An entry that was refused, or that is suspected to be a copy, and why."""

    entry: ShortText
    hotkey: ShortText
    uid: int | None
    code: ShortText
    sentence: LongText
    remedy: LongText = ""
    evidence: dict[ShortText, LongText] = {}
    needed: dict[SafeName, Number] = {}


class UnreadDoc(Document):
    """An entry with files that could not be compared with those of other entries, as `path: reason`."""

    entry: ShortText
    hotkey: ShortText
    uid: int
    files: Annotated[tuple[ShortText, ...], Field(max_length=MAX_UNREAD)]


class ApartDoc(Document):
    """An entry that ran and is ranked apart, unpaid: the reason's code, a sentence, and the numbers behind it.

    `row` has its scores. It has no rank.
    """

    row: RowDoc
    code: ShortText
    sentence: LongText
    evidence: dict[ShortText, FiniteFloat | LongText] = {}


class CompetitionDoc(Document):
    """One competition: its prize, its set, and its entries with the best first.

    `apart` are entries that are not ranked with the others. `unmeasured` says why a test for them was not possible,
    by the code of the reason. `stopping` says which entries stopped early; None if none may.

    `speech` has the facts of the engine that spoke the set; it is empty for recorded speech. `noise` is one of
    `NOISE_OF_ROUNDS`, and `balance` is the version of the method by which the clips share recordings. Documents of
    old versions have neither: their noise is recorded, and each of their clips drew for itself. `values` is the
    version of the method that draws a clip again if a metric has no value for its clean speech; 0 means none did.
    """

    id: SafeName
    title: ShortText
    metric_weights: dict[SafeName, Number]
    max_score: Number
    remainder: Number
    seed: Annotated[int, Field(ge=0)]
    set_digest: ShortText
    speech: dict[ShortText, ShortText] = {}
    noise: ShortText = RECORDED_NOISE
    balance: Count = 0
    values: Count = 0
    entries: Annotated[tuple[RowDoc, ...], Field(max_length=MAX_ENTRIES)]
    unprocessed: RowDoc
    decisions: Annotated[tuple[DecisionDoc, ...], Field(max_length=256)]
    refused: Annotated[tuple[RefusalDoc, ...], Field(max_length=MAX_ENTRIES)]
    suspected: Annotated[tuple[RefusalDoc, ...], Field(max_length=MAX_ENTRIES)] = ()
    unread: Annotated[tuple[UnreadDoc, ...], Field(max_length=MAX_ENTRIES)] = ()
    apart: Annotated[tuple[ApartDoc, ...], Field(max_length=MAX_ENTRIES)] = ()
    unmeasured: dict[ShortText, LongText] = {}
    stopping: StoppingDoc | None = None

    @property
    def best(self) -> RowDoc | None:
        """The best entry that receives a share of the prize."""
        return next((row for row in self.entries if row.share > 0), None)


class CorpusDoc(Document):
    """The recordings of a round, and whether prizes are paid on them.

    `digest` is the root of a private corpus, or the SHA-256 of a manifest. `public` are the competitions whose
    speech anybody may have heard. `round` is the round's number in the life of a private corpus, and
    `committed_block` the block in which the validator had committed to it. `unpaid` are the competitions in which
    nobody is paid, with the code of the `reason`. `private_clips` counts the clips of all competitions whose audio
    and recipes must not be shown yet.
    """

    digest: ShortText
    public: tuple[ShortText, ...] = ()
    round: int | None = None
    committed_block: int | None = None
    unpaid: tuple[ShortText, ...] = ()
    reason: ShortText = ""
    private_clips: Count = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader must know about payment and privacy, one sentence each."""
        return tuple(corpus_remarks(self))


class RoundDoc(Document):
    """The round's id, its rules, the block that seeded its sets, and its recordings.

    `corpus` is None in documents of old versions.
    """

    id: ShortText
    entries_close_block: int
    seed_block: int
    seed_block_hash: ShortText
    ruleset: ShortText
    ruleset_digest: ShortText
    clips: Count
    corpus: CorpusDoc | None = None


class CostDoc(Document):
    """The cost of the round: wall time, seconds of work by stage, and the most memory."""

    wall_s: Number | None = None
    busy_s: dict[ShortText, Number] = {}
    peak_memory_bytes: int | None = None


class Results(Document):
    """results.json of schema `soundsright.results/1`: everything that a round decided."""

    round: RoundDoc
    metrics: dict[SafeName, MetricDoc]
    competitions: Annotated[tuple[CompetitionDoc, ...], Field(max_length=MAX_COMPETITIONS)]
    weights: dict[ShortText, Number] = {}
    weights_block: int | None = None
    cost: CostDoc = CostDoc()
    versions: dict[ShortText, ShortText] = {}

    def as_json(self) -> dict[str, Any]:
        """The object in results.json. It has exactly the fields that were set or read."""
        return {"schema": RESULTS_SCHEMA, **self.model_dump(mode="json", exclude_unset=True)}

    def with_cost(self, *, wall_s: float, peak_memory_bytes: int) -> Results:
        """The results with the round's wall time and memory added."""
        cost = CostDoc(wall_s=wall_s, busy_s=self.cost.busy_s, peak_memory_bytes=peak_memory_bytes)
        return self.model_copy(update={"cost": cost})


class FailureDoc(Document):
    """Why a clip has no scores."""

    code: ShortText
    detail: LongText


class PieceDoc(Document):
    """A stretch of a recording in a clip: see `core.audio.SpeechPiece`."""

    speech: ShortText
    offset_s: Number
    duration_s: Number
    at_s: Number
    gain: Number


class RecipeDoc(Document):
    """How a clip was made: see `core.audio.ClipRecipe`. A source that the task does not use is None.

    While the recordings of a clip are private, `degraded_sha256` and `recipe_sha256` take the place of the other
    fields. `salt` then appears with them.
    """

    speech: ShortText | None = None
    speaker: ShortText | None = None
    speech_offset_s: Number | None = None
    noise: ShortText | None = None
    noise_offset_s: Number | None = None
    snr_db: Number | None = None
    rir: ShortText | None = None
    rt60_s: Number | None = None
    extra: Mapping[str, Any] = {}
    degraded_sha256: ShortText | None = None
    recipe_sha256: ShortText | None = None
    salt: ShortText | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether the recordings of the clip are private."""
        return self.recipe_sha256 is not None and self.salt is None

    fresh: bool | None = None
    pieces: tuple[PieceDoc, ...] = ()
    speed: Number | None = None
    equaliser: tuple[tuple[Number, Number], ...] = ()


class ScoreLine(Document):
    """One line of scores.jsonl: an entry's scores on one clip, or its failure.

    `groups` has the clip's group by factor, such as its noise and its prompt. Clips with the same number share that
    recording. The numbers name no recording, so they are shown for private clips too. It is empty in documents of
    old versions, and if the recipes do not say what clips share.
    """

    competition: SafeName
    entry: ShortText
    model: ShortText
    id: SafeName
    scores: dict[SafeName, Number] | None
    failure: FailureDoc | None
    recipe: RecipeDoc
    groups: Annotated[dict[SafeName, Count], Field(max_length=MAX_FACTORS)] = {}
