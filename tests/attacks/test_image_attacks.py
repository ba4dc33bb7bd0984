"""Attacks on the executor, played with its real services on imitated images: what each one would earn, and earns.

Each attack is also played without its defence, where it pays. Otherwise a test would pass because nothing happens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import PeerUnavailable
from soundsright.core.images import ImageRow, PublishedTable, SubmittedImage
from soundsright.core.material import Material
from soundsright.services.executor import ImageJudge, Reading, SeenRounds, SignedOrder, Verdict, order_of_rows
from soundsright.services.executor.context import JudgeOf
from soundsright.services.records import EXECUTOR_RESULTS, sign_document
from soundsright.testing import MemoryRecords
from soundsright.testing.image_services import ScriptedTable
from tests.services.executor.world import Account, Judge, World, entry, valid_signature
from tests.services.private_corpus import private_material

HONEST = entry("Honest", 80, at_s=1)


@dataclass
class Trusting:
    """A validator that checks neither seed nor recordings, as before the defences."""

    basis: str = "trusting"

    def __call__(self, _results: object) -> Verdict:
        return Verdict()


@dataclass
class Arena:
    """An executor, and the validator that pays by it. `restart` keeps the validator's state."""

    world: World
    check: Any
    records: MemoryRecords = field(default_factory=MemoryRecords)
    service: ScriptedTable = field(default_factory=ScriptedTable)
    judge_of: JudgeOf = Judge

    def __post_init__(self) -> None:
        self.restart()

    def restart(self, *, forgets: bool = False) -> None:
        seen = SeenRounds(MemoryRecords() if forgets else self.records)
        organiser = self.world.context.organiser
        self.order = SignedOrder(
            self.service, Account.address, organiser, valid_signature, self.check, seen, self.judge_of
        )

    def played(self, *entries: SubmittedImage) -> PublishedTable:
        """The table after a round with these images."""
        self.world.play(*entries)
        table = self.world.service.table()
        raw = self.world.service.results(table.round_id)
        assert raw is not None
        self.service.documents[table.round_id] = raw
        return table

    def change(self, table: PublishedTable, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the results of a round, signed by the executor itself."""
        document = json.loads(json.loads(self.service.documents[table.round_id])["document"])
        change(document)
        self.service.documents[table.round_id] = sign_document(EXECUTOR_RESULTS, document, Account()).encode()

    def winner(self, table: PublishedTable) -> str | None:
        """Whom the validator pays; None if the share burns."""
        return next(iter(self.order(table)), None)


def arena(folder: Path, *, trusts: bool = False, material: Material | None = None) -> Arena:
    world = World(folder) if material is None else World(folder, material=material)
    # Public recordings are paid in the attacks that are not about them.
    return Arena(world, Trusting() if trusts else world.check(pays_on_public=True))


# The image contains the recordings, and answers with the clean speech.
PARROT = entry("Parrot", 100, at_s=2)


def test_a_parrot_of_public_recordings_earns_nothing(tmp_path: Path) -> None:
    before = arena(tmp_path / "before", trusts=True)
    assert before.winner(before.played(HONEST, PARROT)) == "Parrot"
    now = arena(tmp_path / "now")
    now.check = now.world.check()
    now.restart()
    assert now.winner(now.played(HONEST, PARROT)) is None


def test_an_executor_that_calls_its_recordings_private_helps_no_parrot(tmp_path: Path) -> None:
    now = arena(tmp_path)
    now.check = now.world.check()
    now.restart()
    table = now.played(HONEST, PARROT)
    now.change(table, lambda d: d["material"].update(is_public=False, corpus_round=0, committed_block=1))
    assert now.winner(table) is None


def test_on_a_private_corpus_the_honest_image_is_paid(tmp_path: Path) -> None:
    """The parrot knows none of the recordings, so it is no better than its model."""
    now = arena(tmp_path / "world", material=private_material(tmp_path / "home"))
    now.check = now.world.check()
    now.restart()
    now.world.play(HONEST)  # It commits the executor to its corpus.
    assert now.winner(now.played(HONEST, entry("Parrot", 60, at_s=130))) == "Honest"


@pytest.mark.parametrize("name", ["lab/q95-t1", "other.example/q95-t1"])
def test_a_copy_of_the_winners_digest_earns_nothing(tmp_path: Path, name: str) -> None:
    copy = replace(entry("Copy", 95, at_s=2), image=replace(HONEST.image, repository=name))
    before = arena(tmp_path / "before", trusts=True)
    before.world.context.store.images.original_of = lambda _entry: None  # type: ignore[method-assign,assignment]
    table = before.played(HONEST, copy)
    assert table.rows[0].submission.hotkey == "Copy"
    assert before.winner(table) == "Honest"  # The validator refuses it nevertheless.
    now = arena(tmp_path / "now")
    table = now.played(HONEST, copy)
    assert now.winner(table) == "Honest"
    refused = next(row for row in table.rows if row.submission.hotkey == "Copy")
    assert (refused.metrics.error, refused.metrics.final_score) == ("same_content_hash", 0.0)


SLOW = replace(HONEST, image=entry("Honest", 80, time_s=20).image)
COPY = entry("Copy", 80, time_s=20, at_s=2)
"""The honest model in another build: its digest and layers differ, its output and its time do not."""


def timed(folder: Path, *, alike: Sequence[tuple[str, str]] = (("Honest", "Copy"),)) -> Arena:
    """An executor with the real judge and enough clips for its test."""
    world = World(folder, judge_of=ImageJudge, clips=12)
    world.alike = list(alike)
    return Arena(world, world.check(pays_on_public=True), judge_of=ImageJudge)


def error_of(table: PublishedTable, hotkey: str) -> str | None:
    return next(row.metrics.error for row in table.rows if row.submission.hotkey == hotkey)


@pytest.mark.parametrize("luck", [(0.96, 0.96), (0.5, 1.01), (1.01, 0.5), (0.955, 0.5)])
def test_a_copy_with_lucky_times_earns_nothing(tmp_path: Path, luck: tuple[float, float]) -> None:
    """A machine that was a little faster, or one disturbed run of the original, makes no better model."""
    before = timed(tmp_path / "before", alike=())
    before.world.meter.luck["Copy"] = luck
    assert before.winner(before.played(SLOW, COPY)) == "Copy"
    now = timed(tmp_path / "now")
    now.world.meter.luck["Copy"] = luck
    table = now.played(SLOW, COPY)
    assert now.winner(table) == "Honest"
    assert [row.submission.hotkey for row in table.rows] == ["Honest", "Copy"]
    assert error_of(table, "Copy") == "near_copy"


@pytest.mark.parametrize("hotkey", ["Honest", "Copy"])
def test_a_lead_on_an_unsteady_machine_is_not_certain(tmp_path: Path, hotkey: str) -> None:
    now = timed(tmp_path)
    now.world.meter.luck["Copy"] = (0.5, 0.5)
    now.world.meter.unsteady = {hotkey}
    assert now.winner(now.played(SLOW, COPY)) == "Honest"


def test_a_copy_that_is_truly_faster_is_paid(tmp_path: Path) -> None:
    now = timed(tmp_path)
    now.world.meter.luck["Copy"] = (0.6, 0.65)
    table = now.played(SLOW, COPY)
    assert now.winner(table) == "Copy"
    assert {row.submission.hotkey: row.metrics.copy_of for row in table.rows} == {"Copy": "Honest", "Honest": None}
    # It stays first, and a copy of the copy earns nothing.
    now.world.alike = [("Honest", "Copy"), ("Honest", "Third"), ("Copy", "Third")]
    third = entry("Third", 80, time_s=12, at_s=130)
    table = now.played(SLOW, COPY, third)
    assert now.winner(table) == "Copy"
    assert error_of(table, "Third") == "near_copy"


def test_copies_take_no_place_of_the_images_that_run_again(tmp_path: Path) -> None:
    """Two images of a round run again. Many copies of the first would push the second out."""
    other, copies = entry("Next", 60, at_s=3), [entry(f"Copy{n}", 80, time_s=20, at_s=4) for n in range(1, 4)]
    before = timed(tmp_path / "before", alike=())
    assert [row.submission.hotkey for row in before.played(SLOW, other, *copies).rows][-1] == "Next"
    now = timed(tmp_path / "now", alike=[("Honest", copy.hotkey) for copy in copies])
    now.played(SLOW, other, *copies)
    table = now.played(SLOW, other, *copies, entry("New", 30, at_s=130))
    assert error_of(table, "Next") is None


def test_a_copy_earns_nothing_while_its_original_is_replaced(tmp_path: Path) -> None:
    """The honest miner submits a better image during the round, and its hotkey has no measured image for a time."""
    now = timed(tmp_path)
    better = replace(entry("Honest", 90, at_s=50), submitted_s=HONEST.submitted_s + 50)
    now.world.meter.before_run = lambda hotkey, _number: (
        now.world.service.take((better, COPY)) if hotkey == "Copy" else None
    )
    table = now.played(SLOW, COPY)
    assert error_of(table, "Copy") == "near_copy"
    assert now.winner(table) is None


def without_marks(document: dict[str, Any]) -> None:
    """The executor hides that a copy is suspected, and lets it lead."""
    document["suspected"] = None


def turned(document: dict[str, Any]) -> None:
    """The executor calls the original the copy."""
    document["suspected"]["entries"].reverse()
    document["suspected"]["since_s"].reverse()


def refused_without_a_test(document: dict[str, Any]) -> None:
    """The executor refuses a rival's image as a copy, with a mark and no test."""
    document["suspected"] = None
    document["rows"][0]["metrics"].update(error="near_copy", final_score=0.0, copy_of=None)
    document["rows"].reverse()


def mark_of_a_stranger(document: dict[str, Any]) -> None:
    document["suspected"]["entries"][0] = "Nobody-1000001"


def failed_as_a_copy(document: dict[str, Any]) -> None:
    """The executor refuses the faster image by a failure of its own, for which there is no test."""
    document["suspected"] = None
    entry_of_copy = next(each for each in document["entries"] if each["hotkey"] == "Copy")
    entry_of_copy["failure"] = {"code": "near_copy", "detail": "It is a copy"}
    row = next(each for each in document["rows"] if each["hotkey"] == "Copy")
    row["metrics"].update(error="near_copy", final_score=0.0, quality_score=0.0, copy_of=None)
    document["rows"].reverse()


@pytest.mark.parametrize(
    ("forged", "is_faster", "words"),
    [
        (without_marks, False, "and the results say"),
        (turned, False, "not in the order in which they came"),
        (turned, True, "not in the order in which they came"),
        (refused_without_a_test, True, "and the results say"),
        (mark_of_a_stranger, True, "was submitted after|has no measurement|not in the order"),
        (failed_as_a_copy, True, "which only the test of its lead decides"),
    ],
)
def test_a_validator_does_not_trust_a_mark(
    tmp_path: Path, forged: Callable[[dict[str, Any]], None], is_faster: bool, words: str
) -> None:
    now = timed(tmp_path)
    now.world.meter.luck["Copy"] = (0.6, 0.6) if is_faster else (0.97, 0.97)
    table = now.played(SLOW, COPY)
    now.change(table, forged)
    with pytest.raises(PeerUnavailable, match=words) as caught:
        now.order(table)
    assert caught.value.code == "bad_table"


def test_a_copy_that_the_table_alone_puts_first_earns_nothing(tmp_path: Path) -> None:
    """The table is not signed. Its rows count only if they follow from the results."""
    now = timed(tmp_path)
    now.world.meter.luck["Copy"] = (0.97, 0.97)
    table = now.played(SLOW, COPY)
    copy = next(row for row in table.rows if row.submission.hotkey == "Copy")
    lifted = replace(copy, metrics=replace(copy.metrics, error=None, copy_of=None, final_score=0.79))
    with pytest.raises(PeerUnavailable, match="Copy has a score, and none in the results"):
        now.order(replace(table, rows=(lifted, table.rows[0])))


@pytest.mark.parametrize("restarts", [False, True])
def test_an_old_result_that_is_replayed_earns_nothing(tmp_path: Path, restarts: bool) -> None:
    now = arena(tmp_path)
    old = now.played(HONEST)
    assert now.winner(now.played(HONEST, entry("Better", 95, at_s=130))) == "Better"
    if restarts:
        now.restart(forgets=True)
        assert now.winner(old) == "Honest"  # A validator without its state believes it.
        now.restart()
    with pytest.raises(PeerUnavailable, match="is older than round"):
        now.order(old)


def forged_hash(document: dict[str, Any]) -> None:
    document["challenge"]["block_hash"] = "0x" + "7" * 64


def forged_set(document: dict[str, Any]) -> None:
    document["set_digest"] = "7" * 64


def forged_input(document: dict[str, Any]) -> None:
    for scores in document["unprocessed"].values():
        scores.update(PESQ_WB=1.0, ESTOI=0.0)


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        (forged_hash, "and the chain has"),
        (forged_set, "its set has the digest"),
        (forged_input, "the unprocessed clip"),
    ],
)
def test_a_forged_seed_set_or_input_pays_nobody(
    tmp_path: Path, forged: Callable[[dict[str, Any]], None], words: str
) -> None:
    """Such results are not valid, so the last weights stay."""
    before = arena(tmp_path / "before", trusts=True)
    table = before.played(HONEST)
    before.change(table, forged)
    assert before.winner(table) == "Honest"
    now = arena(tmp_path / "now")
    table = now.played(HONEST)
    now.change(table, forged)
    with pytest.raises(PeerUnavailable, match=words) as caught:
        now.order(table)
    assert caught.value.code == "bad_table"


def test_an_executor_that_withholds_the_winners_row_pays_nobody_else(tmp_path: Path) -> None:
    """The rows are not signed, so the executor could show each validator other ones. The signed results decide."""
    now = arena(tmp_path)
    table = now.played(HONEST, entry("Friend", 40, at_s=2))
    shown = replace(table, rows=tuple(row for row in table.rows if row.submission.hotkey != "Honest"))
    assert order_of_rows(shown, now.world.context.rules) == ("Friend",)  # By the rows alone, the friend is paid.
    with pytest.raises(PeerUnavailable, match=r"Honest can be paid .* lacks it") as caught:
        now.order(shown)
    assert caught.value.code == "bad_table"
    assert now.winner(table) == "Honest"


def test_a_second_row_pays_no_image_that_was_not_measured(tmp_path: Path) -> None:
    """A hotkey that won and then submitted another image is paid for neither."""
    now = arena(tmp_path)
    newer = entry("Honest", 1, at_s=500)
    table = now.played(HONEST)
    shown = replace(table, rows=(*table.rows, ImageRow(newer)))
    assert Reading((newer,), 0.0, shown, ("Honest",)).hotkeys == ("Honest",)  # Without the check it is paid.
    with pytest.raises(PeerUnavailable, match="Honest has two rows"):
        now.order(shown)
    assert Reading((newer,), 0.0, table, now.order(table)).hotkeys == ()
