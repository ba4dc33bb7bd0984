"""results.json and scores.jsonl as read back from disk: checked, bounded, never trusted.

Scores are in their metric's unit, shares in percent of the emission, times in seconds. What a round writes is in
`services/results.py`; whoever reads it meets files that may be old, newer, cut short or made by somebody else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from soundsright.core.errors import UsageError
from soundsright.services.records.results import RESULTS_SCHEMA

MAX_RESULTS_BYTES = 64 << 20
MAX_SCORES_BYTES = 1 << 30
MAX_LINE_BYTES = 64 << 10
MAX_ENTRIES = 4096
_FAMILY, _, _VERSION = RESULTS_SCHEMA.partition("/")

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


def _cut(limit: int) -> BeforeValidator:
    """Text that is longer is cut, not refused: a stranger's long word must not cost the others their page."""
    return BeforeValidator(lambda v: v[: limit - 1] + "…" if isinstance(v, str) and len(v) > limit else v)


Line = Annotated[str, _cut(512)]
Prose = Annotated[str, _cut(8192)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]


class _Document(BaseModel):
    """Unknown fields are left alone: a later version may add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class EstimateDoc(_Document):
    mean: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    n: Count


class MetricDoc(_Document):
    title: Line
    unit: Line
    direction: Literal["higher", "lower"]
    low: FiniteFloat
    high: FiniteFloat
    floor: FiniteFloat


class TimingDoc(_Document):
    load_s: FiniteFloat
    real_time_factor: FiniteFloat | None
    peak_memory_bytes: Annotated[int, Field(ge=0)]
    build_s: FiniteFloat = 0.0
    peak_gpu_memory_bytes: Annotated[int, Field(ge=0)] | None = None
    gpu_utilisation: FiniteFloat | None = None


class FlagDoc(_Document):
    """A sign that an entry was tuned to a measure: shown, and by default no reason to rank it lower."""

    code: Line
    sentence: Prose
    value: FiniteFloat
    limit: FiniteFloat


class RowDoc(_Document):
    rank: int | None
    entry: Line
    hotkey: Line | None
    uid: int | None
    model: Line | None
    block: int | None
    share: FiniteFloat
    metrics: dict[Name, EstimateDoc]
    clips: Count
    failures: dict[Line, Count]
    timing: TimingDoc
    reasons: dict[Name, Prose] = {}
    needed: dict[Name, FiniteFloat] = {}
    flags: Annotated[tuple[FlagDoc, ...], Field(max_length=64)] = ()


class DecisionDoc(_Document):
    metric: Name
    winner: Line | None
    sentence: Prose
    evidence: dict[Line, bool | FiniteFloat | Prose | None]


class RefusalDoc(_Document):
    entry: Line
    hotkey: Line
    uid: int | None
    code: Line
    sentence: Prose
    evidence: dict[Line, Prose] = {}


class CompetitionDoc(_Document):
    id: Name
    title: Line
    metric_weights: dict[Name, FiniteFloat]
    max_score: FiniteFloat
    remainder: FiniteFloat
    seed: Annotated[int, Field(ge=0)]
    set_digest: Line
    entries: Annotated[tuple[RowDoc, ...], Field(max_length=MAX_ENTRIES)]
    unprocessed: RowDoc
    decisions: Annotated[tuple[DecisionDoc, ...], Field(max_length=256)]
    refused: Annotated[tuple[RefusalDoc, ...], Field(max_length=MAX_ENTRIES)]
    suspected: Annotated[tuple[RefusalDoc, ...], Field(max_length=MAX_ENTRIES)] = ()


class RoundDoc(_Document):
    id: Line
    entries_close_block: int
    seed_block: int
    seed_block_hash: Line
    ruleset: Line
    ruleset_digest: Line
    clips: Count


class CostDoc(_Document):
    wall_s: FiniteFloat | None = None
    busy_s: dict[Line, FiniteFloat] = {}
    peak_memory_bytes: int | None = None


class ResultsDoc(_Document):
    """results.json of schema `soundsright.results/1`."""

    round: RoundDoc
    metrics: dict[Name, MetricDoc]
    competitions: Annotated[tuple[CompetitionDoc, ...], Field(max_length=64)]
    weights: dict[Line, FiniteFloat] = {}
    weights_block: int | None = None
    cost: CostDoc = CostDoc()
    versions: dict[Line, Line] = {}


class FailureDoc(_Document):
    code: Line
    detail: Prose


class RecipeDoc(_Document):
    """What of a clip's recipe the pages show."""

    speech: Line | None = None
    speaker: Line | None = None
    noise: Line | None = None
    snr_db: FiniteFloat | None = None
    rir: Line | None = None
    rt60_s: FiniteFloat | None = None


class ScoreDoc(_Document):
    """One entry and clip: scores, or the failure."""

    competition: Name
    entry: Line
    model: Line
    id: Name
    scores: dict[Name, FiniteFloat] | None
    failure: FailureDoc | None
    recipe: RecipeDoc


def read_results(path: Path) -> ResultsDoc:
    """results.json, checked.

    Raises:
        UsageError: it is missing, too large, of a newer schema, or not what a round writes.
    """
    return results_doc(_json(path, MAX_RESULTS_BYTES), path)


def results_doc(document: Any, source: object = "results.json") -> ResultsDoc:
    """A parsed document, checked. Raises as `read_results`."""
    if not isinstance(document, dict):
        raise UsageError(f"{source} holds no JSON object", "Name the folder of a finished run.")
    family, _, found = str(document.get("schema", ""))[:64].partition("/")
    if family != _FAMILY:
        raise UsageError(f"{source} is not of schema {RESULTS_SCHEMA}", "Name the folder of a finished run.")
    if found != _VERSION:
        raise UsageError(
            f"{source} is of schema {family}/{found}, this program reads {RESULTS_SCHEMA}",
            "Update soundsright, or write the run anew." if found.isdigit() else "Write the run anew.",
        )
    try:
        return ResultsDoc.model_validate(document)
    except ValidationError as error:
        raise UsageError(f"{source}: {_first_fault(error)}", "Write the run anew.") from error


def read_scores(path: Path) -> Iterator[ScoreDoc | str]:
    """Each line of scores.jsonl, checked; for a line that cannot be used, a sentence that says so.

    Raises:
        UsageError: the file is missing or too large.
    """
    try:
        if path.stat().st_size > MAX_SCORES_BYTES:
            raise UsageError(f"{path} is larger than {MAX_SCORES_BYTES >> 20} MiB", "Write the run anew.")
        with path.open("rb") as lines:
            for number in range(1, 100_000_000):
                line = lines.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                if len(line) > MAX_LINE_BYTES:
                    # Passed over in parts: what one entry wrote must not hide the others.
                    while line and not line.endswith(b"\n"):
                        line = lines.readline(MAX_LINE_BYTES)
                    yield f"{path.name}, line {number}: longer than {MAX_LINE_BYTES >> 10} KiB"
                    continue
                yield score_doc(line, f"{path.name}, line {number}")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "Write the run anew.") from error


def score_doc(line: bytes | str, source: str) -> ScoreDoc | str:
    """One line, or the sentence that says what is wrong with it."""
    try:
        return ScoreDoc.model_validate_json(line)
    except ValidationError as error:
        return f"{source}: {_first_fault(error)}"


def _json(path: Path, limit: int) -> Any:
    try:
        if path.stat().st_size > limit:
            raise UsageError(f"{path} is larger than {limit >> 20} MiB", "Name the folder of a finished run.")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror})", "Name the folder of a finished run."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON", "Write the run anew.") from error


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:120]
    return f"{where or 'the document'}: {first['msg']}"
