"""The entries that the last finished round did not refuse, for systems that work with the same models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundsright.copies import DuplicateRule, without_duplicates
from soundsright.core.competition import Competition
from soundsright.core.ports import StateStore
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.rounds import steps

_NOWHERE = Path()


@dataclass(frozen=True)
class StandingEntry:
    """An entry that a round fetched and did not refuse, and the hash of its model's content."""

    submission: Submission
    content_hash: str


class StandingEntries:
    """The standing entries of one state. They are read again only when another round has finished.

    Any thread may call it; each call gives what `standing_entries` gives.
    """

    def __init__(self, state: StateStore, competitions: Sequence[Competition]) -> None:
        self._state = state
        self._competitions = tuple(competitions)
        self._known: tuple[str, tuple[StandingEntry, ...]] | None = None

    def __call__(self) -> tuple[StandingEntry, ...] | None:
        """The entries; None if no round has finished.

        Raises:
            UsageError: a record is newer than this program, or damaged.
            StateUnavailable: the state does not answer.
        """
        last = steps.latest(self._state, steps.FINISHED)
        if last is None:
            return None
        known = self._known
        if known is None or known[0] != last[0]:
            known = self._known = last[0], _entries_of(self._state, last[0], self._competitions)
        return known[1]


def standing_entries(state: StateStore, competitions: Sequence[Competition]) -> tuple[StandingEntry, ...] | None:
    """The entries of the last finished round that it did not refuse; None if no round has finished.

    An entry of a competition that the organiser no longer has is left out. Copies are those of the round's records,
    with near copies if that round refused them.

    Raises:
        UsageError: a record is newer than this program, or damaged.
        StateUnavailable: the state does not answer.
    """
    return StandingEntries(state, competitions)()


def _entries_of(state: StateStore, round_id: str, competitions: Sequence[Competition]) -> tuple[StandingEntry, ...]:
    done = steps.RoundSteps(round_id, state.steps(round_id))
    entries = done.get(steps.ENTRIES)
    by_id = {competition.id: competition for competition in competitions}
    models = [
        model
        for entry in (entries.submissions if entries else ())
        if (model := _fetched(done, entry, by_id)) is not None
    ]
    begun = state.round_facts(round_id) or {}
    kept = _without_copies(done, models, refuses_near_copies=bool(begun.get("exclude_near_copies")))
    return tuple(StandingEntry(model.submission, model.content_hash) for model in kept)


def _fetched(
    done: steps.RoundSteps, entry: steps.RecordedEntry, competitions: Mapping[str, Competition]
) -> FetchedModel | None:
    """The model of an entry as it was fetched, without its place; None if the entry was refused or set aside."""
    fetched = done.get(steps.fetch(entry.entry_id))
    if entry.competition_id not in competitions or fetched is None or fetched.refusal is not None:
        return None
    if fetched.content_hash is None or steps.set_aside(entry.entry_id) in done:
        return None
    submission = entry.submission(competitions)
    return FetchedModel(submission, _NOWHERE, fetched.content_hash, fetched.checkpoint_hashes)


def _without_copies(
    done: steps.RoundSteps, models: Sequence[FetchedModel], *, refuses_near_copies: bool
) -> tuple[FetchedModel, ...]:
    duplicates, near = done.get(steps.DUPLICATES), done.get(steps.NEAR_COPIES)
    kept: tuple[FetchedModel, ...] = tuple(models)
    if duplicates is not None:
        kept = without_duplicates(kept, since=duplicates.since_blocks, likenesses=duplicates.same_tensors).kept
    if near is not None:
        reported_only = () if refuses_near_copies else (DuplicateRule.NEAR_COPY,)
        kept = without_duplicates(kept, likenesses=near.pairs, reported_only=reported_only).kept
    return kept
