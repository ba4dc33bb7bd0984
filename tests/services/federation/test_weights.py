"""The federation's system inside a validator: all come to the same winners, and none guesses."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.federation import StatedMaterial
from soundsright.core.profiles import Profile
from soundsright.services.federation import evidence_key
from soundsright.services.federation.weights import TABLE, decidable_epoch
from soundsright.services.records import TurnState, read_federation_table
from tests.services.federation.places import away
from tests.services.federation.published import sha
from tests.services.federation.voters import ALICE, BOB, CAROL, NAMES, Voters, small_rules

FIRST = 80
"""The epoch that the tests decide. Its views are on the chain by block 100."""
TASKS = range(4, 9)
"""Tasks that the owner's list gives turns for, up to that epoch."""
ALL = {ALICE: 1.0}


@pytest.fixture
def voters(tmp_path: Path) -> Voters:
    """A list since block 1, and a verdict on each task until the first epoch."""
    made = Voters(tmp_path)
    made.publish_list()
    made.advance_to(FIRST)
    made.produce(TASKS)
    return made


def decide(voters: Voters, *addresses: str) -> None:
    """Let them publish their views of the first epoch, and decide it."""
    voters.tick(*addresses)
    voters.advance_to(FIRST + 20)
    voters.tick(*addresses)


def test_all_validators_pay_the_same_winner(voters: Voters) -> None:
    voters.start()
    voters.tick()
    assert set(voters.payees().values()) == {None}
    decide(voters)
    assert list(voters.payees().values()) == [ALL] * 3
    assert all("federation.winners" not in health.problems() for health in voters.health.values())


def test_a_decision_saves_the_table_for_pages(voters: Voters) -> None:
    voters.start()
    decide(voters)
    one = voters.addresses[0]
    table = read_federation_table(voters.folder / "disk" / one / TABLE)
    assert (table.epoch_block, table.window) == (FIRST, tuple(range(4, 8)))
    assert [(row.hotkey, row.rank) for row in table.ranks[:2]] == [(ALICE, 1), (BOB, 2)]
    assert {turn.state for turn in table.turns if turn.task in table.window} == {TurnState.ON_TIME}
    assert table.weights == ALL
    assert table.problems == ()


def test_a_restart_pays_the_same_without_reading_anything(voters: Voters) -> None:
    voters.start()
    decide(voters)
    one = voters.addresses[0]
    voters.quality[ALICE] = 0.1
    for bucket in voters.buckets.values():
        bucket.fault = away
    voters.start(one)
    voters.running[one].tick(FIRST + 21, voters.chain.neurons())
    assert voters.running[one].payees() == ALL


def test_a_winner_that_is_no_longer_registered_is_not_paid(voters: Voters) -> None:
    voters.start()
    decide(voters)
    voters.chain.deregister(ALICE)
    voters.tick()
    assert list(voters.payees().values()) == [{}] * 3


def test_a_bucket_that_only_one_cannot_read_changes_nothing_for_anybody(voters: Voters) -> None:
    """In the original, a validator that could not read a fifth of the buckets kept another winner than the rest."""
    one, two, _ = voters.addresses
    blind = dict(voters.buckets)
    blind[two] = type(voters.buckets[two])(voters.buckets[two].inner, away)
    voters.start()
    voters.start(one, buckets=blind)
    voters.tick()
    assert "cannot be read" in voters.problems(one)
    voters.advance_to(FIRST + 11)
    decide(voters)
    voters.tick()  # By now the others serve copies of the view that this one cannot read from its author.
    assert list(voters.payees().values()) == [ALL] * 3


def test_a_view_that_cannot_be_read_is_unknown_and_is_read_later(voters: Voters) -> None:
    one, two, three = voters.addresses
    voters.start()
    voters.tick(two, three)
    voters.tick(one)
    for other in (two, three):
        voters.buckets[other].fault = lambda key: away(key) if key.startswith(("views/", "mirror/")) else None
    voters.advance_to(FIRST + 20)
    voters.tick(one)
    assert voters.running[one].payees() is None
    assert "cannot be read, and could change the result" in voters.problems(one)
    for bucket in voters.buckets.values():
        bucket.fault = lambda key: None
    voters.tick(one, times=3)
    assert voters.running[one].payees() == ALL


def test_a_verdict_that_is_gone_from_its_authors_bucket_comes_from_a_mirror(voters: Voters) -> None:
    one, two, three = voters.addresses
    voters.start(two, three)
    voters.tick(two, three)
    for address in voters.addresses:
        voters.buckets[address].fault = lambda key: away(key) if "evaluation_results" in key else None
    voters.start(one)
    voters.advance_to(FIRST + 20)
    voters.tick(one)
    assert voters.running[one].payees() == ALL


def test_without_a_majority_of_views_nobody_decides(voters: Voters) -> None:
    one = voters.addresses[0]
    voters.start(one)
    decide(voters)
    assert voters.running[one].payees() is None
    assert "has 1 usable views, and 2 are a majority" in voters.problems(one)


def test_without_a_list_of_validators_nothing_is_published_and_the_last_weights_stay(tmp_path: Path) -> None:
    voters = Voters(tmp_path)
    voters.advance_to(FIRST)
    voters.start()
    decide(voters)
    assert set(voters.payees().values()) == {None}
    assert "was committed to no list of validators" in voters.problems(voters.addresses[0])
    assert [commitment.hotkey for commitment in voters.chain.commitments()] == []


def test_the_incumbent_defends_in_the_next_epoch(voters: Voters) -> None:
    voters.start()
    decide(voters)
    voters.quality = {ALICE: 0.6, CAROL: 0.6}
    voters.chain.register(CAROL)
    voters.advance_to(FIRST + 40)
    voters.produce(range(9, 13))
    voters.tick()
    voters.advance_to(FIRST + 60)
    voters.tick()
    assert list(voters.payees().values()) == [ALL] * 3


def test_recordings_that_anybody_may_have_heard_pay_nobody_unless_the_setting_allows_it(tmp_path: Path) -> None:
    voters = Voters(tmp_path, public=NAMES)
    voters.publish_list()
    voters.advance_to(FIRST)
    voters.produce(TASKS)
    one, two, three = voters.addresses
    voters.start(one, two)
    voters.start(three, pays_on_public=True)
    decide(voters)
    assert voters.payees() == {one: {}, two: {}, three: ALL}


def test_a_competition_with_public_speech_burns_its_part_only(tmp_path: Path) -> None:
    voters = Voters(tmp_path, public=NAMES[:1])
    voters.publish_list()
    voters.advance_to(FIRST)
    voters.produce(TASKS)
    voters.start()
    decide(voters)
    assert list(voters.payees().values()) == [{ALICE: 0.5}] * 3


def test_a_verdict_that_says_nothing_of_its_recordings_pays_nobody(tmp_path: Path) -> None:
    voters = Voters(tmp_path)
    voters.publish_list()
    voters.advance_to(FIRST)
    voters.produce(TASKS, material=None)
    voters.start()
    decide(voters)
    assert list(voters.payees().values()) == [{}] * 3


def test_a_task_with_two_verdicts_of_one_validator_counts_for_nobody(voters: Voters) -> None:
    voters.start()
    voters.tick()
    author = voters.verdict(8).validator
    liar = voters.verdict(8, material=StatedMaterial(sha("another corpus")))
    others = [address for address in voters.addresses if address != author]
    for each in others:
        memory = voters.running[each]._work._memory
        assert memory is not None
        account = next(a for a in voters.accounts if a.address == author)
        from soundsright.services.federation import sign_verdict

        memory.verdicts.take(sign_verdict(liar, account))
    voters.advance_to(FIRST + 40)
    voters.produce(range(9, 13))
    voters.tick()
    assert voters.buckets[others[0]].inner.get(evidence_key(8, author), 10_000_000)
    voters.advance_to(FIRST + 60)
    voters.tick()
    decided = voters.running[others[0]]._winners.last()
    assert decided is not None
    # Tasks 4 to 11 count, without task 8.
    assert (decided.epoch_block, decided.tasks) == (FIRST + 40, 7)
    assert len({str(each) for each in voters.payees().values()}) == 1


@pytest.mark.parametrize("profile", [Profile.DOC, Profile.CODE])
def test_the_older_profiles_decide_by_their_own_reading(tmp_path: Path, profile: Profile) -> None:
    voters = Voters(tmp_path, small_rules(profile), count=5)
    voters.publish_list()
    voters.advance_to(FIRST)
    voters.produce(TASKS)
    voters.start()
    voters.tick()
    assert list(voters.payees().values()) == [ALL] * 5
    assert len(voters.chain.commitments()) == 1
    blind = voters.addresses[0]
    for other in voters.addresses[3:]:
        voters.buckets[other].fault = away
    voters.advance_to(FIRST + 40)
    voters.produce(range(9, 13))
    voters.quality = {BOB: 0.9}
    voters.tick()
    assert voters.running[blind].payees() is None
    assert "2 of 5 buckets cannot be read" in voters.problems(blind)


def test_the_epoch_that_can_be_decided_has_its_views_on_the_chain() -> None:
    rules = small_rules()
    assert [decidable_epoch(block, rules) for block in (0, 19, 20, 59, 60)] == [None, None, 0, 0, 40]
    assert decidable_epoch(40, small_rules(Profile.DOC)) == 40
