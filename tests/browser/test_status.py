"""The running round in a browser: it updates by itself, names are text, and axe finds no problem."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from soundsright.services.board.server import LiveSite, board_app
from soundsright.services.board.status_feed import StatusFeed
from soundsright.services.board.status_view import RoundStatus, RoundWatch
from tests.browser.conftest import HOSTILE, served, until
from tests.browser.test_access import serious_violations
from tests.services.board.test_status import Round


class HostileWatch(RoundWatch):
    """Gives the second entry a hostile label. No model can have it, but the page must show any label as text."""

    def look(self) -> RoundStatus | None:
        status = super().look()
        if status is None or len(status.entries) < 2:
            return status
        first, second = status.entries
        return replace(status, entries=(first, replace(second, label=f"{HOSTILE}/model")))


def test_the_page_follows_the_round(visit: Callable[..., Any], tmp_path: Path) -> None:
    current = Round(tmp_path / "now")
    current.begin()
    feed = StatusFeed([tmp_path], lambda folder: HostileWatch(current.state, folder, now=time.monotonic))
    with served(board_app(LiveSite([tmp_path], live=True), feed)) as address:
        page = visit(address).open(address + "status")
        until(page, "document.querySelector('#stage').textContent === 'Wait for the seed'")
        current.ready("alpine", "brook")
        until(page, "document.querySelector('#clips').textContent === '0 of 8'")
        current.batch("1-alpine", 0, 1, fault={"code": "crashed", "detail": HOSTILE})
        until(page, "document.querySelector('#clips').textContent === '2 of 8'")
        assert f"{HOSTILE}/model" in page.inner_text("#entries")
        assert f"crashed: {HOSTILE}" in page.inner_text("#faults")
        assert page.title() == "Running now · SoundsRight"
        assert serious_violations(page) == []
        (current.folder / "results.json").write_text("{}")
        until(page, "!document.querySelector('#problem').hidden")
        assert page.inner_text("#problem") == "No round is running."
        feed.stop()
    current.state.close()
