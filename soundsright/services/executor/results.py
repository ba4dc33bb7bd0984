"""The signed results of a round: everything that a score and a place depend on, so that anyone can check them.

The document has the scoring runs and the scores of every clip of each image, those of the degraded input, and the
rules. `recomputed` decides everything again from them. Times are in seconds, memory in bytes, energy in joules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import EntryRefused, InfrastructureFault, RequestRefused, UsageError
from soundsright.core.executor_rules import executor_rules
from soundsright.core.groups import ClipGroups
from soundsright.core.images import (
    Challenge,
    ImageRow,
    MeasuredImage,
    ScoringRun,
    SubmittedImage,
    challenge_of,
    image_row,
)
from soundsright.core.ports import Account
from soundsright.core.profiles import Profile
from soundsright.core.results import ClipResult, Failure
from soundsright.core.rulesets import Ruleset, ruleset_by_name
from soundsright.services.executor.context import Judge, JudgedSet
from soundsright.services.executor.executor_steps import MaterialStep
from soundsright.services.executor.publishing import Table, ranked_rows
from soundsright.services.executor.suspects import NO_SUSPECTS, Suspects, suspects_of_facts
from soundsright.services.records import (
    EXECUTOR_RESULTS,
    Sha256,
    ShortText,
    ValidSignature,
    malformed,
    open_document,
    sign_document,
)

MAX_ENTRIES = 1_024
MAX_SIGNED_DETAIL_CHARS = 300
"""The longest sentence of a failure that is signed. Models can write into it."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**63)]
ClipId = Annotated[str, Field(max_length=128)]
Scores = dict[ClipId, dict[Annotated[str, Field(max_length=64)], Number]]
EntryId = Annotated[str, Field(pattern=r"^[^\s-]{1,64}-[0-9]{1,19}$")]
Pair = Annotated[list[Count], Field(min_length=2, max_length=2)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class FailureForm(_Form):
    """Why a clip or an image has no scores."""

    code: Annotated[str, Field(max_length=64)]
    detail: Annotated[str, Field(max_length=4_000)]


class RunForm(_Form):
    """A scoring run, as it was measured on the host."""

    number: Count
    clip_ids: Annotated[list[ClipId], Field(max_length=10_000)]
    time_s: NotNegative
    audio_s: Positive
    memory_bytes: Count
    gpu_memory_bytes: Count | None
    energy_j: NotNegative | None


class EntryForm(_Form):
    """The measurement of an image: its runs, and the scores or the failure of each clip."""

    hotkey: Annotated[str, Field(max_length=64)]
    submit_time: Count
    runs: Annotated[list[RunForm], Field(max_length=100)]
    scores: Annotated[Scores, Field(max_length=10_000)]
    failures: Annotated[dict[ClipId, FailureForm], Field(max_length=10_000)]
    failure: FailureForm | None
    unsteady: bool
    load_s: NotNegative
    reference_s: Positive | None = None


class GroupsForm(_Form):
    """The groups of clips that share a noise, a room or a prompt, as numbers."""

    clip_ids: Annotated[list[ClipId], Field(max_length=10_000)]
    factors: Annotated[dict[ShortText, Annotated[list[ShortText], Field(max_length=10_000)]], Field(max_length=4)]


class MaterialForm(_Form):
    """The recordings of the set, as the executor states them. See `MaterialStep`."""

    digest: Sha256
    is_public: bool
    speech: Annotated[dict[ShortText, ShortText], Field(max_length=50)]
    corpus_round: Count | None
    committed_block: Count | None
    is_commitment_known: bool = True


class SuspectsForm(_Form):
    """The images that are alike, in the order in which they came. See `Suspects`."""

    entries: Annotated[list[EntryId], Field(max_length=MAX_ENTRIES)]
    since_s: Annotated[list[Count], Field(max_length=MAX_ENTRIES)]
    pairs: Annotated[list[Pair], Field(max_length=MAX_ENTRIES**2)]


class ResultsForm(_Form):
    """The document of a round. `rows` are in the order of the table; `dropped` names images replaced meanwhile."""

    round: ShortText
    challenge: dict[ShortText, str | int]
    machine: Annotated[dict[ShortText, ShortText], Field(max_length=50)]
    rules: dict[ShortText, str | int | float]
    rules_digest: Sha256
    ruleset: ShortText
    ruleset_digest: Sha256
    metric_weights: Annotated[dict[ShortText, NotNegative], Field(max_length=50)]
    material: MaterialForm | None = None
    set_digest: Sha256
    holder: ShortText
    unprocessed: Annotated[Scores, Field(max_length=10_000)]
    groups: GroupsForm | None
    entries: Annotated[list[EntryForm], Field(max_length=MAX_ENTRIES)]
    suspected: SuspectsForm | None = None
    rows: Annotated[list[dict[str, Any]], Field(max_length=MAX_ENTRIES)]
    dropped: Annotated[list[ShortText], Field(max_length=MAX_ENTRIES)]


@dataclass(frozen=True)
class MeasuredEntry:
    """The row of an image, and what was measured of it; None if the machine could not run it."""

    row: ImageRow
    measured: MeasuredImage | None


@dataclass(frozen=True)
class RoundResults:
    """The results of a round, and all that they follow from. `holder` is the entry id of the first image before.

    `signer` is the address whose signature was verified; it is empty before. `dropped` are the entry ids of images
    that were replaced before the round was published. `material` is what the executor says of its recordings; None
    in results of earlier versions. `suspects` are the images whose output is nearly the same.
    """

    challenge: Challenge
    judged: JudgedSet
    machine: Mapping[str, str]
    set_digest: str
    holder: str
    entries: tuple[MeasuredEntry, ...]
    dropped: tuple[str, ...] = ()
    signer: str = ""
    material: MaterialStep | None = None
    suspects: Suspects = NO_SUSPECTS

    @property
    def round_id(self) -> str:
        return self.challenge.round_id

    def ranked(self, judge: Judge) -> tuple[ImageRow, ...]:
        """The rows from best to last, as the judge decides the first place."""
        measured = {e.row.submission.entry_id: e.measured for e in self.entries if e.measured is not None}
        rows = [entry.row for entry in self.entries]
        return ranked_rows(rows, self.judged.rules, lambda ranked: judge.winner(ranked, measured, self.holder))


def signed_results(results: RoundResults, table: Table, account: Account) -> str:
    """The results of a round, signed, in their envelope. The table gives the rows of the round in their order.

    Raises:
        InfrastructureFault: no validator could read them, because they are too large or have another form.
    """
    took_part = frozenset(table.participants)
    judged, groups = results.judged, results.judged.groups
    document = {
        "round": results.round_id,
        "challenge": results.challenge.facts(),
        "machine": dict(results.machine),
        "rules": asdict(judged.rules),
        "rules_digest": judged.rules.digest,
        "ruleset": judged.ruleset.name,
        "ruleset_digest": judged.ruleset.digest,
        "metric_weights": dict(judged.weights),
        "material": None if results.material is None else results.material.facts(),
        "set_digest": results.set_digest,
        "holder": results.holder,
        "unprocessed": _scores(judged.unprocessed),
        "groups": None
        if groups is None
        else {
            "clip_ids": list(groups.clip_ids),
            "factors": {name: list(own) for name, own in groups.factors.items()},
        },
        "entries": [_entry(entry.row.submission, entry.measured) for entry in results.entries if entry.measured],
        "suspected": asdict(results.suspects),
        "rows": [_row(row) for row in table.rows if row.submission.entry_id in took_part],
        "dropped": list(table.dropped),
    }
    envelope = sign_document(EXECUTOR_RESULTS, document, account)
    try:
        open_results(envelope.encode(), valid_signature=lambda *_: True, ruleset=judged.ruleset)
    except RequestRefused as refused:
        raise InfrastructureFault(
            f"No validator could read the signed results of round {results.round_id}: {refused.sentence}",
            "Report it with the log. The last table stays.",
        ) from refused
    return envelope


def open_results(raw: bytes, *, valid_signature: ValidSignature, ruleset: Ruleset | None = None) -> RoundResults:
    """Verify the signature of a round's results, and read them. The rows keep the order of the document.

    `ruleset` is the organiser's; without it, the shipped one that the results name.

    Raises:
        RequestRefused: `too_large`, `malformed` or `bad_signature`.
        UsageError: the ruleset is not the one of the results.
    """
    signed = open_document(EXECUTOR_RESULTS, raw, valid_signature=valid_signature)
    try:
        form = ResultsForm.model_validate(signed.facts, strict=True)
    except ValidationError as error:
        raise malformed(EXECUTOR_RESULTS, error) from None
    used = _ruleset(form, ruleset)
    try:
        return _results_of(form, used, signed.signer)
    except (EntryRefused, UsageError, ValueError, KeyError, TypeError) as error:
        raise RequestRefused(
            "malformed",
            f"This is not a {EXECUTOR_RESULTS.name} of schema {EXECUTOR_RESULTS.schema} ({str(error)[:200]})",
            status=422,
        ) from None


def _results_of(form: ResultsForm, ruleset: Ruleset, signer: str) -> RoundResults:
    rules = dict(form.rules)
    own_rules = executor_rules(Profile(str(rules.pop("profile"))), **rules)
    if own_rules.digest != form.rules_digest:
        raise ValueError("rules_digest is not the digest of the rules")
    challenge = challenge_of(form.challenge)
    if challenge.round_id != form.round:
        raise ValueError("the challenge is of another round")
    if form.material is not None and form.material.digest != challenge.corpus_digest:
        raise ValueError("the recordings are not those of the challenge")
    groups = (
        None
        if form.groups is None
        else ClipGroups(
            tuple(form.groups.clip_ids), {name: tuple(labels) for name, labels in form.groups.factors.items()}
        )
    )
    unprocessed = tuple(ClipResult(clip_id, scores=own) for clip_id, own in sorted(form.unprocessed.items()))
    measured = {f"{entry.hotkey}-{entry.submit_time}": _measured(entry) for entry in form.entries}
    rows = [image_row(row) for row in form.rows]
    if len({row.submission.hotkey for row in rows}) != len(rows):
        raise ValueError("a hotkey has two rows")
    return RoundResults(
        challenge,
        JudgedSet(own_rules, ruleset, form.metric_weights, unprocessed, groups),
        form.machine,
        form.set_digest,
        form.holder,
        tuple(MeasuredEntry(row, measured.get(row.submission.entry_id)) for row in rows),
        tuple(form.dropped),
        signer,
        None if form.material is None else MaterialStep(**form.material.model_dump()),
        NO_SUSPECTS if form.suspected is None else suspects_of_facts(form.suspected.model_dump()),
    )


def _ruleset(form: ResultsForm, given: Ruleset | None) -> Ruleset:
    remedy = "Give the organiser's rules file."
    try:
        used = given or ruleset_by_name(form.ruleset)
    except UsageError as error:
        raise UsageError(f"The results follow the ruleset {form.ruleset}, which does not ship", remedy) from error
    if used.digest != form.ruleset_digest:
        raise UsageError(f"The ruleset {used.name} has another digest than the one of the results", remedy)
    return used


def _row(row: ImageRow) -> dict[str, Any]:
    """The row without its runs. The entry has them, and a document with every score twice would be too large."""
    return replace(
        row, metrics=replace(row.metrics, challenge_metrics=(), detail=row.metrics.detail[:MAX_SIGNED_DETAIL_CHARS])
    ).facts()


def _failure(failure: Failure) -> dict[str, str]:
    return {"code": failure.code, "detail": failure.detail[:MAX_SIGNED_DETAIL_CHARS]}


def _entry(submission: SubmittedImage, measured: MeasuredImage) -> dict[str, Any]:
    # The failure of an image is that of all its clips, so its detail is said once.
    failures = {clip.clip_id: {"code": clip.failure.code, "detail": ""} for clip in measured.clips if clip.failure}
    return {
        "hotkey": submission.hotkey,
        "submit_time": submission.submitted_s,
        "runs": [asdict(run) for run in measured.runs],
        "scores": _scores(measured.clips),
        "failures": failures,
        "failure": None if measured.failure is None else _failure(measured.failure),
        "unsteady": measured.unsteady,
        "load_s": measured.load_s,
        "reference_s": measured.reference_s,
    }


def _scores(clips: tuple[ClipResult, ...]) -> dict[str, dict[str, float]]:
    return {clip.clip_id: dict(clip.scores) for clip in clips if clip.scores is not None}


def _measured(form: EntryForm) -> MeasuredImage:
    runs = tuple(ScoringRun(**{**run.model_dump(), "clip_ids": tuple(run.clip_ids)}) for run in form.runs)
    clips = [ClipResult(clip_id, scores=own) for clip_id, own in form.scores.items()]
    clips += [ClipResult(clip_id, failure=Failure(**own.model_dump())) for clip_id, own in form.failures.items()]
    failure = None if form.failure is None else Failure(**form.failure.model_dump())
    ordered = tuple(sorted(clips, key=lambda clip: clip.clip_id))
    return MeasuredImage(runs, ordered, failure, form.unsteady, form.load_s, reference_s=form.reference_s)
