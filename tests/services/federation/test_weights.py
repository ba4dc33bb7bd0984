"""The federation's system inside a validator: all come to the same winners, and none guesses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.corpus_commitment import CorpusCommitment
from soundsright.core.errors import ChainUnavailable
from soundsright.core.federation import StatedMaterial
from soundsright.core.federation_commitments import view_commitment_in
from soundsright.core.profiles import Profile
from soundsright.core.submission import Commitment
from soundsright.services.federation import evidence_key, view_key
from soundsright.services.federation.private_corpora import PrivateCorpora, agreed_sources
from soundsright.services.federation.stated import stated_epoch
from soundsright.services.federation.weights import TABLE, decidable_epoch
from soundsright.services.federation.winners import payable
from soundsright.services.records import TurnState, read_federation_table
from soundsright.testing import FakeChain, MemoryRecords
from tests.services.federation import published
from tests.services.federation.places import Watched, away
from tests.services.federation.published import sha
from tests.services.federation.voters import ALICE, BOB, CAROL, NAMES, Voters, scores, small_rules

FIRST = 80
"""The epoch that the tests decide. Its views are stated by block 100 and read by 140, its winners stated by 180."""
PAID = FIRST + 100
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
    """Let them publish their views of the first epoch, decide it, and pay its winners."""
    for block in range(FIRST, PAID + 1, 10):
        voters.advance_to(block)
        voters.tick(*addresses)


def last_decided(voters: Voters, address: str) -> int | None:
    """The last epoch that a validator has decided."""
    decided = voters.running[address]._winners.last()
    return None if decided is None else decided.epoch_block


def no_views(key: str) -> bytes | None:
    return away(key) if key.startswith(("views/", "mirror/")) else None


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
    assert (table.epoch_block, table.window) == (FIRST + 40, tuple(range(4, 8)))
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
    voters.running[one].tick(PAID + 1, voters.chain.neurons())
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


def test_a_validator_that_can_read_no_view_pays_what_the_others_state_and_decides_later(voters: Voters) -> None:
    one, *others = voters.addresses
    blind = dict(voters.buckets)
    for other in others:
        blind[other] = Watched(voters.buckets[other].inner, no_views)
    voters.start()
    voters.start(one, buckets=blind)
    decide(voters)
    assert list(voters.payees().values()) == [ALL] * 3
    assert voters.running[one]._winners.last() is None
    for other in others:
        blind[other].fault = lambda key: None
    voters.tick(one, times=3)
    assert last_decided(voters, one) == last_decided(voters, others[0]) == FIRST + 40


def test_a_view_that_is_shown_to_nobody_stops_nobody(voters: Voters) -> None:
    hidden, *others = voters.addresses
    voters.buckets[hidden].fault = no_views
    voters.start()
    decide(voters)
    assert list(voters.payees().values()) == [ALL] * 3
    assert [last_decided(voters, address) for address in others] == [FIRST + 40] * 2
    assert not any("federation.winners" in voters.health[address].problems() for address in others)


def test_a_verdict_that_is_gone_from_its_authors_bucket_comes_from_a_mirror(voters: Voters) -> None:
    one, two, three = voters.addresses
    voters.start(two, three)
    voters.tick(two, three)
    for address in voters.addresses:
        voters.buckets[address].fault = lambda key: away(key) if "evaluation_results" in key else None
    voters.start(one)
    decide(voters)
    assert list(voters.payees().values()) == [ALL] * 3
    assert last_decided(voters, one) == FIRST + 40


def test_without_a_majority_of_views_nobody_decides(voters: Voters) -> None:
    one = voters.addresses[0]
    voters.start(one)
    decide(voters)
    assert voters.running[one].payees() is None
    assert "has 0 usable views, and 2 are a majority" in voters.problems(one)


def test_an_epoch_that_nobody_decides_delays_no_view(voters: Voters) -> None:
    one, later = voters.addresses[0], FIRST + 120
    voters.start(one)
    decide(voters)
    assert "federation.winners" in voters.health[one].problems()
    voters.advance_to(later)
    voters.running[one].tick(later, voters.chain.neurons())
    assert voters.running[one].settle(60.0)
    assert voters.buckets[one].head(view_key(later, one)).size_bytes > 0, "although no time has passed since"


def test_a_commitment_that_a_reorganisation_drops_is_made_again(voters: Voters) -> None:
    one = voters.addresses[0]
    voters.chain._unfinal = 3
    voters.advance_to(FIRST + 3)
    voters.start(one)
    voters.tick(one)
    assert "is not in a final block yet" in voters.problems(one)
    voters.chain._commitments = [each for each in voters.chain._commitments if each.hotkey != one]
    voters.tick(one)
    voters.advance_to(voters.chain.head().number + 3)
    voters.tick(one)
    assert one in {commitment.hotkey for commitment in voters.chain.snapshot(FIRST + 10).commitments}
    assert "federation.view" not in voters.health[one].problems()


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


@pytest.mark.parametrize(("allowed", "paid"), [(False, {}), (True, ALL)])
def test_recordings_that_anybody_may_have_heard_pay_only_if_the_rules_of_all_say_so(
    tmp_path: Path, allowed: bool, paid: dict[str, float]
) -> None:
    voters = Voters(tmp_path, replace(small_rules(), pay_on_public=allowed), public=NAMES)
    voters.publish_list()
    voters.advance_to(FIRST)
    voters.produce(TASKS)
    voters.start()
    decide(voters)
    assert list(voters.payees().values()) == [paid] * 3


def test_a_competition_with_public_speech_burns_its_part_only(tmp_path: Path) -> None:
    voters = Voters(tmp_path, public=NAMES[:1])
    voters.publish_list()
    voters.advance_to(FIRST)
    voters.produce(TASKS)
    voters.start()
    decide(voters)
    assert list(voters.payees().values()) == [{ALICE: 0.5}] * 3


def test_the_part_that_pays_is_made_once_so_later_epochs_find_its_columns() -> None:
    corpora = PrivateCorpora(FakeChain(), MemoryRecords(), 100)  # type: ignore[arg-type]
    spoken = {"program": "speak"}
    half = published.verdict(material=StatedMaterial(sha("c"), published.COMPETITIONS[:1], speech=spoken))
    agreed = agreed_sources([half], [half.validator])
    pays = payable(half, corpora, pays_on_public=False, agreed=agreed)
    assert payable(half, corpora, pays_on_public=False, agreed=agreed) is pays
    assert pays.columns is payable(half, corpora, pays_on_public=False, agreed=agreed).columns
    assert {row.competition for row in pays.rows} == {published.COMPETITIONS[1]}
    assert pays.sets == half.sets
    whole = published.verdict(material=StatedMaterial(sha("c"), speech=spoken))
    assert payable(whole, corpora, pays_on_public=False, agreed=agreed) is whole
    assert payable(half, corpora, pays_on_public=True, agreed=agreed) is half
    assert payable(half, corpora, pays_on_public=True).rows == ()


@pytest.mark.parametrize(
    "material",
    [
        StatedMaterial(sha("corpus")),
        StatedMaterial(sha("another corpus"), committed_block=1),
        StatedMaterial(sha("corpus"), committed_block=10**6),
        StatedMaterial(sha("corpus"), committed_block=0),
    ],
)
def test_private_recordings_that_were_not_committed_before_the_task_pay_nobody(
    tmp_path: Path, material: StatedMaterial
) -> None:
    voters = Voters(tmp_path)
    voters.publish_list()
    voters.advance_to(FIRST)
    voters.produce(TASKS, material=material)
    voters.start()
    decide(voters)
    assert list(voters.payees().values()) == [{}] * 3


@pytest.mark.parametrize(("speaking", "paid"), [(1, {}), (2, ALL)])
def test_spoken_recordings_need_no_commitment_if_a_majority_states_the_same_program(
    tmp_path: Path, speaking: int, paid: dict[str, float]
) -> None:
    voters = Voters(tmp_path)
    voters.publish_list()
    voters.advance_to(FIRST)
    for task in TASKS:
        number = voters.addresses.index(voters.verdict(task).validator)
        speech = {"engine": "espeak-ng"} if number < speaking else {"engine": f"made up {number}"}
        voters.put(voters.verdict(task, material=StatedMaterial(sha("voices"), speech=speech)))
    voters.start()
    decide(voters)
    assert list(voters.payees().values()) == [paid] * 3


def test_one_private_validator_among_public_ones_does_not_decide_alone(tmp_path: Path) -> None:
    voters = Voters(tmp_path, public=NAMES)
    voters.publish_list()
    voters.advance_to(FIRST)
    for task in TASKS:
        verdict = voters.verdict(task)
        is_private = verdict.validator == voters.addresses[1]
        material = replace(voters.material(verdict.validator, task), public=() if is_private else NAMES)
        voters.put(voters.verdict(task, material=material))
    voters.start()
    decide(voters)
    assert list(voters.payees().values()) == [{}] * 3


def test_a_commitment_that_the_chain_does_not_tell_is_unknown_and_is_found_later(tmp_path: Path) -> None:
    class Silent(FakeChain):
        is_silent = True

        def commitments(self) -> tuple[Commitment, ...]:
            if self.is_silent:
                raise ChainUnavailable("no answer", "Wait.")
            return super().commitments()

    chain, records = Silent(unfinal=0), MemoryRecords()
    verdict = published.verdict(material=StatedMaterial(sha("corpus"), committed_block=1))
    chain.publish(verdict.validator, CorpusCommitment(sha("corpus"), "0" * 16).text)
    corpora = PrivateCorpora(chain, records, 100)  # type: ignore[arg-type]
    with pytest.raises(ChainUnavailable):
        payable(verdict, corpora, pays_on_public=False)
    chain.is_silent = False
    assert payable(verdict, corpora, pays_on_public=False) is verdict
    chain.is_silent = True
    again = PrivateCorpora(chain, records, 100)  # type: ignore[arg-type]
    assert payable(verdict, again, pays_on_public=False) is verdict


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
    for block in range(FIRST + 60, PAID + 1, 20):
        voters.advance_to(block)
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
    assert not any(view_commitment_in(each.digest) for each in voters.chain.commitments())
    blind = voters.addresses[0]
    for other in voters.addresses[3:]:
        voters.buckets[other].fault = away
    voters.advance_to(FIRST + 40)
    voters.produce(range(9, 13))
    voters.quality = {BOB: 0.9}
    voters.tick()
    assert voters.running[blind].payees() is None
    assert "2 of 5 buckets cannot be read" in voters.problems(blind)


def test_an_epoch_can_be_decided_once_the_next_one_has_stated_who_has_read_its_views() -> None:
    rules = small_rules()
    assert [stated_epoch(block, rules) for block in (0, 19, 20, 59, 60)] == [None, None, 0, 0, 40]
    assert [decidable_epoch(block, rules) for block in (20, 59, 60, 99, 100)] == [None, None, 0, 0, 40]
    assert stated_epoch(40, small_rules(Profile.DOC)) == decidable_epoch(40, small_rules(Profile.DOC)) == 40


def test_nobody_decides_until_a_majority_has_judged(tmp_path: Path) -> None:
    """After a change of the rules the first verdicts are those of two of five validators."""
    voters = Voters(tmp_path, count=5)
    voters.publish_list()
    voters.advance_to(FIRST)
    voters.produce(range(5, 7))
    voters.start()
    decide(voters)
    assert set(voters.payees().values()) == {None}
    assert "1 validators count, and 3 are a majority" in voters.problems(voters.addresses[0])


def test_one_liar_of_five_neither_crowns_its_miner_nor_dethrones_the_incumbent(tmp_path: Path) -> None:
    for number, (miner, value) in enumerate(((BOB, 0.99), (ALICE, -0.001), (BOB, 1e5))):
        voters = Voters(tmp_path / str(number), count=5)
        voters.publish_list()
        voters.advance_to(FIRST)
        for task in TASKS:
            honest = voters.verdict(task)
            lied = tuple(
                replace(row, means=scores(value), passed=value > 0.25) if row.hotkey == miner else row
                for row in honest.rows
            )
            voters.put(replace(honest, rows=lied) if honest.validator == voters.addresses[1] else honest)
        voters.start()
        decide(voters)
        assert list(voters.payees().values()) == [ALL] * 5
