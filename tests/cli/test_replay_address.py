"""A stranger replays a round from the address of a leaderboard, with the audio that the replay needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soundsright.cli.main import cli, run
from soundsright.services.board.server import LiveSite, board_app
from soundsright.services.records import results_of, scores_of, scores_text, write_json
from tests.browser.conftest import served
from tests.services.replay.bundled import CLIPS, MODELS, Bundled

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    world = Bundled(tmp_path_factory.mktemp("world") / "round")
    world.bundle("honest")
    folder = world.folder / "run"
    write_json(folder / "results.json", results_of(world.outcome).as_json())
    (folder / "scores.jsonl").write_text(scores_text(scores_of(world.outcome)))
    with served(board_app(LiveSite([folder], live=False))) as root:
        yield f"{root}r/run/bundle"


def signals(state: Path) -> int:
    return len(list((state / "bundles").rglob("*.flac")))


def test_each_depth_fetches_what_it_needs(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_FOLDER", str(tmp_path))
    arguments = ["replay", address, "--unsigned-ok", "--workers", "1"]
    assert run(cli, arguments) == 0
    assert signals(tmp_path) == 0
    sample = ["--score", "--sample", "1", "--block-hash", "5d" * 32]
    assert run(cli, [*arguments, *sample]) == 0
    assert 2 <= signals(tmp_path) <= 3
    assert run(cli, [*arguments, "--score"]) == 0
    assert signals(tmp_path) == (2 + len(MODELS)) * CLIPS
    assert f"Checked    {(1 + len(MODELS)) * CLIPS} scores computed again" in capsys.readouterr().out


def test_a_bundle_of_another_signer_costs_no_audio(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_FOLDER", str(tmp_path))
    assert run(cli, ["replay", address, "--score"]) == 3
    assert "not signed" in capsys.readouterr().err
    assert signals(tmp_path) == 0


def test_an_address_without_an_answer_is_a_failure_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_FOLDER", str(tmp_path))
    monkeypatch.setattr("soundsright.adapters.peers.web_parts._PAUSE_S", 0.0)
    assert run(cli, ["replay", "http://127.0.0.1:1/bundle", "--unsigned-ok"]) == 1
    assert "does not answer" in capsys.readouterr().err
