"""The images of a round: the best of the last round, and every submission that was in no round yet.

Times of submission are in whole seconds since the epoch, blocks are counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from soundsright.core.images import ImageRow, SubmittedImage
from soundsright.services.executor.executor_steps import ParticipantsStep, PublishedStep

MAX_PARTICIPANTS = 256
"""More images wait for the next round, so that a round has an end and its signed results a bounded size."""
NOT_EVALUATED = "not_evaluated"
"""The error of an image that could not be run while others could. It is in the next round again."""


def participants(
    standing: Collection[SubmittedImage],
    last: PublishedStep | None,
    *,
    until_s: float,
    carry_over: int,
    banned: Collection[str],
    most: int = MAX_PARTICIPANTS,
) -> ParticipantsStep:
    """The images of a round whose seed's block has the time `until_s`.

    The first `carry_over` images of the last round take part again, if they have a positive score and no error, and
    still stand with the same digest. New submissions follow, first come first. One that was in an earlier round is
    not new, whatever its error: it waits for the hotkey's next submission. `banned` are hotkeys.
    """
    standing = frozenset(standing)
    carried = [
        row.submission
        for row in _of_round(last)
        if row.is_winner_candidate and row.submission in standing and row.submission.hotkey not in banned
    ][:carry_over]
    new = sorted(entry for entry in standing - _settled(last) if entry.submitted_s <= until_s)
    allowed = [entry for entry in new if entry.hotkey not in banned and entry not in carried]
    kept_out = tuple(entry for entry in new if entry.hotkey in banned)
    holder = _holder(last)
    return ParticipantsStep(
        (*carried, *allowed[: max(0, most - len(carried))]),
        kept_out[:most],
        holder if any(entry.entry_id == holder for entry in carried) else "",
    )


def has_new(chosen: ParticipantsStep, last: PublishedStep | None) -> bool:
    """Whether there is a reason for a round: an image that was in none."""
    settled = _settled(last)
    return any(entry not in settled for entry in chosen.entries)


def _of_round(last: PublishedStep | None) -> Iterable[ImageRow]:
    if last is None:
        return ()
    took_part = frozenset(last.participants)
    return (row for row in last.rows if row.submission.entry_id in took_part)


def _settled(last: PublishedStep | None) -> frozenset[SubmittedImage]:
    """The submissions whose rows say all that there is to say."""
    rows = () if last is None else last.rows
    return frozenset(row.submission for row in rows if row.metrics.error != NOT_EVALUATED)


def _holder(last: PublishedStep | None) -> str:
    """The entry id of the image that the last round ranked first; empty if it cannot be paid."""
    first = next(iter(_of_round(last)), None)
    return first.submission.entry_id if first is not None and first.is_winner_candidate else ""
