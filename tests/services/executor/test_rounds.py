"""Rounds of the executor: who takes part, what is published, and what a fault leaves as it was."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.content import image_content_hash
from soundsright.core.entry_rules import EntryRules
from soundsright.core.errors import EngineUnavailable, EntryRefused, ImageNotPulled, PeerUnavailable
from soundsright.core.images import NO_SCORE, image_row
from soundsright.core.profiles import Profile
from soundsright.core.results import Failure
from soundsright.services.executor.executor_steps import PARTICIPANTS, PUBLISHED
from soundsright.services.executor.participants import MAX_PARTICIPANTS
from soundsright.services.executor.service import ExecutorService
from soundsright.services.rounds import steps
from tests.services.executor.world import COMPETITION, RULES, Sandbox, World, entry

A, B, C, D = entry("Aa", 80), entry("Bb", 60), entry("Cc", 40), entry("Dd", 20)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def hotkeys(world: World) -> list[str]:
    return [hotkey for hotkey, _ in world.shown()]


def participants(world: World) -> list[str]:
    record = steps.read(world.state, world.state.rounds()[-1], PARTICIPANTS)
    assert record is not None
    return [each.hotkey for each in record.entries]


def test_a_round_ranks_the_images_and_publishes_them_at_once(world: World) -> None:
    world.play(B, A, blocks=0)
    assert world.shown() == [("Aa", NO_SCORE), ("Bb", NO_SCORE)]
    world.chain.advance(10)
    seen = []
    world.meter.before_run = lambda _hotkey, _number: seen.append(world.shown()[0][1])
    world.service.tick()
    assert set(seen) == {NO_SCORE}
    assert hotkeys(world) == ["Aa", "Bb"]
    assert world.service.table().round_id == "images-10"
    assert world.service.status()["state"] == "idle"
    assert world.problems == []


def test_the_scores_of_a_published_round_are_no_longer_staged_also_if_it_cannot_be_reported(world: World) -> None:
    def fails(_round_id: str, _table: object) -> None:
        raise PeerUnavailable("The tracker does not answer")

    world.service = ExecutorService(world.context, published=fails)
    world.play(A)
    assert world.service.table().round_id == "images-10"
    assert world.service.table().coming == {}
    assert world.service.status()["scored"] == 0


def test_more_images_than_results_can_have_wait_for_the_next_round(world: World) -> None:
    submitted = sorted(entry(f"H{n:03}".replace("0", "A"), 50) for n in range(MAX_PARTICIPANTS + 2))
    world.play(*submitted)
    assert participants(world) == [each.hotkey for each in submitted[:MAX_PARTICIPANTS]]
    world.play(*submitted)
    assert set(participants(world)) > {each.hotkey for each in submitted[MAX_PARTICIPANTS:]}


def test_a_failure_with_a_long_sentence_can_be_read_by_validators(world: World) -> None:
    """The sentence can have what a model wrote."""
    world.meter.failures["Aa"] = Failure("crashed", "ended: " + "x" * 9_000)
    world.play(A, B)
    row = world.service.table().rows[1]
    assert row.metrics.error == "crashed"
    assert image_row(row.facts()) == row


def test_the_scores_of_a_running_round_are_staged(world: World) -> None:
    coming = []
    world.meter.before_run = lambda hotkey, _number: coming.append((hotkey, dict(world.service.table().coming)))
    world.play(A, B)
    staged = dict(coming)["Bb"]
    assert list(staged) == [A.entry_id]
    assert staged[A.entry_id] > 0.7
    assert world.service.table().coming == {}


def test_without_a_new_submission_there_is_no_new_round(world: World) -> None:
    world.play(A)
    world.play(A)
    world.play(A)
    assert world.state.rounds() == ("images-10",)


def test_the_best_of_the_last_round_meet_the_new_ones_and_the_rest_waits(world: World) -> None:
    world.play(A, B, C)
    world.play(A, B, C, D)
    assert participants(world) == ["Aa", "Bb", "Dd"]
    assert world.shown()[-1] == ("Cc", "outranked")
    newer = entry("Cc", 90, at_s=140)
    world.play(A, B, newer, D)
    assert participants(world) == ["Aa", "Bb", "Cc"]
    assert hotkeys(world) == ["Cc", "Aa", "Bb", "Dd"]


def test_only_images_from_before_the_seed_take_part(world: World) -> None:
    late = entry("Bb", 90, at_s=121)
    world.play(A, late)
    assert participants(world) == ["Aa"]
    world.play(A, late)
    assert participants(world) == ["Aa", "Bb"]


def test_a_submission_during_a_round_waits_for_the_next(world: World) -> None:
    world.meter.before_run = lambda _hotkey, _number: world.service.take([A, B])
    world.play(A)
    assert participants(world) == ["Aa"]
    assert world.shown()[-1] == ("Bb", NO_SCORE)
    world.play(A, B)
    assert participants(world) == ["Aa", "Bb"]


def test_a_hotkey_that_left_the_list_no_longer_takes_part(world: World) -> None:
    world.play(A, B)
    world.play(B, C)
    assert participants(world) == ["Bb", "Cc"]
    assert hotkeys(world) == ["Bb", "Cc"]


def test_a_result_whose_image_was_replaced_meanwhile_is_dropped(world: World) -> None:
    newer = entry("Aa", 30, at_s=300)
    world.meter.before_run = lambda hotkey, _number: hotkey == "Bb" and world.service.take([newer, B])
    world.play(A, B)
    assert hotkeys(world) == ["Bb", "Aa"]
    assert world.shown()[-1] == ("Aa", NO_SCORE)
    record = steps.read(world.state, "images-10", PUBLISHED)
    assert record is not None
    assert record.dropped == (A.entry_id,)


def test_a_banned_hotkey_waits_for_a_new_submission(tmp_path: Path) -> None:
    world = World(tmp_path, entry_rules=EntryRules(banned_hotkeys={"Bb": 15}))
    world.play(A, B)
    assert participants(world) == ["Aa"]
    assert world.shown()[-1] == ("Bb", "blacklisted")
    world.play(A, B, C)
    assert participants(world) == ["Aa", "Cc"]
    world.play(A, entry("Bb", 60, at_s=200), C)
    assert participants(world) == ["Aa", "Cc", "Bb"]


def test_an_image_that_cannot_be_pulled_waits_for_a_new_submission(world: World) -> None:
    world.sandbox.faults["Bb"] = [ImageNotPulled("its registry is away", passing=True)] * 2
    world.play(A, B)
    assert world.sandbox.pulls.count("Bb") == RULES.pull_tries
    assert world.shown()[-1] == ("Bb", "pull_failed")
    world.play(A, B, C)
    assert participants(world) == ["Aa", "Cc"]
    assert world.shown()[-1] == ("Bb", "pull_failed")


def test_a_pull_that_succeeds_in_the_second_try_costs_nothing(world: World) -> None:
    world.sandbox.faults["Bb"] = [ImageNotPulled("the registry is slow", passing=True)]
    world.play(A, B)
    assert hotkeys(world) == ["Aa", "Bb"]


def test_a_refused_image_has_the_code_of_its_refusal_after_one_try(world: World) -> None:
    world.sandbox.faults["Bb"] = [EntryRefused("image_not_public", "127.0.0.1 is not a public registry")]
    world.play(A, B)
    assert world.sandbox.pulls.count("Bb") == 1
    assert world.shown()[-1] == ("Bb", "image_not_public")


def test_a_failed_run_fails_the_image_with_its_code(world: World) -> None:
    world.meter.failures["Aa"] = Failure("timeout", "enhance took longer than 120 s")
    world.play(A, B)
    assert world.shown()[0][0] == "Bb"
    row = world.service.table().rows[-1]
    assert (row.metrics.error, row.metrics.final_score) == ("timeout", 0.0)
    assert row.metrics.detail == "enhance took longer than 120 s"


def test_an_image_that_this_machine_cannot_run_is_set_aside_and_comes_again(world: World) -> None:
    world.meter.faults["Bb"] = [EngineUnavailable("no GPU")] * 5
    world.play(A, B)
    assert world.shown()[-1] == ("Bb", "not_evaluated")
    assert world.service.table().rows[-1].metrics.final_score == NO_SCORE
    world.meter.faults.clear()
    world.play(A, B)
    assert participants(world) == ["Aa", "Bb"]
    assert hotkeys(world) == ["Aa", "Bb"]


def test_an_engine_that_is_down_publishes_nothing_and_the_round_goes_on_later(world: World) -> None:
    world.meter.faults = {"Aa": [EngineUnavailable("down")] * 9, "Bb": [EngineUnavailable("down")] * 9}
    world.play(A, B)
    assert world.shown() == [("Aa", NO_SCORE), ("Bb", NO_SCORE)]
    assert "down" in world.problems[-1]
    assert world.service.status()["state"] == "waiting"
    world.meter.faults.clear()
    world.service.tick()
    assert world.service.table().round_id == ""
    world.clock.sleep(10)
    world.service.tick()
    assert hotkeys(world) == ["Aa", "Bb"]
    assert world.state.rounds() == ("images-10",)


def test_the_winner_of_before_stays_first_unless_a_lead_is_certain(world: World) -> None:
    world.play(B)
    world.play(B, slightly := entry("Cc", 63))
    assert hotkeys(world) == ["Bb", "Cc"]
    world.play(B, slightly, A)
    assert hotkeys(world) == ["Aa", "Cc", "Bb"]


def test_in_the_profile_doc_the_best_score_is_first(tmp_path: Path) -> None:
    world = World(tmp_path, rules=replace(RULES, profile=Profile.DOC))
    world.play(B)
    world.play(B, entry("Cc", 61))
    assert hotkeys(world) == ["Cc", "Bb"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"block_hash": "0x" + "1" * 64}, "SUBTENSOR_CHAIN_ENDPOINT"),
        ({"seed_block": 11}, "SOUNDSRIGHT_RULESET"),
        ({"competition_id": "ANOTHER"}, "SOUNDSRIGHT_RULESET"),
        ({"corpus_digest": "1" * 64}, "SOUNDSRIGHT_CORPUS"),
        ({"seed_block": 20}, "not final"),
        ({"clips": 1}, "too few for"),
    ],
)
def test_a_challenge_that_this_machine_cannot_confirm_begins_no_round(
    world: World, changes: dict[str, object], problem: str
) -> None:
    world.board.changes = changes
    world.play(A, blocks=15)
    assert problem in world.problems[-1]
    assert world.state.rounds() == ()


def test_challenges_of_other_competitions_are_left_out(tmp_path: Path) -> None:
    world = World(tmp_path, only=("another",))
    world.play(A)
    assert world.state.rounds() == ()
    assert world.problems == []
    world = World(tmp_path, only=(COMPETITION.id.lower(),))
    world.play(A)
    assert world.state.rounds() == ("images-10",)


def test_a_coordinator_that_is_away_changes_nothing(world: World) -> None:
    world.play(A)
    world.board.fault = PeerUnavailable("The coordinator is down")
    world.play(A, B)
    assert world.shown()[0][0] == "Aa"
    assert world.service.status()["state"] == "waiting"
    world.board.fault = None
    world.clock.sleep(600)
    world.service.tick()
    assert hotkeys(world) == ["Aa", "Bb"]


def test_before_the_first_seed_is_final_the_executor_is_idle(world: World) -> None:
    world.play(A, blocks=9)
    assert world.service.status()["state"] == "idle"
    assert world.problems == []


def test_a_round_under_other_rules_is_not_continued(world: World, tmp_path: Path) -> None:
    world.meter.faults["Aa"] = [EngineUnavailable("down")] * 9
    world.play(A)
    other = World(
        tmp_path, rules=replace(RULES, carry_over=3), state=world.state, records=world.records, chain=world.chain
    )
    other.service.tick()
    assert "began under other rules" in other.problems[-1]


def test_the_audio_of_old_rounds_is_removed(world: World, tmp_path: Path) -> None:
    entries = [entry("Aa", 50)]
    for number in range(5):
        entries.append(entry(f"N{'abcde'[number]}", 10))
        world.play(*entries)
    folders = sorted(path.name for path in (tmp_path / "rounds").iterdir())
    assert folders == ["images-30", "images-40", "images-50"]


class KeepingSandbox(Sandbox):
    """A sandbox that keeps the images it pulled until it is told which are wanted."""

    kept: Collection[str] = ()

    def forget_images(self, keep: Collection[str]) -> int:
        self.kept = frozenset(keep)
        return 1


def test_images_that_no_longer_stand_are_removed_after_a_round(world: World) -> None:
    sandbox = KeepingSandbox()
    world.service = ExecutorService(replace(world.context, sandbox=sandbox))
    world.play(A, B)
    assert len(sandbox.kept) == 2
    world.play(B, C)
    assert sandbox.kept == {image_content_hash(each.image) for each in (B, C)}
