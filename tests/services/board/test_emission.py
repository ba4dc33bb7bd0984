"""What a validator pays: on the page, in the terminal, and as JSON."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from soundsright.adapters.state import SqlRecords, SqlState
from soundsright.cli.commands.status import command as status_command
from soundsright.cli.main import run
from soundsright.cli.shared.emission_watch import emission_in
from soundsright.core.errors import UsageError
from soundsright.services.board import LiveSite, RoundWatch, StatusFeed, board_app
from soundsright.services.records import EMISSION_STREAM, PayeesStatus, RecordedEmission, SystemPayees
from soundsright.services.rounds import steps

SYSTEMS = (
    SystemPayees("competitions", 0.5, {"alice": 0.75, "<b>mallory</b>": 0.25}),
    SystemPayees("executor", 0.2, {}, PayeesStatus.STALE, 900),
    SystemPayees("tiers", 0.2, {"alice": 1.0}),
)


def no_watch(folder: Path) -> RoundWatch:
    raise UsageError(f"{folder} has no round", "Wait for one.")


def write(folder: Path, *, burn_hotkey: str) -> None:
    with closing(SqlState(folder / "state.db")) as state:
        facts = RecordedEmission(8_101, SYSTEMS, burn_hotkey).facts()
        SqlRecords.beside(state).append(EMISSION_STREAM, "8101", facts)


def page(folder: Path) -> str:
    runs = folder / "rounds"
    runs.mkdir(exist_ok=True)
    feed = StatusFeed([runs], no_watch, emission_in)
    client = TestClient(board_app(LiveSite([runs], live=True), feed))
    answer = client.get("/emission")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.text


def test_the_page_has_a_bar_per_system_a_row_per_hotkey_and_what_burns(tmp_path: Path) -> None:
    write(tmp_path, burn_hotkey="burn")
    text = page(tmp_path)
    assert text.count("<progress") == 3
    assert "57.50&nbsp;%" in text
    assert "stale: the last payees are of block 900" in text
    assert "this share is not given" in text
    assert "30.00% burns at burn." in text
    assert "<b>mallory" not in text
    assert "&lt;b&gt;mallory" in text


def test_the_page_says_what_is_missing(tmp_path: Path) -> None:
    assert "There is no validator" in page(tmp_path)
    SqlState(tmp_path / "state.db").close()
    assert "No weights are decided yet." in page(tmp_path)


def test_status_prints_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, burn_hotkey="burn")
    assert run(status_command, [str(tmp_path), "--emission"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (bar,) = (line for line in lines if line.startswith("executor"))
    assert bar.split() == ["executor", "20.00%", "░" * 8]
    (row,) = (line for line in lines if line.strip().startswith("alice"))
    assert row.split() == ["alice", "57.50%", "37.50%", "20.00%"]
    assert any("executor, 20.00%: stale" in line for line in lines)
    assert run(status_command, [str(tmp_path), "--emission", "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["burned"] == pytest.approx(0.3)
    assert [system["reason"] for system in fields["systems"]] == ["", "stale: the last payees are of block 900", ""]


def test_without_a_burn_hotkey_the_parts_are_scaled(tmp_path: Path) -> None:
    write(tmp_path, burn_hotkey="")
    emission = emission_in(tmp_path)
    assert emission is not None
    assert sum(row.weight for row in emission.rows) == pytest.approx(1.0)
    assert all(sum(row.parts.values()) == pytest.approx(row.weight) for row in emission.rows)
    assert "Nothing burns" in page(tmp_path)


def test_a_validator_of_rounds_alone_shows_what_they_pay(tmp_path: Path) -> None:
    with closing(SqlState(tmp_path / "state.db")) as state:
        state.begin_round("first", {})
        steps.write(state, "first", steps.PAYEES, steps.PayeesStep({"alice": 0.75, "bob": 0.25}))
    emission = emission_in(tmp_path)
    assert emission is not None
    assert [(row.hotkey, row.weight) for row in emission.rows] == [("alice", 0.75), ("bob", 0.25)]


@pytest.mark.parametrize("facts", [{}, {"systems": [], "burn_hotkey": ""}, {"systems": 3, "burn_hotkey": ""}])
def test_a_damaged_record_is_named(
    tmp_path: Path, facts: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(SqlState(tmp_path / "state.db")) as state:
        SqlRecords.beside(state).append(EMISSION_STREAM, "7", facts)
    if facts.get("systems") == []:
        assert run(status_command, [str(tmp_path), "--emission"]) == 0
    else:
        assert run(status_command, [str(tmp_path), "--emission"]) == 2
        assert "damaged" in capsys.readouterr().err
        assert "damaged" in page(tmp_path)
