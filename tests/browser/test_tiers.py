"""The ladder of served models in a browser, from a disk: sorting, a prover's page, and its failures by ear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.browser.conftest import Visit, until

FIRST = "table.board tbody tr:first-child th a"


def test_the_ladder_is_found_sorted_and_leads_to_a_prover(visit: Callable[..., Visit], site: str) -> None:
    page = visit(site).open(site + "index.html")
    page.get_by_role("link", name="Tiers", exact=True).click()
    assert page.locator("h1").inner_text() == "Tiers"
    assert page.locator("[aria-label='Ladder, table'] tbody tr").count() == 5
    assert page.locator(FIRST).inner_text() in ("honest", "threads")
    rate = page.locator("button.sort", has_text="rate")
    rate.click()
    rate.click()
    assert page.locator(FIRST).inner_text() in ("better", "short", "gone")
    page.get_by_role("link", name="better", exact=True).click()
    assert page.locator("h1").inner_text() == "better"
    assert page.locator("svg.bars").count() == 2


def test_the_last_failures_of_a_prover_play(visit: Callable[..., Any], site: str) -> None:
    page = visit(site).open(site + "tiers/better/index.html")
    sounds = page.locator("details[open] audio")
    assert sounds.count() == 3
    for number in range(3):
        sounds.nth(number).evaluate("sound => sound.load()")
        until(page, f"document.querySelectorAll('details[open] audio')[{number}].readyState > 0")
    lengths = [sounds.nth(number).evaluate("sound => sound.duration") for number in range(3)]
    assert len(set(lengths)) == 1
    assert lengths[0] > 0


def test_a_column_of_the_charts_says_its_numbers(visit: Callable[..., Any], site: str) -> None:
    page = visit(site).open(site + "tiers/threads/index.html")
    words = page.locator("svg.bars g title").first.text_content()
    assert words == "interval 1: 0 hash, 20 similar, 0 failed"
