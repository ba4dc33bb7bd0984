"""A round that stopped early, in its documents: which entries stopped, why, and what pages compute from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.results import Leaderboard
from soundsright.core.stopping import EarlyStop, RuledOut, Stops
from soundsright.services.records.outcome import results_of, scores_of
from soundsright.services.records.outcome_feedback import feedback_of
from soundsright.services.records.ranks import possible_ranks
from soundsright.services.records.reading import results_from
from soundsright.services.records.runs import run_of
from soundsright.services.records.stopping import stopping_field
from soundsright.services.report.html import report_html
from soundsright.services.report.tables import report_markdown
from soundsright.services.rounds import RoundOutcome
from tests.services.rounds.subnet import Subnet
from tests.services.rounds.test_stages import CLIPS, run


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> RoundOutcome:
    return run(Subnet(tmp_path_factory.mktemp("stopping")))


def test_results_say_which_entries_stopped_and_on_what_evidence(outcome: RoundOutcome) -> None:
    results = results_of(outcome)
    stopping = results.competitions[0].stopping
    assert stopping is not None
    assert [each.hotkey for each in stopping.stopped] == ["alice", "bob"]
    first = stopping.stopped[0]
    assert first.clips < stopping.set_clips == CLIPS
    assert all(each.chance <= 0.001 for each in first.ruled_out.values())
    assert stopping.sentence == (
        f"Every prize was decided after {stopping.clips} of {CLIPS} clips. 2 entries stopped early, because no"
        " prize was left to win."
    )
    assert results_from(json.loads(json.dumps(results.as_json()))) == results


def test_feedback_tells_a_stopped_entry_why(outcome: RoundOutcome) -> None:
    by_hotkey = {each.hotkey: each for each in feedback_of(outcome, results_of(outcome)).values()}
    assert "is ruled out at 1%" in json.dumps(by_hotkey["alice"].as_json())


def test_pages_and_ranks_use_only_clips_that_an_entry_ran(outcome: RoundOutcome, tmp_path: Path) -> None:
    results = results_of(outcome)
    found = run_of(tmp_path, results, scores_of(outcome))
    competition = found.competitions[0]
    alice = next(entry for entry in competition.entries if entry.row.hotkey == "alice")
    assert len(competition.among([alice]).values(alice, "ESTOI")) == alice.row.clips < CLIPS
    assert set(possible_ranks(competition)["ESTOI"]) == {entry.key for entry in competition.deciding}
    sentence = competition.doc.stopping.sentence if competition.doc.stopping else ""
    assert sentence in report_markdown(found)
    assert sentence in report_html(found)


@pytest.mark.parametrize(
    ("stops", "sentence"),
    [
        (Stops(8, 8, 8, 8, whole="Too few."), "All entries ran on the whole set. Too few."),
        (Stops(60, 20, 60, 20), "No entry stopped early: each could still win a prize."),
        (
            Stops(60, 20, 60, 20, (EarlyStop("a", 30, 60, 10, {"ESTOI": RuledOut("b", 0.0004, -0.1, 0.0)}),)),
            "1 entry stopped early, because no prize was left to win.",
        ),
        (
            Stops(60, 20, 30, 10, without="b"),
            "b is not ranked, so the entries that it had ruled out count again. All entries are compared on the 30"
            " of 60 clips that all of them ran.",
        ),
    ],
)
def test_what_happened_in_one_sentence(stops: Stops, sentence: str) -> None:
    board = Leaderboard(PUBLISHED[0], "round", (), (), stops=stops)
    assert stopping_field(board)["stopping"].sentence == sentence
