"""The entries of the last finished round that it did not refuse, as other systems need them."""

from __future__ import annotations

import pytest

from soundsright.copies import DuplicateRule, Likeness
from soundsright.core.competition import PUBLISHED
from soundsright.core.results import Refusal
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission
from soundsright.services.rounds import StandingEntries, standing_entries, steps
from soundsright.testing import MemoryState

COMPETITION = PUBLISHED[0]


def submission(uid: int) -> Submission:
    source = ModelRef("lab", f"gate{uid}", f"{uid:040x}")
    return Submission(uid, f"hotkey{uid}", COMPETITION, source, 10 + uid)


def refusal(uid: int, code: str) -> Refusal:
    return Refusal(f"hotkey{uid}", uid, "label", COMPETITION.id, code, "It is refused", {})


def finished_round(state: MemoryState, round_id: str, number: int, uids: range, *, near: bool = False) -> None:
    """A round with entries, of which uid 1 was not fetched, 2 was set aside, and 4 has the weights of 3."""
    entries = [submission(uid) for uid in uids]
    state.begin_round(round_id, {"exclude_near_copies": near})
    recorded = tuple(steps.RecordedEntry.of_submission(entry) for entry in entries)
    steps.write(state, round_id, steps.ENTRIES, steps.EntriesStep(recorded, (), None))
    for entry in entries:
        content = f"content{3 if entry.uid == 4 else entry.uid}"
        step = steps.FetchStep(content, (content,), refusal(1, "forbidden") if entry.uid == 1 else None)
        steps.write(state, round_id, steps.fetch(entry.entry_id), step)
    aside = submission(2).entry_id
    steps.write(state, round_id, steps.set_aside(aside), steps.SetAsideStep(refusal(2, "not_evaluated")))
    steps.write(state, round_id, steps.DUPLICATES, steps.DuplicatesStep((), {}, {}, {}))
    pair = Likeness(submission(5).entry_id, submission(6).entry_id, DuplicateRule.NEAR_COPY)
    steps.write(state, round_id, steps.NEAR_COPIES, steps.NearCopiesStep((pair,)))
    steps.write(state, round_id, steps.FINISHED, steps.FinishedStep(number))


def standing(state: MemoryState) -> list[int] | None:
    found = StandingEntries(state, PUBLISHED)()
    return None if found is None else [entry.submission.uid for entry in found]


def test_without_a_finished_round_the_entries_are_unknown() -> None:
    state = MemoryState()
    assert standing(state) is None
    state.begin_round("r1", {})
    assert standing(state) is None


@pytest.mark.parametrize(("near", "expected"), [(False, [0, 3, 5, 6]), (True, [0, 3, 5])])
def test_refused_entries_and_copies_are_left_out(near: bool, expected: list[int]) -> None:
    state = MemoryState()
    finished_round(state, "r1", 1, range(7), near=near)
    assert standing(state) == expected
    found = standing_entries(state, PUBLISHED)
    assert found is not None
    assert found[1].content_hash == "content3"


def test_a_round_that_still_runs_changes_nothing_and_the_next_finished_one_does() -> None:
    state = MemoryState()
    entries = StandingEntries(state, PUBLISHED)
    assert entries() is None
    finished_round(state, "r1", 1, range(1))
    state.begin_round("r2", {})
    assert entries() is entries()
    assert [entry.submission.uid for entry in entries() or ()] == [0]
    finished_round(state, "r2", 2, range(5, 6))
    assert [entry.submission.uid for entry in entries() or ()] == [5]


def test_an_entry_of_a_competition_that_is_gone_is_left_out() -> None:
    state = MemoryState()
    finished_round(state, "r1", 1, range(1))
    assert standing_entries(state, PUBLISHED[1:]) == ()
