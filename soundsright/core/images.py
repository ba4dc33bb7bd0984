"""Images in the executor: who submitted which one, the set they run on, and what was measured.

Times of submission are in whole seconds since the epoch, other times in seconds. Memory is in bytes here and in GB
(1e9 bytes) in rows, energy in joules. Every class has `facts()`, its JSON values, and a function that reads them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from soundsright.core.errors import EntryRefused, UsageError
from soundsright.core.results import ClipResult, Failure
from soundsright.core.sources import ImageRef

MAX_CLIPS = 10_000
"""The most clips of a set."""
MAX_SUBMISSIONS = 4_096
"""The highest number of submissions in one list."""
NO_SCORE = -1.0
"""The score of an image that has none yet."""
MAX_TIME_S = 2**40
"""The highest time of submission."""

_HOTKEY = re.compile(r"[1-9A-HJ-NP-Za-km-z]{1,64}")
_HASH = re.compile(r"0x[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, order=True)
class SubmittedImage:
    """An image that a hotkey submitted at `submitted_s`. `uid` is None if the list does not say it.

    Raises:
        EntryRefused: `bad_submission`, if a value has the wrong form.
    """

    submitted_s: int
    hotkey: str
    image: ImageRef
    uid: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.hotkey, str) or not _HOTKEY.fullmatch(self.hotkey):
            raise EntryRefused("bad_submission", f"hotkey: {str(self.hotkey)[:60]!r} is not an address")
        if type(self.submitted_s) is not int or not 0 <= self.submitted_s <= MAX_TIME_S:
            raise EntryRefused(
                "bad_submission", f"submit_time: {str(self.submitted_s)[:60]!r} is not whole seconds"
            )
        if self.uid is not None and (type(self.uid) is not int or not 0 <= self.uid <= 65_535):
            raise EntryRefused("bad_submission", f"uid: {str(self.uid)[:60]!r} is not a uid")

    @property
    def entry_id(self) -> str:
        """A name for the submission's rows: each submission of a hotkey has its own."""
        return f"{self.hotkey}-{self.submitted_s}"

    def facts(self) -> dict[str, Any]:
        """The submission as JSON values, without its uid."""
        return {"hotkey": self.hotkey, "image_ref": str(self.image), "submit_time": self.submitted_s}


def submitted_image(facts: object) -> SubmittedImage:
    """The submission in JSON values. It may have a `uid`, and no other key.

    Raises:
        EntryRefused: `bad_submission` or `bad_image_ref`.

    >>> one = {"hotkey": "5F", "image_ref": "lab/gate@sha256:" + "0" * 64, "submit_time": 7}
    >>> submitted_image(one).facts() == one
    True
    """
    needed = {"hotkey", "image_ref", "submit_time"}
    if not isinstance(facts, Mapping) or not needed <= facts.keys() <= needed | {"uid"}:
        raise EntryRefused("bad_submission", "A submission has the keys hotkey, image_ref and submit_time")
    reference = facts["image_ref"]
    if not isinstance(reference, str):
        raise EntryRefused("bad_image_ref", f"{str(reference)[:60]!r} is not an image's name with its digest")
    return SubmittedImage(facts["submit_time"], facts["hotkey"], ImageRef.of_text(reference), facts.get("uid"))


@dataclass(frozen=True)
class Challenge:
    """The basis of a round and its set: `clips` clips of a competition, drawn from the hash of the seed's block.

    `corpus_digest` is the digest of the recordings. Only images submitted before the seed's block take part.

    Raises:
        UsageError: a value has the wrong form.
    """

    round_id: str
    seed_block: int
    block_hash: str
    competition_id: str
    clips: int
    corpus_digest: str

    def __post_init__(self) -> None:
        checks = {
            "round": isinstance(self.round_id, str) and bool(_NAME.fullmatch(self.round_id)),
            "seed_block": type(self.seed_block) is int and 0 <= self.seed_block <= MAX_TIME_S,
            "block_hash": isinstance(self.block_hash, str) and bool(_HASH.fullmatch(self.block_hash)),
            "competition": isinstance(self.competition_id, str) and bool(_NAME.fullmatch(self.competition_id)),
            "clips": type(self.clips) is int and 1 <= self.clips <= MAX_CLIPS,
            "corpus_digest": isinstance(self.corpus_digest, str) and bool(_DIGEST.fullmatch(self.corpus_digest)),
        }
        if wrong := [name for name, is_right in checks.items() if not is_right]:
            raise UsageError(
                f"The challenge's {wrong[0]} has the wrong form",
                "Check that SUBNET_API_URL leads to a coordinator.",
            )

    def facts(self) -> dict[str, Any]:
        """The challenge as JSON values."""
        return {
            "round": self.round_id,
            "seed_block": self.seed_block,
            "block_hash": self.block_hash,
            "competition": self.competition_id,
            "clips": self.clips,
            "corpus_digest": self.corpus_digest,
        }


def challenge_of(facts: object) -> Challenge:
    """The challenge in JSON values.

    Raises:
        UsageError: a key is missing or unknown, or a value has the wrong form.
    """
    keys = ("round", "seed_block", "block_hash", "competition", "clips", "corpus_digest")
    if not isinstance(facts, Mapping) or facts.keys() != set(keys):
        raise UsageError(
            f"A challenge has the keys {', '.join(keys)}", "Check that SUBNET_API_URL leads to a coordinator."
        )
    return Challenge(*(facts[key] for key in keys))


@dataclass(frozen=True)
class ScoringRun:
    """One scoring run of an image: a batch of clips, with what the host measured while the model had it.

    `gpu_memory_bytes` is the peak memory of the GPU; None without a GPU. `energy_j` is None if nothing measures it.
    """

    number: int
    clip_ids: tuple[str, ...]
    time_s: float
    audio_s: float
    memory_bytes: int
    gpu_memory_bytes: int | None = None
    energy_j: float | None = None

    @property
    def real_time_factor(self) -> float:
        """Seconds of enhancement per second of audio."""
        return self.time_s / self.audio_s

    @property
    def peak_gb(self) -> float:
        """The peak memory in GB: that of the GPU, else that of the control group."""
        return (self.memory_bytes if self.gpu_memory_bytes is None else self.gpu_memory_bytes) / 1e9


@dataclass(frozen=True)
class MeasuredImage:
    """The scoring runs of an image, and one result for each of their clips.

    With `failure`, a scoring run failed or the image never became ready: the submission's score is 0. `unsteady`
    says that the machine's speed changed while the image ran, also when it was timed again. `load_s` is the time
    until it was ready. `reference_s` is the mean time of the reference before and after the image, so that times of
    two machines can be compared; None if it was not timed.
    """

    runs: tuple[ScoringRun, ...]
    clips: tuple[ClipResult, ...]
    failure: Failure | None = None
    unsteady: bool = False
    load_s: float = 0.0
    log: str = ""
    reference_s: float | None = None


@dataclass(frozen=True)
class ImageMetrics:
    """The `metrics` of a row. Scores are `NO_SCORE` and times None until the image was measured.

    `challenge_metrics` has one mapping for each scoring run: `run`, `clip_ids`, `time_sec`, and `scores` by clip
    and metric. `error` is the code of a failure, and `detail` its sentence. `copy_of` is the hotkey whose earlier
    image has nearly the same output; None if there is none.
    """

    final_score: float = NO_SCORE
    quality_score: float = NO_SCORE
    efficiency_factor: float | None = None
    inference_time_sec: float | None = None
    inference_time_sec_worst: float | None = None
    real_time_factor: float | None = None
    peak_vram_gb: float | None = None
    peak_vram_gb_worst: float | None = None
    energy_j_per_s: float | None = None
    cap_violation: bool = False
    unsteady: bool = False
    copy_of: str | None = None
    challenge_metrics: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None
    detail: str = ""
    updated_s: float | None = None

    def facts(self) -> dict[str, Any]:
        """The metrics as JSON values, under the names of the executor's HTTP interface."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["challenge_metrics"] = [dict(run) for run in self.challenge_metrics]
        values["updated_at"] = values.pop("updated_s")
        return values


@dataclass(frozen=True)
class ImageRow:
    """A row of the executor's table: a submission and what its last round measured."""

    submission: SubmittedImage
    metrics: ImageMetrics = field(default_factory=ImageMetrics)

    @property
    def is_winner_candidate(self) -> bool:
        """Whether the row can be paid: it has a positive score and no error."""
        return (
            self.metrics.error is None and math.isfinite(self.metrics.final_score) and self.metrics.final_score > 0
        )

    def facts(self) -> dict[str, Any]:
        """The row as JSON values."""
        return self.submission.facts() | {"metrics": self.metrics.facts()}


def image_row(facts: object) -> ImageRow:
    """The row in JSON values of an executor. Keys that it does not know are ignored, so that it reads newer rows.

    Raises:
        EntryRefused: `bad_submission`, `bad_image_ref` or `bad_row`.

    >>> row = ImageRow(SubmittedImage(7, "5F", ImageRef("lab/gate", "0" * 64)))
    >>> image_row(row.facts()) == row
    True
    """
    if not isinstance(facts, Mapping) or not isinstance(facts.get("metrics"), Mapping):
        raise EntryRefused("bad_row", "A row has the keys hotkey, image_ref, submit_time and metrics")
    submission = submitted_image({key: facts.get(key) for key in ("hotkey", "image_ref", "submit_time")})
    metrics = facts["metrics"]
    values = {_FIELD_OF.get(key, key): value for key, value in metrics.items()}
    known = {name: value for name, value in values.items() if name in ImageMetrics.__dataclass_fields__}
    for name, value in known.items():
        _check_metric(name, value)
    runs = tuple(known.get("challenge_metrics") or ())
    if not all(isinstance(run, Mapping) for run in runs):
        raise EntryRefused("bad_row", "challenge_metrics is not a list of runs")
    return ImageRow(submission, ImageMetrics(**{**known, "challenge_metrics": runs}))


_FIELD_OF = {"updated_at": "updated_s"}
_FLAGS = frozenset({"cap_violation", "unsteady"})
_SCORES = frozenset({"final_score", "quality_score"})


def _check_metric(name: str, value: object) -> None:
    if name in _FLAGS:
        is_right = type(value) is bool
    elif name == "challenge_metrics":
        is_right = isinstance(value, (list, tuple)) and len(value) <= 1_000
    elif name in ("error", "detail", "copy_of"):
        is_right = (value is None and name != "detail") or (isinstance(value, str) and len(value) <= 4_000)
    else:
        is_number = type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
        is_right = is_number or (value is None and name not in _SCORES)
    if not is_right:
        raise EntryRefused("bad_row", f"{name}: {str(value)[:60]!r} has the wrong form")


@dataclass(frozen=True)
class PublishedTable:
    """The executor's table after its last complete round, best image first; empty before the first.

    A hotkey has one row. Those that were in no round yet are at the end, without scores. `version` changes
    whenever the rows do. `coming` has, by entry id, the scores that the running round has found so far; it is not
    part of the rows.
    """

    round_id: str
    rows: tuple[ImageRow, ...]
    version: str
    coming: Mapping[str, float] = field(default_factory=dict)
