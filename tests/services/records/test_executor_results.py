"""Results of an executor as files: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import UsageError
from soundsright.core.profiles import Profile
from soundsright.services.records import RoundMaterial, executor_round, read_executor_rounds
from tests.services.records.executor_rows import (
    WEIGHTS,
    always_valid,
    envelope,
    hotkey,
    results_facts,
    usual_rows,
    write_rounds,
)


def test_signed_results_are_read_with_rules_weights_and_signer() -> None:
    each = executor_round(envelope(results_facts(7)), valid_signature=always_valid)
    assert (each.round_id, each.competition_id, each.signer) == ("7", "DENOISING_16000HZ", "5Executor")
    assert each.rules.profile is Profile.SOUNDSRIGHT
    assert each.metric_weights == WEIGHTS
    assert each.machine == "cpu Example CPU, gpu none"
    assert each.rows == usual_rows()


@pytest.mark.parametrize(
    ("material", "read"),
    [
        ({"digest": "0" * 64, "is_public": True, "speech": {}}, RoundMaterial("0" * 64, True, False)),
        (
            {"digest": "0" * 64, "is_public": False, "speech": {}, "committed_block": 7},
            RoundMaterial("0" * 64, False, False, 7),
        ),
        (
            {"digest": "0" * 64, "is_public": False, "speech": {"program": "speak"}, "committed_block": True},
            RoundMaterial("0" * 64, False, True),
        ),
        ({"digest": "short", "is_public": True}, None),
        ({"digest": "0" * 64, "is_public": "no"}, None),
        (["digest"], None),
        (None, None),
    ],
)
def test_the_recordings_are_read_or_not_stated(material: object, read: RoundMaterial | None) -> None:
    each = executor_round(envelope({**results_facts(7), "material": material}), valid_signature=always_valid)
    assert each.material == read


def test_a_saved_answer_of_metrics_is_read_without_a_signer() -> None:
    raw = json.dumps([row.facts() for row in usual_rows()]).encode()
    each = executor_round(raw, valid_signature=always_valid, round_id="12")
    assert (each.round_id, each.signer, each.rows) == ("12", "", usual_rows())


def test_a_wrong_signature_is_refused() -> None:
    with pytest.raises(UsageError, match="signature is wrong"):
        executor_round(envelope(results_facts(7)), valid_signature=lambda *_: False)


def test_only_images_that_can_be_paid_have_ranks() -> None:
    each = executor_round(envelope(results_facts(7)), valid_signature=always_valid)
    assert [rank for rank, _ in each.ranked] == [1, 2, 3, 4, 5, None, None]


def test_a_row_is_found_by_the_start_of_its_hotkey() -> None:
    each = executor_round(envelope(results_facts(7)), valid_signature=always_valid)
    found = each.row_of("5C")
    assert found is not None
    assert found.submission.hotkey == hotkey("C")
    assert each.row_of("5") is None
    assert each.row_of("5Z") is None


def test_a_folder_is_read_in_the_order_of_its_rounds(tmp_path: Path) -> None:
    history = read_executor_rounds(write_rounds(tmp_path, (10, 9, 8)), valid_signature=always_valid)
    assert [each.round_id for each in history.rounds] == ["8", "9", "10"]
    assert history.latest is history.rounds[-1]


def test_a_broken_file_of_a_folder_becomes_a_problem(tmp_path: Path) -> None:
    write_rounds(tmp_path, (8,))
    (tmp_path / "9.json").write_text("{")
    history = read_executor_rounds(tmp_path, valid_signature=always_valid)
    assert [each.round_id for each in history.rounds] == ["8"]
    assert history.problems == (f"{tmp_path / '9.json'} is not JSON",)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json cannot be read"):
        read_executor_rounds(tmp_path / "none.json", valid_signature=always_valid)


def _changed(**changes: Any) -> bytes:
    return envelope(results_facts(7) | changes)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"nothing", "not JSON"),
        (b"[NaN]", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "not a round of an executor"),
        (b"[1]", "A row has the keys"),
        (_changed(rows={}), "rows is not a list"),
        (_changed(rows=[usual_rows()[0].facts()] * 2), "A hotkey has two rows"),
        (_changed(rules=[]), "rules are not"),
        (_changed(rules={"time_weight": "high"}), "time_weight is not a number"),
        (_changed(rules={"time_ref_s": 0}), "time_ref_s is 0"),
        (_changed(rules={"profile": "own"}), "rules are not"),
        (_changed(metric_weights={"ESTOI": True}), "metric_weights are not numbers"),
    ],
)
def test_what_is_not_a_round_is_refused(raw: bytes, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        executor_round(raw, valid_signature=always_valid, source="file")
