"""From submissions to models on this machine: fetched once, verified, and told apart from copies.

A model that was fetched before a restart comes from the cache by its content's hash, and no hub is asked: one that
is down, or has lost the model since, changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from soundsright.copies import Unique, contested_marks, without_duplicates
from soundsright.core.errors import EntryRefused, HubUnavailable, InfrastructureFault
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.results import Refusal
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.rounds.answers import FIRST_PAUSE_S, MAX_INFRASTRUCTURE_TRIES, EntryStuck, Progress
from soundsright.services.rounds.context import RoundContext, Stuck, settled
from soundsright.services.rounds.fingerprints import same_tensor_pairs
from soundsright.services.rounds.holdings import Holdings
from soundsright.services.rounds.screening import check_fetched, checked_dockerfile
from soundsright.services.rounds.types import Event, likenesses, refusal_facts, refusal_of

_NOTHING = FetchLimits(max_bytes=0, max_files=0)
"""A fetch within these limits asks for a list of files and no more."""


def fetch_all(
    context: RoundContext, submissions: Sequence[Submission]
) -> tuple[tuple[FetchedModel, ...], tuple[Refusal, ...]]:
    """The submissions' models, and the refusals of those that cannot be had.

    Raises:
        InfrastructureFault: the hub answers for none of them, or the cache has lost what the hub no longer has.
    """
    found: dict[str, FetchedModel | Refusal] = {}
    answered: list[Submission] = []
    stuck: dict[str, Stuck] = {}

    def fetch(submission: Submission) -> None:
        found[submission.entry_id] = _fetched(context, submission)
        answered.append(submission)

    for submission in submissions:
        context.observe(Event("fetch", submission, submission.competition))
        try:
            fetch(submission)
        except EntryStuck as fault:
            if answered:
                # A hub that is down would else be asked for every entry, many times.
                _check_hub(context, answered[0])
            stuck[submission.entry_id] = Stuck(submission, fault)
    left_out = settled(
        context,
        stuck,
        fetch,
        working=lambda: len(answered),
        check_others=lambda: _check_hub(context, answered[0]),
    )
    for entry_id, refusal in left_out.items():
        found[entry_id] = context.refused(f"fetch:{entry_id}", refusal)
    outcomes = [found[submission.entry_id] for submission in submissions]
    return (
        tuple(one for one in outcomes if isinstance(one, FetchedModel)),
        tuple(one for one in outcomes if isinstance(one, Refusal)),
    )


def without_copies(context: RoundContext, fetched: Sequence[FetchedModel]) -> Unique:
    """The models that copy no earlier one, by hashes and by tensors; earlier is who held first what two share."""

    def compute() -> dict[str, Any]:
        holdings = Holdings(context, fetched)
        with context.busy.measured("fetch"):
            compared = same_tensor_pairs(fetched, context.pool, since=holdings.tensors_since, go_on=context.go_on)
            since = {
                entry_id: {mark: holdings.mark_since(entry_id, mark) for mark in marks}
                for entry_id, marks in contested_marks(fetched).items()
            }
        return {
            "same_tensors": [asdict(pair) for pair in compared.pairs],
            "unread": {entry_id: list(reasons) for entry_id, reasons in compared.unread.items()},
            "tensors": dict(compared.sketches),
            "since": since,
        }

    facts = context.step("duplicates", compute)
    # A round that was begun before blocks were remembered goes on by those of the present commitments.
    return without_duplicates(fetched, since=facts.get("since"), likenesses=likenesses(facts["same_tensors"]))


def _fetched(context: RoundContext, submission: Submission) -> FetchedModel | Refusal:
    """The model, or why the entry is refused, recorded.

    Raises:
        EntryStuck: the hub does not give it and does not say that it has none.
        InfrastructureFault: it was fetched before, and cannot be had again.
    """
    model: FetchedModel | None = None

    def compute() -> Mapping[str, Any]:
        nonlocal model
        facts: dict[str, Any] = {}
        try:
            model = _from_hub(context, submission)
            facts = {"content_hash": model.content_hash, "checkpoint_hashes": list(model.checkpoint_hashes)}
            check_fetched(model, context.plan.entry_rules)
            checked_dockerfile(model)
        except EntryRefused as refused:
            # What was fetched was held all the same, by whoever mends the entry and commits it again.
            return facts | {"refusal": refusal_facts(refusal_of(submission, refused))}
        return facts

    facts = context.step(f"fetch:{submission.entry_id}", compute)
    if "refusal" in facts:
        return Refusal(**facts["refusal"])
    return model or _fetched_before(context, submission, str(facts["content_hash"]))


def _fetched_before(context: RoundContext, submission: Submission, content_hash: str) -> FetchedModel:
    model = context.hub.cached(submission, content_hash)
    if model is not None:
        return model
    try:
        model = _from_hub(context, submission)
    except (EntryRefused, EntryStuck) as error:
        raise InfrastructureFault(
            f"{submission.source} was fetched before, is not in the cache any more, and the hub does not give it"
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
            with context.busy.measured("fetch"):
                return context.hub.fetch(submission, limits=context.plan.fetch_limits)
        except HubUnavailable as fault:
            tries += 1
            if tries >= MAX_INFRASTRUCTURE_TRIES:
                raise EntryStuck.of(fault) from fault
            told = Progress(0, 0, note=f"{fault}; trying again")
            context.observe(Event("progress", submission, submission.competition, told))
            context.pause(FIRST_PAUSE_S * 2 ** (tries - 1))


def _check_hub(context: RoundContext, submission: Submission) -> None:
    """See that the hub answers at all, for an entry that it answered for before: its refusal is an answer too.

    Raises:
        HubUnavailable: it does not.
    """
    try:
        context.hub.fetch(submission, limits=_NOTHING)
    except EntryRefused:
        return
