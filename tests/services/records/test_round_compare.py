"""Two bundles of one round are compared step by step, and the first difference is named with both values."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.cli.commands.bundle import command
from soundsright.cli.main import run as run_command
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.services.records import check_not_two_of_one_signer, first_difference, open_bundle
from tests.services.records.bundles import RecordedRun, recorded, recorded_run
from tests.services.records.planting import STEPS, plant
from tests.services.records.signing import signed_again
from tests.services.rounds.subnet import Subnet

VERA, VICTOR = Hotkey.of_seed("vera"), Hotkey.of_seed("victor")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    return recorded_run(tmp_path_factory.mktemp("round"), VERA)


@pytest.fixture
def other(run: RecordedRun, tmp_path: Path) -> Path:
    """The same record, signed by another validator."""
    folder = Path(shutil.copytree(run.record, tmp_path / "other"))
    signed_again(folder, VICTOR)
    return folder


@pytest.mark.parametrize("step", STEPS)
def test_one_planted_difference_is_found_and_named(run: RecordedRun, other: Path, step: str) -> None:
    signed_again(other, VICTOR, plant(step, other))
    with open_bundle(run.record) as first, open_bundle(other) as second:
        found = first_difference(first, second)
    assert found is not None
    assert found.step == step
    assert found.first != found.second
    assert found.first in found.sentence
    assert found.second in found.sentence


def test_a_line_of_scores_that_is_none_is_refused(run: RecordedRun, other: Path) -> None:
    change = plant("score", other)
    (other / "scores.jsonl").write_text('{"scores": 5}\n')
    signed_again(other, VICTOR, change)
    with (
        open_bundle(run.record) as first,
        open_bundle(other) as second,
        pytest.raises(BundleRefused, match=r"scores\.jsonl, line 1"),
    ):
        first_difference(first, second)


def test_a_clip_is_named_with_its_part(run: RecordedRun, other: Path) -> None:
    signed_again(other, VICTOR, plant("set", other))
    with open_bundle(run.record) as first, open_bundle(other) as second:
        found = first_difference(first, second)
    assert found is not None
    assert (found.what, found.second) == ("the clean signal of clip clip-0000 of DENOISING_16000HZ", "0" * 64)


@pytest.mark.parametrize("step", STEPS[:-1])
def test_the_first_of_several_differences_counts(run: RecordedRun, other: Path, step: str) -> None:
    changes = [plant(each, other) for each in STEPS[STEPS.index(step) :] if each != "entries" or step == "entries"]

    def all_of_them(facts: Any) -> None:
        # An entry that is removed must not be changed after that.
        for change in reversed(changes):
            change(facts)

    signed_again(other, VICTOR, all_of_them)
    with open_bundle(run.record) as first, open_bundle(other) as second:
        found = first_difference(first, second)
    assert found is not None
    assert found.step == step


def test_two_honest_validators_agree(run: RecordedRun, tmp_path: Path) -> None:
    again = recorded_run(tmp_path, VICTOR)
    with open_bundle(run.record) as first, open_bundle(again.record) as second:
        assert first_difference(first, second) is None
        check_not_two_of_one_signer(first, second)


def test_a_model_that_does_not_repeat_itself_shows_as_an_answer(run: RecordedRun, tmp_path: Path) -> None:
    subnet = Subnet(tmp_path, (0.4, 0.6, 0.7))
    other = recorded(subnet, VICTOR)
    with open_bundle(run.record) as first, open_bundle(other.record) as second:
        found = first_difference(first, second)
    assert found is not None
    assert (found.step, "carol" in found.what) == ("answer", True)


def test_two_documents_of_one_signer_are_evidence(
    run: RecordedRun, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signed_again(other, VERA, lambda f: f["weights"].update({"0": 0.9}))
    with (
        open_bundle(run.record, valid_signature=valid_signature) as first,
        open_bundle(other, valid_signature=valid_signature) as second,
        pytest.raises(BundleRefused, match=f"{VERA.address} signed two documents"),
    ):
        check_not_two_of_one_signer(first, second)
    assert run_command(command, ["compare", str(run.record), str(other)]) == 3
    message = capsys.readouterr().err
    assert first.opened.sha256 in message
    assert second.opened.sha256 in message


def test_rounds_of_another_name_are_not_compared(run: RecordedRun, other: Path) -> None:
    signed_again(other, VICTOR, lambda f: f["round"].update(id="round-2"))
    with (
        open_bundle(run.record) as first,
        open_bundle(other) as second,
        pytest.raises(UsageError, match="different rounds, round-1 and round-2"),
    ):
        first_difference(first, second)


def test_the_command_says_where_they_part(
    run: RecordedRun, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(command, ["compare", str(run.record), str(other)]) == 0
    signed_again(other, VICTOR, plant("score", other))
    assert run_command(command, ["compare", str(run.record), str(other)]) == 3
    assert "Different  score: ESTOI of DENOISING_16000HZ/" in capsys.readouterr().out
