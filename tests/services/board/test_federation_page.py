"""The pages of a federation: turns, ranks, agreement, tasks with audio, and what strangers' texts can do there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from soundsright.core.errors import UsageError
from soundsright.services.board import SavedFederation, ShownFederation, board_app, build_site
from soundsright.services.board.pages import AudioAccess, Site
from soundsright.services.board.server import LiveSite
from soundsright.services.records import TABLE_FILE, write_federation_table
from tests.services.records.federation_rows import (
    COMPETITION,
    HOSTILE,
    LIAR,
    MINERS,
    VALIDATORS,
    saved_table,
    usual_table,
)


def page(folder: Path, path: str) -> str:
    site = Site((), AudioAccess("file"), federation=ShownFederation.read(folder))
    rendered = site.page(path)
    assert rendered is not None
    return rendered.body.decode()


def cells_of(html: str, label: str) -> list[list[str]]:
    """The texts of the body of the table in the region with that label."""
    region = html[html.index(f'aria-label="{label}"') :]
    body = region[region.index("<tbody>") : region.index("</tbody>")]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows
    ]


def test_the_page_says_whose_turn_it_is_and_who_wins(tmp_path: Path) -> None:
    html = page(saved_table(tmp_path), "federation/index.html")
    assert "<dt>whose turn</dt><dd>Aachen</dd>" in html
    assert f"{COMPETITION}: <b>gtcrn</b>" in html
    assert "window of 100 tasks, 1129 to 1228" in html


def test_the_strip_has_each_turn_and_the_table_counts_them(tmp_path: Path) -> None:
    table = usual_table()
    html = page(saved_table(tmp_path, table), "federation/index.html")
    assert html.count("<title>task ") == len(table.turns)
    assert "Aachen: on time</title>" in html
    counted = cells_of(html, "Turns by validator, table")
    own = [turn.state.value for turn in table.turns if turn.validator == VALIDATORS[0]]
    assert counted[0] == ["Aachen", *(str(own.count(s) or "–") for s in HEADS)]


HEADS = ("on time", "backup", "missing", "rejected", "two verdicts", "not read")


def test_a_rank_has_the_rate_at_each_validator(tmp_path: Path) -> None:
    first, second, third = cells_of(
        page(saved_table(tmp_path), "federation/index.html"), f"Ranks in {COMPETITION}, table"
    )
    assert first[:3] == ["1", "gtcrn", "0.7700"]
    assert first[3:] == ["19 of 20"] * 4 + ["1 of 20", "winner"]
    assert second[-1] == "eligible"
    assert third[0] == "–"
    assert third[-1].startswith("not eligible judged in 12 of 100 tasks")


def test_the_validator_that_lies_stands_apart_in_the_matrix_and_in_words(tmp_path: Path) -> None:
    html = page(saved_table(tmp_path), "federation/index.html")
    matrix = cells_of(html, "Agreement of the validators, table")
    assert matrix[0] == ["Aachen", "–", "1.000", "1.000", "1.000", "0.700"]
    assert "Liar let gtcrn pass 1 of 20 tasks in DENOISING_16000HZ, the others 76 of 80." in html


def test_no_text_of_a_stranger_becomes_markup(tmp_path: Path) -> None:
    folder = saved_table(tmp_path)
    for path in ("federation/index.html", "federation/t/1227.html"):
        html = page(folder, path)
        assert HOSTILE not in html
        assert "&lt;img src=x" in html


def test_a_task_has_its_scores_beside_the_input_and_its_audio(tmp_path: Path) -> None:
    html = page(saved_table(tmp_path), "federation/t/1228.html")
    rows = cells_of(html, f"Results in {COMPETITION}, table")
    assert rows[0][:4] == ["unprocessed input", "1.500", "0.600", "5.000"]
    assert rows[1][1:] == ["2.000", "0.700", "12.000", "–", "passed"]
    assert rows[2][1:] == ["2.100", "0.700", "12.000", "2", "not passed"]
    assert html.count("<audio") == 2 * (1 + len(MINERS))
    assert "soundsright federation audit 1228" in html


def test_a_built_site_has_every_page_and_sound_and_only_of_named_clips(tmp_path: Path) -> None:
    folder = saved_table(tmp_path / "table")
    (folder / "audio" / "1227" / "original" / "999.flac").write_bytes(b"not named")
    out = tmp_path / "site"
    build_site((), out, audio_bytes=0, federation=ShownFederation.read(folder))
    assert (out / "federation" / "t" / "1227.html").is_file()
    assert len(list((out / "federation" / "audio").rglob("*.flac"))) == 2 * 2 * 4
    for address in re.findall(r'src="(\.\./audio[^"]+)"', (out / "federation/t/1227.html").read_text()):
        assert (out / "federation" / "t" / address).resolve().read_bytes() == b"fLaC"
    assert "federation/index.html" in (out / "index.html").read_text()


def test_a_link_to_a_file_outside_is_not_audio(tmp_path: Path) -> None:
    folder = saved_table(tmp_path / "table")
    secret = tmp_path / "key"
    secret.write_text("secret")
    file = folder / "audio" / "1227" / "original" / "000.flac"
    file.unlink()
    file.symlink_to(secret)
    shown = ShownFederation.read(folder)
    assert "federation/audio/1227/original/000.flac" not in set(shown.paths())
    assert Site((), AudioAccess("file"), federation=shown).page("federation/audio/1227/original/000.flac") is None


def test_the_served_page_follows_the_table_and_outlives_a_damaged_one(tmp_path: Path) -> None:
    folder = saved_table(tmp_path / "table")
    now = [0.0]
    site = LiveSite((), live=True, federation=SavedFederation(folder), now=lambda: now[0])
    client = TestClient(board_app(site))
    assert "Aachen" in client.get("/federation/").text
    newer = usual_table().model_copy(update={"names": {VALIDATORS[0]: "Bonn", LIAR: "Liar"}})
    write_federation_table(folder, newer)
    now[0] = 10.0
    assert "Bonn" in client.get("/federation/").text
    (folder / TABLE_FILE).write_text("{")
    now[0] = 20.0
    assert "Bonn" in client.get("/federation/").text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "is no table of a federation"),
        ('{"schema": "soundsright.federation-table/1", "block": -1}', "block"),
        ('{"schema": "soundsright.federation-table/2"}', "schema"),
        ('{"block": NaN}', "is no table of a federation"),
    ],
)
def test_a_damaged_table_is_refused_in_a_sentence(tmp_path: Path, text: str, fault: str) -> None:
    saved_table(tmp_path)
    (tmp_path / TABLE_FILE).write_text(text)
    with pytest.raises(UsageError, match=fault):
        ShownFederation.read(tmp_path)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        SavedFederation(tmp_path)
