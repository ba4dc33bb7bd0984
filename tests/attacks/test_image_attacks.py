"""Attacks on the executor, played with its real services on imitated images: what each one would earn, and earns.

Each attack is also played without its defence, where it pays. Otherwise a test would pass because nothing happens.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import PeerUnavailable
from soundsright.core.images import ImageRow, PublishedTable, SubmittedImage
from soundsright.core.material import Material
from soundsright.services.executor import Reading, SeenRounds, SignedOrder, Verdict, order_of_rows
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

    def __post_init__(self) -> None:
        self.restart()

    def restart(self, *, forgets: bool = False) -> None:
        seen = SeenRounds(MemoryRecords() if forgets else self.records)
        organiser = self.world.context.organiser
        self.order = SignedOrder(self.service, Account.address, organiser, valid_signature, self.check, seen, Judge)

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


def test_a_copy_by_another_build_earns_nothing(tmp_path: Path) -> None:
    """Its digest and layers differ. It runs faster on a quiet machine, and its output is the same."""
    copy = entry("Copy", 80, time_s=0, at_s=2)
    before = arena(tmp_path / "before")
    assert before.winner(before.played(replace(HONEST, image=entry("Honest", 80, time_s=9).image), copy)) == "Copy"
    now = arena(tmp_path / "now")
    now.world.alike = [("Honest", "Copy")]
    assert now.winner(now.played(replace(HONEST, image=entry("Honest", 80, time_s=9).image), copy)) == "Honest"


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
