"""A verdict on other clips than the seed gives: whoever can draw the sets does not list it, so it never settles."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import valid_signature
from soundsright.core.errors import InfrastructureFault
from soundsright.core.federation import StatedMaterial, Verdict
from soundsright.core.material import PUBLIC_MATERIAL
from soundsright.core.ports import Pool
from soundsright.services.federation import (
    KnownVerdicts,
    SetDrawing,
    TaskSettings,
    drawing_settings,
    drawn_sets,
    open_view,
    view_key,
)
from soundsright.services.federation.private_corpora import PrivateCorpora, agreed_sources
from soundsright.services.federation.set_checks import SETS
from soundsright.services.federation.weights import TABLE
from soundsright.services.federation.winners import payable
from soundsright.services.records import TurnState, read_federation_table
from soundsright.services.rounds import material_digest
from soundsright.testing import MemoryRecords
from soundsright.testing.simulation.world import draw_fake_clips
from tests.services.federation.published import sha
from tests.services.federation.samplers import fake_pool
from tests.services.federation.voters import ALICE, BOB, NAMES, ORGANISER, Voters, small_rules

FIRST, PAID = 80, 180
"""The epoch that the tests decide, and the block from which on its winners are paid."""
TASKS = range(4, 9)
RULES = replace(small_rules(), pay_on_public=True)
SHIPPED = TaskSettings(RULES, ORGANISER, PUBLIC_MATERIAL)
STATED = StatedMaterial(material_digest(PUBLIC_MATERIAL), NAMES)


class Drawing:
    """The validators of a federation on the shipped recordings, and the drawing of each one's sampler."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.voters = Voters(folder, rules=RULES, count=5)
        self.voters.publish_list()
        self.voters.advance_to(FIRST)
        self.drawings: dict[str, SetDrawing] = {}

    def right(self, task: int) -> dict[str, str]:
        block_hash = self.voters.chain.block_hash(task * RULES.interval_blocks)
        drawn = drawn_sets(SHIPPED, task, block_hash, self.folder / "right" / str(task), fake_pool())
        return {name: clips.digest for name, clips in drawn.items()}

    def produce(self, task: int, step: int = 0, **changes: Any) -> Verdict:
        given = {"sets": self.right(task), "material": STATED, **changes}
        made = self.voters.verdict(task, step, **given)
        self.voters.put(made)
        return made

    def start(self, *addresses: str, draws: bool = True, pool: Pool | None = None) -> None:
        for address in addresses or self.voters.addresses:
            settings = drawing_settings(SHIPPED) if draws else ()
            self.voters.start(address, draws=settings)
            known = KnownVerdicts(self.voters.context(address, draws=settings))
            folder = self.folder / "drawn" / address
            self.drawings[address] = SetDrawing(known, pool or fake_pool(), self.voters.clock, folder)

    def known(self, address: str) -> KnownVerdicts:
        return KnownVerdicts(self.voters.context(address, draws=drawing_settings(SHIPPED)))

    def step(self, block: int) -> None:
        """Work in a block: read, draw, and read again."""
        self.voters.advance_to(block)
        self.voters.tick()
        for drawing in self.drawings.values():
            drawing.draw()
        self.voters.tick()

    def decide(self) -> None:
        for block in range(FIRST, PAID + 1, 10):
            self.step(block)

    def listed(self, address: str, epoch: int) -> dict[int, set[str]]:
        """The validators whose verdicts stand in a view, by task."""
        raw = self.voters.buckets[address].inner.get(view_key(epoch, address), 1 << 20)
        view = open_view(raw, valid_signature=valid_signature).view
        return {task: set(verdicts) for task, verdicts in view.verdicts.items()}


@pytest.fixture
def drawing(tmp_path: Path) -> Drawing:
    return Drawing(tmp_path)


def lie(drawing: Drawing) -> str:
    """Honest verdicts find ALICE better. One validator judges BOB on clips of its choice. Returns the liar."""
    voters = drawing.voters
    for task in TASKS:
        if task == 6:
            voters.quality = {ALICE: 0.3, BOB: 0.9}
            liar = drawing.produce(task, sets={name: sha(f"chosen {name}") for name in NAMES}).validator
            voters.quality = {ALICE: 0.6, BOB: 0.5}
        else:
            drawing.produce(task)
    return liar


def test_a_verdict_on_other_clips_never_settles_and_honest_validators_agree(
    drawing: Drawing, caplog: pytest.LogCaptureFixture
) -> None:
    liar = lie(drawing)
    honest = [address for address in drawing.voters.addresses if address != liar]
    drawing.start()
    with caplog.at_level(logging.WARNING):
        drawing.decide()
    for address in honest:
        assert {task for task, listed in drawing.listed(address, FIRST + 40).items() if listed} == {4, 5, 7, 8}
        assert drawing.voters.payees()[address] == {ALICE: 1.0}
        decided = drawing.voters.running[address]._winners.of_epoch(FIRST)
        assert decided is not None
        assert decided.tasks == 3  # Of the four settled tasks, the newest does not count yet.
    assert drawing.listed(liar, FIRST + 40)[6] == {liar}
    table = read_federation_table(drawing.folder / "disk" / honest[0] / TABLE)
    assert 6 not in table.window
    turns = {(turn.task, turn.validator): turn for turn in table.turns}
    assert turns[6, liar].state is TurnState.REJECTED
    assert any(liar in line and "task 6" in line and "other clips" in line for line in table.problems)
    events = [record for record in caplog.records if getattr(record, "reason", "") == "wrong_set"]
    assert {(event.task, event.peer) for event in events} == {(6, liar)}  # type: ignore[attr-defined]


def test_if_nobody_draws_the_verdict_counts(drawing: Drawing) -> None:
    """It was so for everybody before sets were drawn. It shows what the drawing changes."""
    liar = lie(drawing)
    drawing.start(draws=False)
    drawing.decide()
    one = next(address for address in drawing.voters.addresses if address != liar)
    assert liar in drawing.listed(one, FIRST + 40)[6]


def test_a_minority_that_cannot_draw_changes_nothing(drawing: Drawing) -> None:
    liar = lie(drawing)
    blind, *others = (address for address in drawing.voters.addresses if address != liar)
    drawing.start(*others, liar)
    drawing.start(blind, draws=False)
    drawing.decide()
    assert liar in drawing.listed(blind, FIRST + 40)[6]
    assert {str(payees) for payees in drawing.voters.payees().values()} == {str({ALICE: 1.0})}
    for address in (blind, others[0]):
        table = read_federation_table(drawing.folder / "disk" / address / TABLE)
        assert table.weights == {ALICE: 1.0}


def test_a_verdict_whose_sets_are_not_drawn_waits_and_the_view_is_in_time(drawing: Drawing) -> None:
    for task in TASKS:
        drawing.produce(task)
    drawing.start(pool=broken_pool())
    drawing.step(FIRST)
    one = drawing.voters.addresses[0]
    assert "are not drawn yet" in drawing.voters.problems(one)
    drawing.step(FIRST + 10)
    assert all(listed <= {one} for listed in drawing.listed(one, FIRST).values())
    drawing.start()
    drawing.step(FIRST + 40)
    assert {task for task, listed in drawing.listed(one, FIRST + 40).items() if listed} == set(TASKS)


def broken_pool() -> Pool:
    def full(*_args: object) -> None:
        raise InfrastructureFault("The disk is full", "Free some space.")

    return fake_pool(full)


def test_each_task_is_drawn_once_also_after_a_restart(drawing: Drawing) -> None:
    for task in TASKS:
        drawing.produce(task)
    one = drawing.voters.addresses[0]
    drawing.start(one)
    drawing.step(FIRST)
    records = drawing.voters.records[one]
    others = {task for task in TASKS if drawing.voters.verdict(task).validator != one}
    assert {int(row.key.partition("-")[0]) for row in records.read(SETS)} == others
    drawing.start(one, pool=broken_pool())
    drawing.step(FIRST + 10)
    assert len(records.read(SETS)) == len(others)
    assert not (drawing.folder / "drawn" / one).exists()


def test_a_pass_is_bounded_and_a_failing_task_does_not_stop_the_others(
    drawing: Drawing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundsright.services.federation.set_drawing.AT_ONCE", 2)
    for task in TASKS:
        drawing.produce(task)
    one = drawing.voters.addresses[0]
    drawing.start(one, pool=failing_once())
    drawing.step(FIRST)
    records = drawing.voters.records[one]
    assert records.read(SETS) == ()
    for done in (2, 4):
        drawing.voters.clock.sleep(1_000)
        drawing.drawings[one].draw()
        assert len(records.read(SETS)) == done


def failing_once() -> Pool:
    calls: list[int] = []

    def draw(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise InfrastructureFault("The disk is full", "Free some space.")
        return draw_fake_clips(*args)

    return fake_pool(draw)


@pytest.mark.parametrize(
    "material",
    [
        StatedMaterial(sha("private"), (), committed_block=1),
        replace(STATED, speech={"engine": "another program"}),
        None,
    ],
)
def test_a_set_that_this_machine_cannot_draw_is_listed_as_before(
    drawing: Drawing, material: StatedMaterial | None
) -> None:
    for task in TASKS:
        drawing.produce(task, sets={name: sha(name) for name in NAMES}, material=material)
    drawing.start()
    drawing.step(FIRST)
    one = drawing.voters.addresses[0]
    assert set(drawing.listed(one, FIRST)) == set(TASKS)
    assert drawing.voters.records[one].read(SETS) == ()


def test_a_backup_waits_for_the_drawing_and_then_judges_in_place_of_a_wrong_verdict(drawing: Drawing) -> None:
    primary = drawing.produce(7, sets={name: sha(name) for name in NAMES}).validator
    one = next(address for address in drawing.voters.addresses if address != primary)
    known = drawing.known(one)
    assert known.shown(7, primary) is None
    SetDrawing(known, fake_pool(), drawing.voters.clock, drawing.folder / "own").draw()
    assert known.shown(7, primary) is False
    right = drawing.produce(6).validator
    two = next(address for address in drawing.voters.addresses if address != right)
    other = drawing.known(two)
    assert other.shown(6, right) is None
    SetDrawing(other, fake_pool(), drawing.voters.clock, drawing.folder / "own").draw()
    assert other.shown(6, right) is True


def test_recordings_that_one_validator_alone_states_pay_nobody(drawing: Drawing) -> None:
    """Nobody else can draw their sets. So whoever states them could choose its clips."""
    made_up = replace(STATED, digest=sha("made up"))
    honest = [drawing.produce(task) for task in (5, 6, 7)]
    alone = drawing.produce(4, material=made_up, sets={name: sha(name) for name in NAMES})
    own = drawing.voters.material(drawing.voters.verdict(8).validator, 8)
    committed = drawing.produce(8, material=replace(own, public=NAMES))
    agreed = agreed_sources([*honest, alone, committed], drawing.voters.addresses)
    corpora = PrivateCorpora(drawing.voters.chain, MemoryRecords(), RULES.interval_blocks)  # type: ignore[arg-type]
    for verdict in (*honest, committed):
        assert payable(verdict, corpora, pays_on_public=True, agreed=agreed).rows == verdict.rows != ()
    assert payable(alone, corpora, pays_on_public=True, agreed=agreed).rows == ()
