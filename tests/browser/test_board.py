"""The leaderboard in a browser, from a disk: sorting, comparing two entries, and hostile names."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import HOSTILE, Visit, served, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COMPETITION = "r/first/DENOISING_16000HZ/"
LABELS = "rows => rows.map(row => row.querySelector('th a, th span').textContent)"


def labels(page: Page) -> list[str]:
    return list(page.eval_on_selector_all("table.board tbody tr", LABELS))


def test_a_heading_sorts_the_table_and_sorts_it_back(visit: Callable[..., Visit], site: str) -> None:
    page = visit(site).open(site + "index.html")
    before = labels(page)
    assert before[0] == "alpine/clear"
    heading = page.locator("table.board th", has_text="RTF").first
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert labels(page)[0] == "alpine/clear"
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    after = labels(page)
    assert after[-1] == "unprocessed input", "rows without a value stay last in both directions"
    assert after[:-1] == before[:-1][::-1]


def test_the_best_score_comes_first_when_a_metric_is_chosen(visit: Callable[..., Visit], site: str) -> None:
    page = visit(site).open(site + "index.html")
    page.locator("table.board th", has_text="PESQ-WB").first.get_by_role("button").click()
    cells = "els => els.map(e => Number(e.children[4].dataset.v))"
    values = page.eval_on_selector_all("table.board tbody tr", cells)
    assert values == sorted(values, reverse=True)


def test_a_table_sorts_from_the_keyboard(visit: Callable[..., Visit], site: str) -> None:
    page = visit(site).open(site + "index.html")
    page.locator("table.board th", has_text="entry").first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    names = labels(page)
    assert names == sorted(names, key=str.lower)


def test_two_clicks_open_the_clip_with_the_largest_difference(visit: Callable[..., Visit], site: str) -> None:
    page = visit(site).open(site + COMPETITION + "index.html")
    page.get_by_role("link", name="Listen to alpine/clear").click()
    assert "in the row of the entry to compare it with" in page.locator(".pick").inner_text()
    page.get_by_role("link", name="Listen to cedar/late").click()
    until(page, "document.body.dataset.loaded")
    shown = page.locator("#clips [role=option]")
    sizes = [abs(float(t.replace("−", "-"))) for t in shown.locator("b").all_inner_texts()]
    assert sizes == sorted(sizes, reverse=True) or "no audio" in shown.last.inner_text()
    assert shown.first.get_attribute("aria-selected") == "true"
    assert page.locator("#a option:checked").inner_text() == "1. alpine/clear"
    assert page.locator("#b option:checked").inner_text() == "3. cedar/late"


@pytest.mark.parametrize(
    "path",
    ["index.html", "history.html", "r/first/index.html", COMPETITION + "index.html", COMPETITION + "ears.html"],
)
def test_a_hostile_name_is_shown_and_does_nothing(visit: Callable[..., Visit], site: str, path: str) -> None:
    page = visit(site).open(site + path)
    page.wait_for_timeout(100)
    assert "owned" not in page.title()
    assert page.locator("img").count() == 0
    if path != "history.html":
        text = page.locator("#a").inner_text() if path.endswith("ears.html") else page.inner_text("main")
        assert HOSTILE in text


def test_the_page_of_a_hostile_entry_works(visit: Callable[..., Visit], site: str) -> None:
    page = visit(site).open(site + COMPETITION + "index.html")
    page.locator("table.board tbody a", has_text="<script>").first.click()
    page.wait_for_selector("h1")
    assert page.inner_text("h1").startswith(HOSTILE)
    page.get_by_role("link", name="Compare it with the unprocessed input by ear").click()
    until(page, "document.body.dataset.loaded")
    assert HOSTILE in page.locator("#a option:checked").inner_text()
    assert "owned" not in page.title()


def test_every_page_of_the_build_opens_and_every_link_leads_to_a_file(
    visit: Callable[..., Visit], site: str
) -> None:
    first = visit(site)
    todo, visited = {site + "index.html"}, set()
    while todo:
        address = todo.pop()
        visited.add(address)
        page = first.open(address)
        for link in page.eval_on_selector_all("a[href]", "els => els.map(e => e.href.split('#')[0])"):
            assert link.startswith(site), f"{address} leads to {link}"
            if link.endswith(".html") and link not in visited:
                todo.add(link)
    assert len(visited) >= 12


def test_a_table_of_256_entries_is_sorted(visit: Callable[..., Visit], tmp_path: Path) -> None:
    from soundsright.services.board.build import build_site
    from soundsright.services.records.runs import read_run
    from tests.services.records.runs import Entrant, write_run

    entrants = [Entrant(f"miner/{i:03d}", (i * 37 % 256) / 100, f"m{i}") for i in range(256)]
    run = read_run(write_run(tmp_path / "many", entrants, clips=2, audio=False), "many")
    build_site([run], tmp_path / "out", audio_bytes=0)
    base = (tmp_path / "out").as_uri() + "/"
    page = visit(base).open(base + "index.html")
    rows = page.locator("table.board tbody tr").count()
    page.locator("table.board th", has_text="ESTOI").first.get_by_role("button").click()
    cells = "els => els.map(e => Number(e.children[4].dataset.v))"
    values = page.eval_on_selector_all("table.board tbody tr", cells)
    assert rows == 257
    assert values == sorted(values, reverse=True)


def test_pages_have_no_inline_scripts(visit: Callable[..., Visit], site: str) -> None:
    page = visit(site).open(site + COMPETITION + "ears.html")
    inline = "els => els.filter(e => !e.src && e.type !== 'application/json').length"
    assert page.eval_on_selector_all("script", inline) == 0
    assert page.locator("[style], [onclick], [onload], [onerror]").count() == 0


def test_an_injected_script_does_not_run(browser: Browser, server: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    refusals: list[str] = []
    page.on("console", lambda message: refusals.append(message.text))
    page.goto(server)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
    inject = (
        "const s = document.createElement('script'); s.textContent = 'document.title=2'; document.body.append(s)"
    )
    page.evaluate(inject)
    page.wait_for_timeout(200)
    deadline = time.monotonic() + 15
    while not any("Content Security Policy" in text for text in refusals):
        assert time.monotonic() < deadline, refusals
        page.wait_for_timeout(20)
    assert page.title() not in ("1", "2")
    context.close()


def test_a_server_without_results_shows_a_message(visit: Callable[..., Visit], tmp_path: Path) -> None:
    from soundsright.services.board.server import LiveSite, board_app

    half = tmp_path / "half"
    half.mkdir()
    (half / "run.json").write_text("{}")
    with served(board_app(LiveSite([half], live=False))) as address:
        page = visit(address).open(address)
        assert "No results yet" in page.inner_text("main")
        assert "not finished" in page.inner_text("main")


def test_the_listen_links_are_visible_on_a_phone(visit: Callable[..., Visit], site: str) -> None:
    page = visit(site, viewport={"width": 390, "height": 800}).open(site + COMPETITION + "index.html")
    for link in page.locator("table.board a.hear").all():
        box = link.bounding_box()
        assert box["x"] + box["width"] <= 390
    assert "gradient" in page.eval_on_selector(".wide", "e => getComputedStyle(e).backgroundImage")


def test_a_failed_clip_shows_the_floor_and_a_printed_page_shows_every_clip(
    visit: Callable[..., Visit], site: str
) -> None:
    page = visit(site).open(site + COMPETITION + "e/3-cedar.html")
    table = page.locator(".tall table")
    assert table.locator("caption").inner_text().startswith("6 clips")
    failed = table.locator("tbody tr", has=page.locator("td.fail:not(:empty)"))
    assert failed.locator("td.soft").all_inner_texts() == ["1.00", "\u22121.000", "\u221260.00"]
    page.emulate_media(media="print")
    assert page.eval_on_selector(".tall", "e => e.scrollHeight - e.clientHeight") == 0


def test_a_long_name_fits_beside_a_plot(visit: Callable[..., Visit], site: str) -> None:
    from soundsright.services.drawing.boxes import Box, box_plot

    drawing = box_plot([Box("harbour/baseline-denoising-16k", (1.0, 2.0))], title="t", unit="")
    page = visit(site).open(site + COMPETITION + "index.html")
    page.locator("main").evaluate("(main, drawing) => { main.innerHTML = drawing; }", drawing)
    assert page.eval_on_selector("svg.boxes .label", "e => e.getBBox().x") >= 0
