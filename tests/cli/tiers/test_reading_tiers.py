"""`soundsright tiers status` and `explain`, and the leaderboard, read the database of a verifier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from soundsright import __version__
from soundsright.adapters.state import SqlCounters, SqlRecords, SqlState
from soundsright.cli.main import cli, run
from soundsright.cli.shared.tiers_words import version_sentence
from soundsright.services.rounds import steps
from soundsright.services.verifier import SCOPE, round_of
from soundsright.services.verifier.verifier_steps import OPENED, OpenedStep
from soundsright.testing.served import Manner
from tests.services.verifier.world import COMPETITION, World

MANNERS = {"honest": Manner.HONEST, "better": Manner.BETTER, "busy": Manner.BUSY}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The STATE_FOLDER of a verifier in its second interval."""
    folder = tmp_path_factory.mktemp("verifier")
    state = SqlState(folder / "state.db")
    world = World(
        folder,
        MANNERS,
        state=state,
        records=SqlRecords.beside(state),
        counters=SqlCounters.beside(state, scope="tiers"),
    )
    world.run_interval(1)
    world.close_interval(1)
    world.run_interval(2)
    state.close()
    return folder


def play(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_status_prints_the_ladder_best_first(folder: Path) -> None:
    done = play("tiers", "status", "--state-folder", str(folder))
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("Interval 2, blocks 200 to 299, open; profile soundsright")
    rows = {line.split()[0]: line.split() for line in lines[2:]}
    assert next(iter(rows)) == "honest"
    assert rows["honest"][1:9] == ["Silver", COMPETITION.id, "100.0%", "88.1%", "20", "980", "1", rows["honest"][8]]
    assert rows["better"][1] == "Bronze"
    assert "Note" not in done.output


def test_status_as_json_has_the_banks_that_a_stranger_checks(folder: Path) -> None:
    facts = json.loads(play("tiers", "status", "--json", "--state-folder", str(folder)).output)
    assert (facts["interval"], facts["program"], facts["note"]) == (2, __version__, "")
    assert facts["provers"][0]["hotkey"] == "honest"
    assert {bank["interval"]: bank["opens"] for bank in facts["banks"]}[1] is True


def test_explain_gives_every_attempt_with_its_reason(folder: Path) -> None:
    done = play("tiers", "explain", "bet", "--state-folder", str(folder))
    assert done.exit_code == 0, done.output
    assert done.output.count("They agree by") == 40
    assert (
        "Interval 1: Stays in Bronze, the lowest tier: 0 of 20 answers passed, and Bronze needs 70 %."
        in done.output
    )
    assert "Interval 2: still open" in done.output
    assert "It was 429." in play("tiers", "explain", "busy", "--state-folder", str(folder)).output
    facts = json.loads(play("tiers", "explain", "better", "--json", "--state-folder", str(folder)).output)
    assert len(facts["attempts"]) == 40


def test_another_version_of_the_verifier_is_told(tmp_path: Path) -> None:
    state = SqlState(tmp_path / "state.db")
    own = state.scoped(SCOPE)
    own.begin_round(round_of(1), {})
    steps.write(own, round_of(1), OPENED, OpenedStep(100, 200, "0.0.1"))
    state.close()
    done = play("tiers", "status", "--state-folder", str(tmp_path))
    assert done.exit_code == 0
    assert f"Note: {version_sentence('0.0.1', __version__)}" in done.output
    assert json.loads(play("tiers", "status", "--json", "--state-folder", str(tmp_path)).output)["note"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("explain", "nobody"), "No prover has the hotkey 'nobody'"),
        (("explain", "b"), "2 provers have a hotkey that starts with 'b'"),
    ],
)
def test_an_unknown_prover_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert run(cli, ["tiers", *arguments, "--state-folder", str(folder)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", [["tiers", "status"], ["tiers", "explain", "x"]])
def test_a_folder_without_a_database_is_named_and_gets_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run(cli, [*command, "--state-folder", str(tmp_path)]) == 2
    assert "has no state.db" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_leaderboard_builds_the_pages_with_the_audio_of_failures(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    done = play("leaderboard", "build", str(out), "--tiers", str(folder))
    assert done.exit_code == 0, done.output
    assert (out / "tiers" / "honest" / "index.html").is_file()
    # The interval of the last failures is still open, so nobody may hear them.
    assert not list((out / "tiers" / "better").rglob("*.flac"))
