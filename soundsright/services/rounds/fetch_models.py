"""From submissions to models on this machine: each model is fetched once and verified, and copies are removed.

After a restart a fetched model comes from the cache by its content hash. The hub is not called, so a
hub that is down or has lost the model does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from soundsright.copies import Unique, contested_marks, without_duplicates
from soundsright.core.errors import EntryRefused, HubUnavailable, InfrastructureFault
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import StateStore
from soundsright.core.results import Refusal
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.rounds import steps
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.faults import EntryStuck, unexpected_errors_as_stuck
from soundsright.services.rounds.fingerprints import same_tensor_pairs
from soundsright.services.rounds.holdings import Holdings
from soundsright.services.rounds.outcome import refusal_of
from soundsright.services.rounds.progress import Event, Progress
from soundsright.services.rounds.retries import (
    FIRST_PAUSE_S,
    MAX_INFRASTRUCTURE_TRIES,
    StuckEntry,
    retry_stuck_entries,
)
from soundsright.services.rounds.screening import check_fetched, checked_dockerfile

_FILE_LIST_ONLY = FetchLimits(max_bytes=0, max_files=0)
"""With these limits, a fetch asks the hub only for the list of files, and is then refused."""


def fetch_all(
    context: RoundContext, submissions: Sequence[Submission]
) -> tuple[tuple[FetchedModel, ...], tuple[Refusal, ...]]:
    """The models of the submissions, and the refusals of those whose model is not available or breaks a rule.

    Raises:
        InfrastructureFault: the hub gives no model at all, or a model is neither in the cache nor on the hub.
    """
    outcomes: dict[str, FetchedModel | Refusal] = {}
    answered: list[Submission] = []
    stuck: dict[str, StuckEntry] = {}

    def fetch(submission: Submission) -> None:
        outcomes[submission.entry_id] = _fetched(context, submission)
        answered.append(submission)

    for submission in submissions:
        context.observe(Event("fetch", submission, submission.competition))
        try:
            fetch(submission)
        except EntryStuck as fault:
            if answered:
                # Otherwise a hub that is down would be called many times for every entry.
                _check_hub(context, answered[0])
            stuck[submission.entry_id] = StuckEntry(submission, fault)
    left_out = retry_stuck_entries(
        context,
        stuck,
        fetch,
        count_working=lambda: len(answered),
        check_others=lambda: _check_hub(context, answered[0]),
    )
    for entry_id, refusal in left_out.items():
        outcomes[entry_id] = _refused(context, entry_id, refusal)
    in_order = [outcomes[submission.entry_id] for submission in submissions]
    return (
        tuple(outcome for outcome in in_order if isinstance(outcome, FetchedModel)),
        tuple(outcome for outcome in in_order if isinstance(outcome, Refusal)),
    )


def without_copies(context: RoundContext, fetched: Sequence[FetchedModel]) -> Unique:
    """The models that copy no earlier one, by hashes and by tensors. The first holder of shared parts counts."""

    def compute() -> steps.DuplicatesStep:
        holdings = Holdings(context, fetched)
        with context.busy.measured("fetch"):
            compared = same_tensor_pairs(
                fetched,
                context.pool,
                since=holdings.tensors_since,
                raise_if_cancelled=context.raise_if_cancelled,
            )
            since_blocks = {
                entry_id: {mark: holdings.mark_since(entry_id, mark) for mark in marks}
                for entry_id, marks in contested_marks(fetched).items()
            }
        return steps.DuplicatesStep(compared.pairs, compared.unread, compared.sketches, since_blocks)

    record = context.step(steps.DUPLICATES, compute)
    # Records of old rounds have no blocks. The blocks of the present commitments count for them.
    return without_duplicates(fetched, since=record.since_blocks, likenesses=record.same_tensors)


def unread_files(context: RoundContext) -> Mapping[str, tuple[str, ...]]:
    """By entry id, the files that `without_copies` could not compare, as `path: reason`."""
    record = steps.read(context.state, context.round_id, steps.DUPLICATES)
    return {} if record is None else record.unread


def fetched_contents(state: StateStore, rounds: Sequence[str]) -> Iterator[str]:
    """The content hashes of the models that these rounds fetched and did not refuse."""
    for round_id in rounds:
        entries = steps.read(state, round_id, steps.ENTRIES)
        for entry in entries.submissions if entries else ():
            fetched = steps.read(state, round_id, steps.fetch(entry.entry_id))
            if fetched is not None and fetched.content_hash is not None and fetched.refusal is None:
                yield fetched.content_hash


def _fetched(context: RoundContext, submission: Submission) -> FetchedModel | Refusal:
    """The model, or the refusal of the entry. Both are recorded.

    Raises:
        EntryStuck: the hub neither gives the model nor says that it does not exist.
        InfrastructureFault: the model was fetched before and is no longer available.
    """
    model: FetchedModel | None = None

    def compute() -> steps.FetchStep:
        nonlocal model
        record = steps.FetchStep()
        try:
            model = _from_hub(context, submission)
            record = steps.FetchStep(model.content_hash, tuple(model.checkpoint_hashes))
            with _own_faults():
                check_fetched(model, context.plan.rules.entry_rules)
                checked_dockerfile(model)
        except EntryRefused as refused:
            # The hashes are recorded as well: a miner who fixes the entry later still counts as its first holder.
            return steps.FetchStep(record.content_hash, record.checkpoint_hashes, refusal_of(submission, refused))
        return record

    record = context.step(steps.fetch(submission.entry_id), compute)
    if record.refusal is not None:
        return record.refusal
    assert record.content_hash is not None
    return model or _fetched_before(context, submission, record.content_hash)


def _refused(context: RoundContext, entry_id: str, refusal: Refusal) -> Refusal:
    """The recorded refusal of an entry that could not be fetched."""
    record = context.step(steps.fetch(entry_id), lambda: steps.FetchStep(refusal=refusal))
    assert record.refusal is not None
    return record.refusal


def _fetched_before(context: RoundContext, submission: Submission, content_hash: str) -> FetchedModel:
    model = context.hub.cached(submission, content_hash)
    if model is not None:
        return model
    try:
        model = _from_hub(context, submission)
    except (EntryRefused, EntryStuck) as error:
        raise InfrastructureFault(
            f"{submission.source} was fetched before. It is no longer in the cache, and the hub does not give it"
            f" ({error})",
            "Put the cache back and run again.",
        ) from error
    if model.content_hash != content_hash:
        raise InfrastructureFault(
            f"{submission.source} has changed since it was fetched", "Put the cache back and run again."
        )
    return model


def _from_hub(context: RoundContext, submission: Submission) -> FetchedModel:
    tries = 0
    while True:
        try:
            with context.busy.measured("fetch"), _own_faults():
                return context.hub.fetch(submission, limits=context.plan.rules.fetch_limits)
        except HubUnavailable as fault:
            tries += 1
            if tries >= MAX_INFRASTRUCTURE_TRIES:
                raise EntryStuck.of(fault) from fault
            progress = Progress(0, 0, note=f"{str(fault).rstrip('.')}; trying again")
            context.observe(Event("progress", submission, submission.competition, progress))
            context.pause(FIRST_PAUSE_S * 2 ** (tries - 1))


def _check_hub(context: RoundContext, submission: Submission) -> None:
    """Check that the hub still answers for an entry that it answered for before. A refusal is an answer too.

    Raises:
        HubUnavailable: the hub does not answer.
    """
    try:
        context.hub.fetch(submission, limits=_FILE_LIST_ONLY)
    except EntryRefused:
        return


def _own_faults() -> AbstractContextManager[None]:
    sentence = "The model could not be read because of an unexpected error"
    return unexpected_errors_as_stuck(sentence, action="fetch_failed")
