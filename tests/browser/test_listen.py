"""A listening test in the browser, from the first page to the last question, under each method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundsright.services.listening import ListeningTest
from soundsright.services.listening_results import folder_of_test, read_test, save_test
from soundsright.services.listening_server import ListeningRoom, listening_app
from soundsright.services.runs import read_run
from tests.browser.conftest import served, until
from tests.browser.test_access import serious_violations
from tests.web.runs import write_run


@pytest.mark.parametrize("method", ["acr", "ccr", "mushra"])
def test_a_rater_gets_to_the_end_by_keyboard_alone(visit: Callable[..., Any], tmp_path: Path, method: str) -> None:
    folder = write_run(tmp_path / "first", clips=2)
    competition = read_run(folder, "first").competitions[0]
    test = ListeningTest("ears", method, "DENOISING_16000HZ", ("1-alpine",), ("000000", "000001"), 1)
    at = folder_of_test(folder, "ears")
    save_test(at, test, competition)
    with served(listening_app(ListeningRoom(test, competition, at))) as address:
        page = visit(address).open(address)
        page.locator("#start").press("Enter")
        questions = 2 if method == "mushra" else 6
        for number in range(questions):
            until(page, f"Listen.number === {number} && document.querySelector('#stimuli button')")
            assert page.locator("#next").is_disabled(), "nothing was heard and nothing rated"
            if number == 0:
                assert serious_violations(page) == []
            for button in page.locator("#stimuli button").all():
                button.press("Enter")
            for slider in page.locator("#stimuli input[type=range]").all():
                slider.press("ArrowRight")
            if method != "mushra":
                page.locator("#stimuli input[type=radio]").nth(number % 5).press("Space")
            until(page, "!document.querySelector('#next').disabled")
            page.locator("#next").press("Enter")
            page.wait_for_timeout(20)
        until(page, "document.body.dataset.done")
        assert "Thank you" in page.inner_text("#say")
    votes = read_test(at)[2]
    assert len(votes) == len(test.clips) * len(test.conditions)


def test_a_server_that_is_gone_loses_no_answer(visit: Callable[..., Any], tmp_path: Path, browser: Any) -> None:
    folder = write_run(tmp_path / "first", clips=1)
    competition = read_run(folder, "first").competitions[0]
    test = ListeningTest("ears", "acr", "DENOISING_16000HZ", ("1-alpine",), ("000000",), 1)
    at = folder_of_test(folder, "ears")
    save_test(at, test, competition)
    with served(listening_app(ListeningRoom(test, competition, at))) as address:
        page = browser.new_page()
        page.goto(address)
        page.click("#start")
        until(page, "Listen.test && document.querySelector('#stimuli button')")
        page.click("#stimuli button")
        page.locator("#stimuli input[type=radio]").first.check()
        until(page, "!document.querySelector('#next').disabled")
        page.context.set_offline(True)
        page.click("#next")
        until(page, "!document.querySelector('#say').hidden")
        assert "Your answer is still here" in page.inner_text("#say")
        page.context.set_offline(False)
        page.click("#next")
        until(page, "Listen.number === 1")
        page.close()
    assert len(read_test(at)[2]) == 1
