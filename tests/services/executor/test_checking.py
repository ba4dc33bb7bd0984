"""A validator checks a round's seed, set and recordings itself, and pays nobody on what anybody may have heard."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import ChainUnavailable, HistoryGone, PeerUnavailable
from soundsright.core.material import Material
from soundsright.core.ports import Snapshot, TxResult
from soundsright.core.schedule import Schedule
from soundsright.core.unpaid import NOT_COMMITTED, PUBLIC_CORPUS
from soundsright.services.executor import SeenRounds, SignedOrder, Verdict
from soundsright.services.executor.executor_steps import MaterialStep
from soundsright.services.executor.openness import possible_corpus_rounds
from soundsright.services.rounds import material_digest
from soundsright.testing import MemoryRecords
from soundsright.testing.image_services import ScriptedTable
from tests.services.executor.world import START_S, Account, Judge, World, entry, valid_signature
from tests.services.private_corpus import private_material

A, B = entry("Aa", 80), entry("Bb", 60)
SECRETS = ("studio", "Speaker-", "Zebras", "recipe", "snr")
"""Words of the private recordings' names, speakers and texts, and of recipes."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An executor that has run a round on the shipped recordings."""
    made = World(tmp_path)
    made.play(A, B)
    return made


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return private_material(tmp_path_factory.mktemp("home"))


def private_world(folder: Path, material: Material) -> World:
    """An executor on a private corpus. Its first round commits to it, and its second begins after that."""
    made = World(folder, material=material)
    made.play(A)
    made.play(A, B)
    return made


def order_of(world: World, **check: Any) -> tuple[str, ...]:
    """The hotkeys that a validator would pay, best first."""
    table = world.service.table()
    service = ScriptedTable()
    raw = world.service.results(table.round_id)
    assert raw is not None
    service.documents[table.round_id] = raw
    organiser = world.context.organiser
    seen, check_of = SeenRounds(MemoryRecords()), world.check(**check)
    order = SignedOrder(service, Account.address, organiser, valid_signature, check_of, seen, Judge)
    return order(table)


def test_nobody_is_paid_on_recordings_that_anybody_has(world: World, caplog: pytest.LogCaptureFixture) -> None:
    verdict = world.check()(world.results())
    assert verdict.reason == PUBLIC_CORPUS
    assert "its recordings are public" in verdict.sentence
    with caplog.at_level("WARNING"):
        assert order_of(world) == ()
    assert verdict.sentence in caplog.text


def test_a_validator_may_pay_on_public_recordings_all_the_same(world: World) -> None:
    assert world.check(pays_on_public=True)(world.results()) == Verdict()
    assert order_of(world, pays_on_public=True) == ("Aa", "Bb")


def test_the_results_say_what_the_set_was_drawn_from(world: World) -> None:
    stated = world.results().material
    assert stated is not None
    assert (stated.digest, stated.is_public, stated.speech) == (material_digest(Material()), True, {})
    assert (stated.corpus_round, stated.committed_block) == (None, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["material"].update(is_public=False),
        lambda d: d["material"].update(is_public=False, speech={"engine": "flite"}),
        lambda d: d["material"].update(is_public=False, corpus_round=0, committed_block=1),
        lambda d: d.pop("material"),
    ],
)
def test_what_an_executor_says_of_its_recordings_opens_no_purse(
    world: World, change: Callable[[dict[str, Any]], object]
) -> None:
    assert world.check()(world.results(change)).reason == PUBLIC_CORPUS


def test_recordings_that_a_validator_does_not_have_count_as_public(world: World, private: Material) -> None:
    verdict = world.check(private)(world.results(lambda d: d["material"].update(is_public=False)))
    assert verdict.reason == PUBLIC_CORPUS
    assert "this validator does not have them" in verdict.sentence


@dataclass(frozen=True)
class Speech:
    """A program that speaks new sentences. Fake clips do not use its samples."""

    version: str = "1"
    repeats_itself: bool = True
    name: str = "fake"

    @property
    def facts(self) -> Mapping[str, str]:
        return {"engine": "fake", "version": self.version}

    def fills(self, sample_rate_hz: int) -> bool:
        return True

    def of_set(self, seed: int, count: int, cache: Path) -> Any:
        return None

    def highest_price_usd(self, count: int) -> float:
        return 0.0


def test_new_speech_is_paid_if_the_validator_draws_the_same_set_with_it(tmp_path: Path) -> None:
    world = World(tmp_path, material=Material(speech=Speech()))
    world.play(A, B)
    assert world.check()(world.results()) == Verdict()
    assert order_of(world) == ("Aa", "Bb")
    for other in (Speech("2"), Speech(repeats_itself=False)):
        assert world.check(Material(speech=other))(world.results()).reason == PUBLIC_CORPUS
    without = world.results(lambda d: d["material"].update(speech={}))
    assert world.check()(without).reason == PUBLIC_CORPUS


def test_a_private_corpus_is_paid_once_the_executor_has_committed_to_it(tmp_path: Path, private: Material) -> None:
    world = World(tmp_path, material=private)
    publish = world.chain.publish
    world.chain.publish = lambda *_: TxResult(False, "not_registered", "no")  # type: ignore[method-assign]
    world.play(A)
    verdict = world.check()(world.results())
    assert verdict.reason == NOT_COMMITTED
    assert "before block 10" in verdict.sentence
    world.chain.publish = publish  # type: ignore[method-assign]
    world.play(A, B)
    assert world.service.table().round_id == "images-10", "block 20 is before the commitment"
    world.play(A, B)
    assert world.check()(world.results()) == Verdict()
    assert order_of(world) == ("Aa", "Bb")
    stated = world.results().material
    assert stated is not None
    assert (stated.is_public, stated.corpus_round, stated.committed_block) == (False, 0, 21)


def test_a_commitment_after_the_seed_does_not_count(tmp_path: Path, private: Material) -> None:
    world = private_world(tmp_path, private)
    own = next(c for c in world.chain.commitments() if c.hotkey == Account.address)
    world.chain.publish(Account.address, "something else")
    # The state of the block before the seed still has it.
    assert world.check()(world.results()) == Verdict()
    world.chain.advance(1)
    world.chain.publish(Account.address, own.digest)
    assert world.check()(world.results()) == Verdict()

    def gone(_number: int | None = None) -> Any:
        raise HistoryGone("The state of that block is gone", "Use an archive node.")

    world.chain.snapshot = gone  # type: ignore[method-assign,assignment]
    world.chain.commitments = lambda: (replace(own, block=99),)  # type: ignore[method-assign]
    with pytest.raises(HistoryGone):
        world.check()(world.results())


def test_a_commitment_that_the_chain_no_longer_knows_is_not_said_to_be_missing(
    tmp_path: Path, private: Material
) -> None:
    world = World(tmp_path, material=private)
    snapshot = world.chain.snapshot

    def gone(number: int | None = None) -> Snapshot:
        if number is None:
            return snapshot()
        raise HistoryGone("The state of that block is gone", "Use an archive node.")

    world.chain.snapshot = gone  # type: ignore[method-assign]
    world.play(A)  # The commitment is after the seed's block, so an earlier one could be known from history only.
    stated = world.results().material
    assert stated is not None
    assert (stated.committed_block, stated.is_commitment_known) == (None, False)
    world.chain.snapshot = snapshot  # type: ignore[method-assign]
    world.play(A, B)
    stated = world.results().material
    assert stated is not None
    assert (stated.committed_block, stated.is_commitment_known) == (11, True)
    earlier = world.results(lambda d: d["material"].pop("is_commitment_known")).material
    assert earlier == stated, "results of earlier versions can be read"
    facts = stated.to_facts()
    del facts["is_commitment_known"]
    assert MaterialStep.from_facts(facts) == stated, "and their recorded rounds"


def test_nothing_of_a_private_corpus_is_in_results_or_table(tmp_path: Path, private: Material) -> None:
    world = private_world(tmp_path, private)
    table = world.service.table()
    raw = world.service.results(table.round_id)
    assert raw is not None
    shown = raw.decode() + json.dumps([row.facts() for row in table.rows]) + json.dumps(world.service.status())
    assert not [word for word in SECRETS if word in shown]
    folders = [path for path in tmp_path.rglob("private-round") if path.is_dir()]
    assert [stat.S_IMODE(folder.stat().st_mode) & 0o077 for folder in folders] == [0]
    outside = [p for p in tmp_path.rglob("*.wav") if "private-round" not in p.parts]
    assert outside == []
    world.check()(world.results())
    assert not (tmp_path / "check").exists()


def test_a_set_that_does_not_follow_from_the_seed_is_not_paid(world: World) -> None:
    check = world.check(pays_on_public=True)
    changes: list[tuple[Callable[[dict[str, Any]], object], str]] = [
        (lambda d: d.update(set_digest="e" * 64), "its set has the digest eeeeeeeeeeee"),
        (lambda d: d["unprocessed"]["clip-0000"].update(ESTOI=0.01), "the unprocessed clip clip-0000 has ESTOI"),
        (lambda d: d["unprocessed"].pop("clip-0000"), "are not those of its clips"),
        (
            lambda d: d.update(groups={"clip_ids": ["clip-0000"], "factors": {"noise": ["1"]}}),
            "its groups of clips",
        ),
        (lambda d: d["challenge"].update(clips=5), "its set has the digest"),
    ]
    for change, words in changes:
        with pytest.raises(PeerUnavailable, match=words) as caught:
            check(world.results(change))
        assert caught.value.code == "bad_table"


def test_another_choice_or_another_corpus_gives_another_basis(world: World, private: Material) -> None:
    materials = (None, private, Material(speech=Speech()), Material(speech=Speech("2")))
    checks = [world.check(each) for each in materials] + [world.check(pays_on_public=True)]
    # A wrong time of day decides for other recordings of a private corpus. To correct it must count.
    checks += [replace(world.check(), schedule=Schedule(time, every_days=1)) for time in (0, 3_600)]
    checks += [world.check(Material(noise="recordings"))]
    assert len({check.basis for check in checks}) == len(checks)
    assert world.check().basis == world.check().basis


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"block_hash": "0x" + "5" * 64}, "was drawn from the hash 0x5555555555 of block 10"),
        ({"seed_block": 15}, "cannot begin with block 15"),
        ({"seed_block": 20}, "cannot begin with block 20"),
        ({"competition": "OTHER"}, "it is the turn of"),
    ],
)
def test_a_round_of_another_seed_is_not_paid(world: World, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PeerUnavailable, match=words) as caught:
        world.check(pays_on_public=True)(world.results(lambda d: d["challenge"].update(changes)))
    assert caught.value.code == "bad_table"


def test_while_the_chain_lacks_the_block_nothing_is_known(world: World) -> None:
    late = World(world.folder / "late")
    check = replace(world.check(pays_on_public=True), chain=late.chain)  # type: ignore[arg-type]
    with pytest.raises(ChainUnavailable, match="is not final here yet"):
        check(world.results())


def test_the_round_of_a_corpus_is_known_without_an_archive(world: World) -> None:
    schedule = Schedule(time_of_day_s=0, every_days=1)
    day = int(START_S // 86_400)
    world.chain.advance(500)
    assert possible_corpus_rounds(world.chain, schedule, 10) == {day}  # type: ignore[arg-type]
    known = world.chain.timestamp_s

    def pruned(number: int) -> float:
        if number < world.chain.head().number - 256:
            raise ChainUnavailable("The state of that block is gone", "Use an archive node.")
        return known(number)

    world.chain.timestamp_s = pruned  # type: ignore[method-assign]
    assert possible_corpus_rounds(world.chain, schedule, 10) == {day}  # type: ignore[arg-type]
    # Near the start of a round, both are possible.
    at_s = round(known(10)) % 86_400
    near = Schedule(time_of_day_s=at_s, every_days=1)
    assert possible_corpus_rounds(world.chain, near, 10) == {day - 1, day}  # type: ignore[arg-type]
