"""Whole rounds with faults: the invariants hold, a broken rule is noticed, and a seed can be repeated."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from soundsright.copies import Unique
from soundsright.core.results import Evaluation, Leaderboard, Refusal, Weights
from soundsright.core.rulesets import SOUNDSRIGHT_V2
from soundsright.core.stopping import Stopping
from soundsright.core.submission import FetchedModel
from soundsright.ranking.weights import weights_of
from soundsright.services.rounds import decision, fetch_models
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.evaluator import EntryJob, Evaluator
from soundsright.services.rounds.faults import ProgramFault
from soundsright.services.rounds.retries import StuckEntry, refusal_of_stuck
from soundsright.testing.simulation.invariants import Violation
from soundsright.testing.simulation.simulator import BackwardsChain, simulate

SEEDS = 50
AGREEMENT = "validators agree on standings, decisions and weights"


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_every_invariant_is_true_after_a_round(first: int) -> None:
    results = [simulate(seed, rounds=1) for seed in range(first, first + 10)]
    assert sum(result.rounds for result in results) == 10
    assert sum(result.restarts for result in results) > 10
    assert all(result.checks == 33 for result in results)


def test_every_invariant_is_true_over_many_rounds_and_under_the_published_rules() -> None:
    assert simulate(1_000, rounds=6).rounds == 6
    assert simulate(1_001, rounds=3, ruleset=SOUNDSRIGHT_V2).rounds == 3


def test_every_invariant_is_true_in_rounds_that_stop_early() -> None:
    results = [simulate(seed, rounds=2, stopping=Stopping.SEQUENTIAL) for seed in range(2)]
    assert sum(result.stopped for result in results) >= 3
    assert sum(result.restarts for result in results) >= 3


def test_a_seed_replays_exactly() -> None:
    assert simulate(7, rounds=2) == simulate(7, rounds=2)
    assert simulate(7, rounds=2).digest != simulate(8, rounds=2).digest


class TestBrokenRulesAreNoticed:
    """Each test breaks one rule on purpose."""

    def violated(self, **options: Any) -> str:
        with pytest.raises(Violation) as caught:
            play_some(**options)
        return caught.value.invariant

    def test_copies_that_win_over_originals(self) -> None:
        assert "earliest" in self.violated(chain_view=BackwardsChain)

    def test_copies_that_stay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def keep_all(models: Sequence[FetchedModel], **_options: object) -> Unique:
            return Unique(tuple(models), ())

        for module in (fetch_models, decision):
            monkeypatch.setattr(module, "without_duplicates", keep_all)
        assert "earliest" in self.violated()

    def test_failed_clips_that_are_skipped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def without_failures(self: Evaluator, job: EntryJob) -> Evaluation:
            whole = recorded(self, job)
            scored = tuple(clip for clip in whole.clips if clip.failure is None)
            return dataclasses.replace(whole, clips=scored or whole.clips)

        recorded = Evaluator._recorded
        monkeypatch.setattr(Evaluator, "_recorded", without_failures)
        with pytest.raises((Violation, ProgramFault), match="clips"):
            play_some()

    def test_refused_entries_that_are_paid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def generous(boards: Sequence[Leaderboard], **options: Any) -> Weights:
            weights = weights_of(boards, **options)
            refused = [r.uid for board in boards for r in board.refusals if r.uid is not None]
            if not refused:
                return weights
            shared = {uid: weight / 2 for uid, weight in weights.by_uid.items()}
            return Weights({**shared, refused[0]: shared.get(refused[0], 0.0) + 0.5})

        monkeypatch.setattr(decision, "weights_of", generous)
        assert "refused" in self.violated()

    def test_entries_that_are_left_out_for_faults_of_the_harness(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hasty(
            context: RoundContext, stuck: Mapping[str, StuckEntry], _again: object, **_checks: object
        ) -> dict[str, Refusal]:
            return {entry_id: refusal_of_stuck(context, entry) for entry_id, entry in stuck.items()}

        monkeypatch.setattr(fetch_models, "MAX_INFRASTRUCTURE_TRIES", 1)
        monkeypatch.setattr(fetch_models, "retry_stuck_entries", hasty)
        assert self.violated() in ("only entries that cannot be run are left out unscored", AGREEMENT)

    def test_a_validator_that_does_everything_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def twice(self: Evaluator, job: EntryJob) -> Evaluation:
            first = evaluate(self, job)
            forget(self)
            evaluate(self, job)
            return first

        monkeypatch.setattr(Evaluator, "evaluate", twice)
        assert "requests each clip once" in self.violated()


def play_some(**options: Any) -> None:
    for seed in range(12):
        simulate(seed, rounds=2, **options)


evaluate = Evaluator.evaluate


def forget(evaluator: Evaluator) -> None:
    """Let the batches run again, as if none had been recorded."""
    state: Any = evaluator.context.state
    rows = state._port._own.steps
    for key in [key for key in rows if key[1].startswith("enhanced:")]:
        del rows[key]
