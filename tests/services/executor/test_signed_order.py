"""A validator ranks the images by the signed results of the round, and pays on nothing that contradicts them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import ChainUnavailable, PeerUnavailable, UsageError
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.images import ImageMetrics, ImageRow, PublishedTable, SubmittedImage
from soundsright.core.results import Failure
from soundsright.core.rulesets import SOUNDSRIGHT_V3
from soundsright.services.executor import RoundResults, SeenRounds, SignedOrder, Verdict, order_of_rows
from soundsright.services.records import EXECUTOR_RESULTS, sign_document
from soundsright.testing import MemoryRecords
from soundsright.testing.image_services import ScriptedTable
from tests.services.executor.world import COMPETITION, RULES, Account, Judge, World, entry, valid_signature

A, B = entry("Aa", 78), entry("Bb", 80)
"""B is better, by less than the judge needs to replace A."""


@dataclass
class Check:
    """A check that pays every round, and counts them."""

    basis: str = "settings"
    verdict: Verdict = field(default_factory=Verdict)
    calls: int = 0

    def __call__(self, results: RoundResults) -> Verdict:
        self.calls += 1
        return self.verdict


class Scene:
    """Two rounds of an executor, as a validator reads them."""

    def __init__(
        self,
        folder: Path,
        second: Sequence[SubmittedImage] = (A, B),
        images: Callable[[SubmittedImage], Failure | None] | None = None,
    ) -> None:
        world = World(folder)
        if images is not None:
            world.context.store.images.original_of = images  # type: ignore[method-assign,assignment]
        self.service = ScriptedTable()
        self.records, self.check = MemoryRecords(), Check()
        self.tables: list[PublishedTable] = []
        for entries in ((A,), second):
            world.play(*entries)
            table = world.service.table()
            raw = world.service.results(table.round_id)
            assert raw is not None
            self.service.documents[table.round_id] = raw
            self.tables.append(table)
        self.organiser = world.context.organiser

    def order(self, organiser: CompetitionRules | None = None, signer: str = Account.address) -> SignedOrder:
        return SignedOrder(
            self.service,
            signer,
            organiser or self.organiser,
            valid_signature,
            self.check,
            SeenRounds(self.records),
            Judge,
        )

    def change(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the results of the last round, and sign them again as the executor would."""
        round_id = self.tables[-1].round_id
        document = json.loads(json.loads(self.service.documents[round_id])["document"])
        change(document)
        self.service.documents[round_id] = sign_document(EXECUTOR_RESULTS, document, Account()).encode()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_winner_before_keeps_its_place_until_a_lead_is_certain(scene: Scene) -> None:
    table = scene.tables[-1]
    assert order_of_rows(table, RULES) == ("Bb", "Aa")
    assert scene.order()(table) == ("Aa", "Bb")


def test_the_results_of_a_round_are_read_once(scene: Scene) -> None:
    order = scene.order()
    for table in (*scene.tables, scene.tables[-1]):
        order(table)
    assert scene.service.calls == ["results", "results"]


def test_before_the_first_round_nobody_is_paid(scene: Scene) -> None:
    empty = PublishedTable("", (ImageRow(A),), "v")
    order = scene.order()
    assert order(empty) == ()
    order(scene.tables[-1])
    with pytest.raises(PeerUnavailable, match="of no round, after round"):
        order(empty)


def test_scores_of_no_round_are_not_paid(scene: Scene) -> None:
    with pytest.raises(PeerUnavailable, match="scores of no round"):
        scene.order()(replace(scene.tables[-1], round_id=""))


def test_an_older_round_is_not_paid_again(scene: Scene) -> None:
    order = scene.order()
    order(scene.tables[1])
    with pytest.raises(PeerUnavailable, match="is older than round"):
        order(scene.tables[0])
    assert order(scene.tables[1]) == ("Aa", "Bb")


@pytest.mark.parametrize("is_first_table", [True, False])
def test_an_older_round_or_none_is_not_paid_after_a_restart_either(scene: Scene, is_first_table: bool) -> None:
    scene.order()(scene.tables[1])
    restarted = scene.order()
    replayed = scene.tables[0] if is_first_table else PublishedTable("", (ImageRow(A),), "v")
    with pytest.raises(PeerUnavailable, match=r"is older than round|of no round, after round"):
        restarted(replayed)
    assert restarted(scene.tables[1]) == ("Aa", "Bb")


def test_other_results_of_a_round_than_before_are_not_paid(scene: Scene) -> None:
    scene.order()(scene.tables[1])
    scene.change(lambda document: document["machine"].update(cpu="another"))
    with pytest.raises(PeerUnavailable, match="shows other results of round images-20 than before"):
        scene.order()(scene.tables[1])


def test_a_round_is_checked_once_also_over_a_restart(scene: Scene) -> None:
    scene.check.verdict = Verdict("public_corpus", "Nobody is paid")
    assert scene.order()(scene.tables[1]) == scene.order()(scene.tables[1]) == ()
    assert scene.check.calls == 1
    # The operator has chosen otherwise.
    scene.check.basis, scene.check.verdict = "others", Verdict()
    assert scene.order()(scene.tables[1]) == scene.order()(scene.tables[1]) == ("Aa", "Bb")
    assert scene.check.calls == 2
    scene.check.basis, scene.check.verdict = "settings", Verdict("public_corpus", "Nobody is paid")
    assert scene.order()(scene.tables[1]) == scene.order()(scene.tables[1]) == ()
    assert scene.check.calls == 3


def test_a_round_is_checked_again_when_the_recordings_change_under_a_running_validator(scene: Scene) -> None:
    order = scene.order()
    scene.check.verdict = Verdict("public_corpus", "Nobody is paid")
    assert order(scene.tables[1]) == ()
    scene.check.basis, scene.check.verdict = "the corpus was copied here", Verdict()
    assert order(scene.tables[1]) == ("Aa", "Bb")


def test_what_could_not_be_checked_is_not_taken_as_seen(scene: Scene) -> None:
    check = scene.check

    class Away(Check):
        def __call__(self, results: RoundResults) -> Verdict:
            raise ChainUnavailable("The chain does not answer")

    scene.check = Away()
    with pytest.raises(ChainUnavailable):
        scene.order()(scene.tables[1])
    scene.check = check
    assert scene.order()(scene.tables[0]) == ("Aa",)


def test_a_damaged_record_names_the_backup(scene: Scene) -> None:
    scene.records.append("executor:seen-rounds", "x", {"round_id": 7})
    with pytest.raises(UsageError, match="Restore the last backup"):
        scene.order()(scene.tables[1])


def test_a_row_that_contradicts_the_results_pays_nobody(scene: Scene) -> None:
    table = scene.tables[-1]
    first, second = table.rows
    raised = replace(second, metrics=replace(second.metrics, final_score=0.99))
    stranger = replace(second, submission=entry("Cc", 80))
    for row, words in ((raised, "has the score 0.99"), (stranger, "Cc has a score, and none")):
        with pytest.raises(PeerUnavailable, match=words) as caught:
            scene.order()(replace(table, rows=(first, row)))
        assert caught.value.code == "bad_table"


def test_a_table_without_a_row_that_can_be_paid_pays_nobody(scene: Scene) -> None:
    """The rows are not signed. An executor that leaves one out must not choose whom this validator pays."""
    table = scene.tables[-1]
    failed = replace(table.rows[0], metrics=ImageMetrics(error="run_failed"))
    for rows in (table.rows[1:], (failed, table.rows[1]), ()):
        with pytest.raises(PeerUnavailable, match=r"Aa can be paid .* lacks it") as caught:
            scene.order()(replace(table, rows=rows))
        assert caught.value.code == "bad_table"


def test_a_hotkey_with_two_rows_pays_nobody(scene: Scene) -> None:
    """Otherwise the second row, of a new submission, would be paid by the score of the first."""
    table = scene.tables[-1]
    newer = ImageRow(entry("Aa", 10, at_s=999))
    with pytest.raises(PeerUnavailable, match="Aa has two rows") as caught:
        scene.order()(replace(table, rows=(*table.rows, newer)))
    assert caught.value.code == "bad_table"


def test_of_two_hotkeys_with_one_image_only_the_first_is_paid(tmp_path: Path) -> None:
    """Executors refuse the later one. This is for an executor that does not."""
    first = entry("Zz", 60, at_s=1)
    second = replace(entry("Cc", 80, at_s=2), image=replace(entry("Cc", 80).image, sha256=first.image.sha256))
    scene = Scene(tmp_path, (first, second), images=lambda _entry: None)
    table = scene.tables[-1]
    assert order_of_rows(table, RULES) == ("Cc", "Zz")
    assert scene.order()(table) == ("Zz",)


def test_results_that_do_not_follow_from_their_runs_pay_nobody(scene: Scene) -> None:
    def faster(document: dict[str, Any]) -> None:
        document["entries"][0]["runs"][0]["time_s"] = 0.0

    scene.change(faster)
    with pytest.raises(PeerUnavailable, match="and the results say"):
        scene.order()(scene.tables[-1])


def test_results_in_another_order_pay_nobody(scene: Scene) -> None:
    scene.change(lambda document: document["rows"].reverse())
    with pytest.raises(PeerUnavailable, match="has rank 1"):
        scene.order()(scene.tables[-1])


def test_results_of_others_are_refused(scene: Scene) -> None:
    table = scene.tables[-1]
    with pytest.raises(PeerUnavailable, match="signed the results of round"):
        scene.order(signer="5Other")(table)
    scene.service.documents[table.round_id] = scene.service.documents[scene.tables[0].round_id]
    with pytest.raises(PeerUnavailable, match="are those of round"):
        scene.order()(table)
    scene.service.documents[table.round_id] = b"not signed"
    with pytest.raises(PeerUnavailable, match="cannot be used"):
        scene.order()(table)
    del scene.service.documents[table.round_id]
    with pytest.raises(PeerUnavailable, match="no signed results"):
        scene.order()(table)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"executor": ExecutorRules()}, "other rules than"),
        ({"competitions": (PUBLISHED[1],)}, "which the organiser's file lacks"),
        ({"competitions": (replace(COMPETITION, metric_weights={"ESTOI": 1.0}),)}, "weigh the metrics otherwise"),
        ({"ruleset": replace(SOUNDSRIGHT_V3, alpha=0.2)}, "cannot be used"),
    ],
)
def test_a_round_by_other_rules_pays_nobody(scene: Scene, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PeerUnavailable, match=words):
        scene.order(replace(scene.organiser, **changes))(scene.tables[-1])
