"""The pages of the tiers: the ladder, a prover's page, its failures by ear, the banks, and what stays private."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from soundsright.core.errors import StateUnavailable
from soundsright.services.board import SavedTiers, ShownTiers, board_app, build_site
from soundsright.services.board.pages import AudioAccess, Site
from soundsright.services.board.server import LiveSite
from soundsright.services.verifier import SCOPE, TiersReader
from soundsright.testing.served import Manner
from tests.services.board.test_federation_page import cells_of
from tests.services.board.tiers_world import MANNERS, shown, verified
from tests.services.verifier.world import COMPETITION, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A verifier in its second interval."""
    made = verified(tmp_path_factory.mktemp("world"))
    made.run_interval(2)
    return made


def site_of(tiers: ShownTiers) -> Site:
    return Site((), AudioAccess("file"), tiers=tiers)


def body(site: Site, path: str) -> bytes:
    page = site.page(path)
    assert page is not None, path
    return page.body


def test_the_ladder_has_every_prover_with_its_rate_bound_requests_and_weight(world: World) -> None:
    html = body(site_of(shown(world)), "tiers/index.html").decode()
    rows = {row[0].split()[0].split("<")[0][:7]: row for row in cells_of(html, "Ladder, table")}
    honest = next(row for name, row in rows.items() if name.startswith("honest"))
    assert honest[1:8] == ["Silver", COMPETITION.id, "100.0 %", "88.1 %", "20", "980", "1"]
    assert honest[10] == "no"
    assert honest[11].startswith("hash")
    assert "honest/gate@00000000…" in honest[0].replace("\u200b", "")
    better = next(row for name, row in rows.items() if name.startswith("better"))
    assert (better[1], better[3], better[9]) == ("Bronze", "0.0 %", "0.00 %")
    assert better[11].startswith("different")
    weights = [float(row[9].split()[0]) for row in cells_of(html, "Ladder, table")]
    assert sum(weights) == pytest.approx(100, abs=0.02)


def test_the_pages_open_the_seed_of_the_last_interval_and_keep_that_of_this_one(world: World) -> None:
    site = site_of(shown(world))
    banks = json.loads(body(site, "tiers/banks.json"))["banks"]
    opened = next(bank for bank in banks if bank["interval"] == 1)
    assert hashlib.sha256(bytes.fromhex(opened["seed"])).hexdigest() == opened["sha256"]
    secret = f"{2:064x}"
    for path in site.paths():
        if path.startswith("tiers/"):
            assert secret.encode() not in body(site, path), path
    html = body(site, "tiers/index.html").decode()
    assert "the seed has this SHA-256" in html
    assert "secret until the interval is over" in html


def test_a_provers_page_has_every_failure_with_its_reason(world: World) -> None:
    html = body(site_of(shown(world)), "tiers/better/index.html").decode()
    failures = cells_of(html, "Failures, table")
    assert len(failures) == 40
    assert failures[0][4] == "different"
    assert re.search(r"They agree by -?[\d.]+ dB, and Bronze needs [\d.]+ dB\.", failures[0][5])
    assert html.count("<svg") == 2
    assert "Stays in Bronze, the lowest tier: 0 of 20 answers passed" in html
    honest = body(site_of(shown(world)), "tiers/honest/index.html").decode()
    assert "None of the 40 attempts below failed." in honest
    assert "Up to Silver: 20 of 20 answers passed" in honest


def test_failures_are_heard_when_their_interval_is_over_and_not_before(tmp_path: Path) -> None:
    world = World(tmp_path, {"better": Manner.BETTER, "short": Manner.NO_WAV})
    world.run_interval(1)
    site = site_of(shown(world))
    assert not [path for path in site.paths() if path.endswith(".flac")]
    assert "None to hear" in body(site, "tiers/better/index.html").decode()
    assert site.page("tiers/better/audio/1-19.own.flac") is None
    world.close_interval(1)
    site = site_of(shown(world))
    heard = [path for path in site.paths() if path.startswith("tiers/better/") and path.endswith(".flac")]
    assert len(heard) == 3 * 5
    assert all(body(site, path).startswith(b"fLaC") for path in heard)
    html = body(site, "tiers/better/index.html").decode()
    for address in re.findall(r'src="(audio/[^"]+)"', html):
        assert f"tiers/better/{address}" in heard
    # What the prover sent is no audio, and is not passed on.
    assert not [p for p in site.paths() if p.startswith("tiers/short/") and p.endswith(".answer.flac")]
    assert "The prover sent no audio that can be played." in body(site, "tiers/short/index.html").decode()


def test_a_clip_with_a_private_recording_is_never_heard(tmp_path: Path) -> None:
    world = World(tmp_path, {"better": Manner.BETTER})
    world.run_interval(1)
    world.close_interval(1)
    tiers = shown(world)
    past = next(each for each in tiers.history.intervals if each.number == 1)
    banks = {hotkey: replace(bank, open_clips=()) for hotkey, bank in past.banks.items()}
    intervals = tuple(replace(e, banks=banks) if e.number == 1 else e for e in tiers.history.intervals)
    hidden = ShownTiers(replace(tiers.history, intervals=intervals), tiers.failures_folder)
    assert [path for path in tiers.paths() if path.endswith(".flac")]
    assert not [path for path in hidden.paths() if path.endswith(".flac")]


def test_a_link_among_the_kept_failures_is_not_followed(tmp_path: Path) -> None:
    world = World(tmp_path, {"better": Manner.BETTER})
    world.run_interval(1)
    world.close_interval(1)
    folder = world.context().failures_folder / "better"
    question = sorted(folder.glob("*.question.wav"))[-1]
    target = tmp_path / "secret.wav"
    question.rename(target)
    question.symlink_to(target)
    assert "tiers/better/audio/1-19.question.flac" not in set(shown(world).paths())


def test_the_files_beside_have_every_attempt_and_only_opened_answers(world: World) -> None:
    site = site_of(shown(world))
    facts = json.loads(body(site, "tiers/better/attempts.json"))
    assert len(facts["attempts"]) == 40
    assert facts["attempts"][0]["signed"]["is_valid"] is True
    by_number = {past["interval"]: past for past in facts["intervals"]}
    assert len(by_number[1]["own_answers"]) == 20
    assert (by_number[2]["own_answers"], by_number[2]["set_seed"]) == ({}, None)
    rows = list(csv.DictReader(io.StringIO(body(site, "tiers/better/attempts.csv").decode())))
    assert [row["result"] for row in rows] == ["different"] * 40
    ladder = list(csv.DictReader(io.StringIO(body(site, "tiers/ladder.csv").decode())))
    assert {row["hotkey"] for row in ladder} == set(MANNERS)


def test_no_text_of_a_stranger_becomes_markup_a_path_or_a_formula(world: World) -> None:
    tiers = shown(world)
    hostile = "=<img/src=x>/../.."
    row = tiers.history.rows[0]
    strange = replace(row, standing=replace(row.standing, hotkey=hostile))
    site = site_of(ShownTiers(replace(tiers.history, rows=(strange,)), tiers.failures_folder))
    for path in site.paths():
        assert ".." not in path
        if path.endswith(".html"):
            assert b"<img" not in body(site, path)
    assert body(site, "tiers/ladder.csv").decode().splitlines()[1].startswith("'=<img")


def test_a_built_site_has_every_page_and_its_sound(world: World, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build_site((), out, audio_bytes=0, tiers=shown(world))
    assert (out / "tiers" / "honest" / "index.html").is_file()
    html = (out / "tiers" / "better" / "index.html").read_text()
    for address in re.findall(r'(?:src|href)="((?:audio/|attempts)[^"]+)"', html):
        assert (out / "tiers" / "better" / address).is_file()
    assert "tiers/index.html" in (out / "index.html").read_text()


def test_the_server_shows_new_attempts_and_keeps_its_pages_when_the_database_is_away(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.run_interval(1)
    reader = TiersReader(world.state.scoped(SCOPE), world.records, world.counters)
    clock = [0.0]
    fault: list[Exception] = []

    def read() -> Any:
        if fault:
            raise fault[0]
        return reader.read()

    saved = SavedTiers(read, None, now=lambda: clock[0])
    client = TestClient(board_app(LiveSite([], live=False, tiers=saved, now=lambda: clock[0])))
    assert "Bronze" in cells_of(client.get("/tiers/").text, "Ladder, table")[0]
    assert client.get("/tiers/ladder.csv").headers["content-type"].startswith("text/csv")
    assert client.get("/tiers/nobody/").status_code == 404
    world.close_interval(1)
    clock[0] = 60.0
    assert "Silver" in cells_of(client.get("/tiers/").text, "Ladder, table")[0]
    fault.append(StateUnavailable("away", "Wait."))
    clock[0] = 120.0
    assert "Silver" in cells_of(client.get("/tiers/").text, "Ladder, table")[0]


def test_before_the_first_interval_the_page_says_so(tmp_path: Path) -> None:
    html = body(site_of(shown(World(tmp_path, {"honest": Manner.HONEST}))), "tiers/index.html").decode()
    assert "No prover yet." in html
    assert "No bank is committed to yet." in html
