"""The documents of a round: their bytes do not change, and the same types write and read them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.material import Material
from soundsright.core.results import Apart, ApartReason
from soundsright.ranking import mean_estimate
from soundsright.services.records.feedback import MAX_TEXT_CHARS, Feedback
from soundsright.services.records.outcome import results_of, scores_of, scores_text
from soundsright.services.records.outcome_feedback import feedback_of
from soundsright.services.records.ranks import possible_ranks
from soundsright.services.records.reading import read_scores, results_from
from soundsright.services.records.results import ScoreLine
from soundsright.services.records.runs import run_of
from soundsright.services.report.html import report_html
from soundsright.services.report.tables import report_markdown
from soundsright.services.rounds import RoundOutcome
from soundsright.services.rounds.hiding import HiddenClip
from tests.services.records.outcome import COMPETITION, GOLDEN, golden_files, small_outcome
from tests.services.rounds.spoken import Spoken


def test_documents_have_the_bytes_of_the_golden_files() -> None:
    """To write them again after an intended change: `python -m tests.services.records.outcome`."""
    assert golden_files() == {path.name: path.read_text(encoding="utf-8") for path in GOLDEN.iterdir()}


def test_results_are_read_back_as_they_were_built() -> None:
    results = results_of(small_outcome())
    document = json.loads(json.dumps(results.as_json()))
    assert results_from(document) == results
    assert results_from(document).as_json() == document


def test_results_name_the_synthesiser_of_a_set_that_was_spoken_for_the_round() -> None:
    outcome = small_outcome()
    plan = outcome.plan
    measures = replace(plan.measures, material=Material(speech=Spoken([], "1.51")))
    spoken = results_of(replace(outcome, plan=replace(plan, measures=measures)))
    assert spoken.competitions[0].speech == {"engine": "spoken", "model": "1.51"}
    assert results_from(json.loads(json.dumps(spoken.as_json()))) == spoken
    assert "speech" not in results_of(outcome).as_json()["competitions"][0]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("feedback-*.json")), ids=lambda path: path.stem)
def test_feedback_is_read_back_as_it_was_built(path: Path) -> None:
    assert Feedback.model_validate_json(path.read_text()).as_json() == json.loads(path.read_text())


def test_scores_are_read_back_as_they_were_built(tmp_path: Path) -> None:
    lines = list(scores_of(small_outcome()))
    (tmp_path / "scores.jsonl").write_text(scores_text(lines))
    assert list(read_scores(tmp_path / "scores.jsonl")) == lines
    assert all(isinstance(line, ScoreLine) for line in lines)


def test_the_possible_ranks_of_a_run_are_those_in_its_results(tmp_path: Path) -> None:
    outcome = small_outcome()
    competition = run_of(tmp_path, results_of(outcome), scores_of(outcome)).competitions[0]
    ranks = possible_ranks(competition)
    assert set(ranks) == set(COMPETITION.metric_weights)
    for metric, by_entry in ranks.items():
        for entry in competition.entries:
            assert (by_entry[entry.key].best, by_entry[entry.key].worst) == entry.row.ranks[metric]


def test_long_text_in_feedback_is_cut() -> None:
    outcome = small_outcome()
    long = "x" * 2 * MAX_TEXT_CHARS
    results = results_of(outcome)
    competition = results.competitions[0]
    wordy = competition.entries[0].model_copy(update={"reasons": {"ESTOI": long}})
    competition = competition.model_copy(update={"entries": (wordy, *competition.entries[1:])})
    feedback = feedback_of(outcome, results.model_copy(update={"competitions": (competition,)}))
    assert len(feedback["1-alice-hotkey"].reasons["ESTOI"]) == MAX_TEXT_CHARS


def outcome_with_bob_apart() -> RoundOutcome:
    """The small outcome, in which bob's model memorised recordings."""
    outcome = small_outcome()
    (board,) = outcome.leaderboards
    bob = outcome.evaluations[COMPETITION.id][1].submission
    evidence: dict[str, float | str] = {"metric": "ESTOI", "p_value": 1e-6, "content_hash": "ef" * 32}
    board = replace(
        board,
        standings=tuple(s for s in board.standings if s.submission != bob),
        apart=(Apart(bob, ApartReason.MEMORISED, "Is not paid: it memorised recordings.", evidence),),
        unmeasured={ApartReason.HELD: "There is no calibration for this task and rate."},
    )
    return replace(outcome, leaderboards=(board,))


def test_an_entry_that_is_ranked_apart_is_in_results_feedback_and_report(tmp_path: Path) -> None:
    outcome = outcome_with_bob_apart()
    results = results_of(outcome)
    assert results_from(json.loads(json.dumps(results.as_json()))) == results
    (competition,) = results.competitions
    (apart,) = competition.apart
    assert [row.hotkey for row in competition.entries] == ["alice" + "-hotkey" * 3]
    assert (apart.row.hotkey, apart.row.rank, apart.row.share, apart.code) == (
        "bob" + "-hotkey" * 3,
        None,
        0.0,
        "memorised",
    )
    assert apart.evidence["p_value"] == 1e-6
    bob = next(f for f in feedback_of(outcome, results).values() if f.hotkey == "bob" + "-hotkey" * 3)
    assert bob.reasons == dict.fromkeys(COMPETITION.metric_weights, "Is not paid: it memorised recordings.")
    assert len(bob.clips) == len(outcome.sets[COMPETITION.id].digests)
    report = report_markdown(run_of(tmp_path, results, scores_of(outcome)))
    assert "Ranked apart (memorised)" in report
    assert "held could not be measured: There is no calibration for this task and rate." in report
    page = report_html(run_of(tmp_path, results, scores_of(outcome)))
    assert "Entries ranked apart" in page
    assert "Is not paid: it memorised recordings. <code>memorised</code>" in page
    assert "ef" * 32 in page.replace("<wbr>", "")


def test_results_without_entries_apart_have_no_such_fields() -> None:
    (competition,) = results_of(small_outcome()).as_json()["competitions"]
    assert competition.keys().isdisjoint({"apart", "unmeasured"})


def hidden_outcome() -> RoundOutcome:
    """The outcome of a round with private recordings: no clip may be shown."""
    outcome = small_outcome()
    clips = outcome.sets[COMPETITION.id]
    hidden = {c: HiddenClip("d" * 64, "r" * 64, "salt", ("speech-0",)) for c in clips.clip_ids}
    return replace(outcome, sets={COMPETITION.id: replace(clips, hidden=hidden)})


def test_hidden_clips_have_the_numbers_of_their_groups_and_no_names() -> None:
    lines = list(scores_of(hidden_outcome()))
    assert {line.id: line.groups for line in lines} == {
        f"clip-{n:05d}": {"noise": n, "prompt": n} for n in range(3)
    }
    text = scores_text(lines)
    assert "noise-" not in text
    assert "speech-" not in text
    assert [line.groups for line in lines] == [line.groups for line in scores_of(small_outcome())]


def test_a_stranger_computes_the_same_intervals_and_ranks_from_the_published_files(tmp_path: Path) -> None:
    outcome = hidden_outcome()
    path = tmp_path / "scores.jsonl"
    path.write_text(scores_text(scores_of(outcome)), encoding="utf-8")
    lines = [line for line in read_scores(path) if isinstance(line, ScoreLine)]
    competition = run_of(tmp_path, results_of(outcome), lines).competitions[0]
    assert competition.groups == outcome.sets[COMPETITION.id].groups
    for entry in competition.rows:
        for name, written in entry.row.metrics.items():
            own = mean_estimate(competition.values(entry, name), competition.labels)
            assert (own.mean, own.low, own.high) == (written.mean, written.low, written.high)
            assert own.effective_n == written.effective_n


def test_a_run_of_an_old_version_has_no_groups(tmp_path: Path) -> None:
    lines = [line.model_copy(update={"groups": {}}) for line in scores_of(small_outcome())]
    results = results_of(small_outcome())
    run = run_of(tmp_path, results, lines)
    assert run.competitions[0].groups is None
    assert "intervals: each clip counted as independent" in report_markdown(run)
    assert "intervals: effective " in report_markdown(run_of(tmp_path, results, list(scores_of(small_outcome()))))
