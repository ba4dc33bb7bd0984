"""The listening page marks the places in which an entry's output looks hallucinated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from soundsright.services.board.build import build_site
from soundsright.services.board.server import LiveSite, board_app
from soundsright.services.records import find_runs, read_runs
from tests.services.records.deletion import CLIP, COMPETITION, DELETED_S, ENTRY, write_deletion


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_deletion(tmp_path / "runs" / "first")
    return tmp_path / "runs"


def the_deletion(places: list[dict[str, float | str]]) -> bool:
    [place] = places
    assert str(place["text"]).endswith("s: speech is missing")
    return abs(float(place["from"]) - DELETED_S[0]) < 0.1 and abs(float(place["to"]) - DELETED_S[1]) < 0.1


def test_the_server_answers_with_the_places_of_a_signal(runs: Path) -> None:
    address = f"/audio/first/{COMPETITION}/{CLIP}"
    with TestClient(board_app(LiveSite([runs], live=False))) as client:
        assert the_deletion(client.get(f"{address}/{ENTRY}.places.json").json())
        for other in ("clean", "degraded", "nobody"):
            assert client.get(f"{address}/{other}.places.json").json() == []
        assert client.get("/audio/first/NOPE/000000/clean.places.json").json() == []


def test_a_broken_file_has_no_places(runs: Path) -> None:
    for path in runs.rglob(f"{CLIP}.wav"):
        path.write_bytes(b"no audio")
    with TestClient(board_app(LiveSite([runs], live=False))) as client:
        assert client.get(f"/audio/first/{COMPETITION}/{CLIP}/{ENTRY}.places.json").json() == []


def test_the_pages_on_disk_carry_the_places_beside_the_audio(runs: Path, tmp_path: Path) -> None:
    build_site(read_runs(find_runs([runs])), tmp_path / "site", audio_bytes=1 << 24)
    script = (tmp_path / "site" / "audio" / "first" / COMPETITION / CLIP / f"{ENTRY}.js").read_text()
    assert the_deletion(json.loads(script[script.rindex(",[") + 1 :].removesuffix(");\n")))
