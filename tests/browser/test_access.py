"""Accessibility: the rules of axe in light and dark, and no page wider than a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
COMPETITION = "r/first/DENOISING_16000HZ/"
PAGES = {
    "leaderboard": "index.html",
    "executor": "executor/index.html",
    "federation": "federation/index.html",
    "task of a federation": "federation/t/1227.html",
    "tiers": "tiers/index.html",
    "prover": "tiers/better/index.html",
    "rounds": "history.html",
    "round": "r/first/index.html",
    "replayed round": "r/run/index.html",
    "competition": COMPETITION + "index.html",
    "entry": COMPETITION + "e/1-alpine.html",
    "ears": COMPETITION + "ears.html#a=1-alpine&b=2-brook",
}


def serious_violations(page: Page) -> list[str]:
    """The serious and critical violations that axe reports, one line each."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci --prefix tests/browser")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    report = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:120]} ({v['nodes'][0]['failureSummary'][:160]})"
        for v in report["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(visit: Callable[..., Any], site: str, name: str, scheme: str) -> None:
    page = visit(site, color_scheme=scheme).open(site + PAGES[name])
    if name == "ears":
        until(page, "document.body.dataset.loaded")
    assert serious_violations(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_telephone_scrolls_tables_and_not_the_page(visit: Callable[..., Any], site: str, name: str) -> None:
    page = visit(site, viewport={"width": 360, "height": 740}).open(site + PAGES[name])
    if name == "ears":
        until(page, "document.body.dataset.loaded")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_text_in_plots_is_legible_on_a_telephone(visit: Callable[..., Any], site: str) -> None:
    page = visit(site, viewport={"width": 360, "height": 740}).open(site + PAGES["competition"])
    heights = page.eval_on_selector_all("svg.plot text", "els => els.map(e => e.getBoundingClientRect().height)")
    assert min(heights) >= 9


def test_the_first_page_is_under_100_kb(site: str) -> None:
    from urllib.parse import urlparse

    root = Path(urlparse(site).path)
    files = [
        root / "index.html",
        *(root / "assets" / n for n in ("board.css", "plots.css", "board.js", "mark.svg")),
    ]
    assert sum(file.stat().st_size for file in files) < 100_000
