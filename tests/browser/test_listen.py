"""A listening test in the browser, from the first page to the last question, with each method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from soundsright.services.listening.plan import ListeningTest
from soundsright.services.listening.results import folder_of_test, read_test, save_test
from soundsright.services.listening.room import ListeningRoom
from soundsright.services.listening.server import listening_app
from soundsright.services.records.runs import read_run
from tests.browser.conftest import served, until
from tests.browser.test_access import serious_violations
from tests.services.records.runs import write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def wait_until_heard(page: Page, name: str) -> None:
    """Wait until the page counts the playing recording as heard."""
    until(page, f"document.querySelector('#stimuli button[data-name=\"{name}\"][data-heard]')")


@contextmanager
def running_test(folder: Path, method: str, clips: tuple[str, ...] = ("000000",)) -> Iterator[tuple[str, Path]]:
    """A test of one entry on one-second clips: its address and its folder."""
    run_folder = write_run(folder / "first", clips=len(clips))
    competition = read_run(run_folder, "first").competitions[0]
    test = ListeningTest("ears", method, "DENOISING_16000HZ", ("1-alpine",), clips, 1)
    at = folder_of_test(run_folder, "ears")
    save_test(at, test, competition)
    with served(listening_app(ListeningRoom(test, competition, at, seats_per_client=100))) as address:
        yield address, at


@pytest.mark.parametrize("method", ["ccr", "mushra"])
def test_next_is_enabled_after_listening_and_not_after_clicking(
    visit: Callable[..., Any], tmp_path: Path, method: str
) -> None:
    with running_test(tmp_path, method) as (address, _):
        page = visit(address).open(address)
        page.click("#start")
        until(page, "document.querySelector('#stimuli button')")
        buttons = page.locator("#stimuli button").all()
        # Click all buttons in one script call. Between separate calls, a busy machine could play a whole clip.
        page.eval_on_selector_all("#stimuli button", "buttons => buttons.forEach(button => button.click())")
        for slider in page.locator("#stimuli input[type=range]").all():
            slider.press("ArrowRight")
        if method == "ccr":
            page.locator("#stimuli input[type=radio]").first.check()
        # The last recording keeps playing, and is the only one that was heard.
        wait_until_heard(page, buttons[-1].get_attribute("data-name"))
        assert page.locator("#stimuli button[data-heard]").count() == 1
        assert page.locator("#next").is_disabled()
        for button in buttons[:-1]:
            button.click()
            wait_until_heard(page, button.get_attribute("data-name"))
        until(page, "!document.querySelector('#next').disabled")


def test_a_slider_gives_the_score_that_it_shows(visit: Callable[..., Any], tmp_path: Path) -> None:
    with running_test(tmp_path, "mushra") as (address, at):
        page = visit(address).open(address)
        page.click("#start")
        until(page, "document.querySelector('#stimuli button')")
        sliders = page.locator("#stimuli input[type=range]").all()
        page.locator("#stimuli output").first.wait_for()
        sliders[0].press("Enter")
        box = sliders[1].bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert page.locator("#stimuli output").all_inner_texts()[:3] == ["50 Fair", "50 Fair", "–"]
        for slider in sliders[2:]:
            slider.press("Enter")
        for button in page.locator("#stimuli button").all():
            button.click()
            wait_until_heard(page, button.get_attribute("data-name"))
        page.locator("#next").press("Enter")
        until(page, "document.body.dataset.done")
        assert {vote.score for vote in read_test(at).votes} == {50.0}


def test_after_a_reload_the_test_continues_with_the_same_rater(visit: Callable[..., Any], tmp_path: Path) -> None:
    with running_test(tmp_path, "acr") as (address, at):
        page = visit(address).open(address)
        page.click("#start")
        for number in range(3):
            until(page, f"Listen.number === {number} && document.querySelector('#stimuli button')")
            if number == 1:
                page.reload()
                until(page, "Listen.number === 1 && document.querySelector('#stimuli button')")
                assert page.inner_text("#number") == "Question 2 of 3"
            button = page.locator("#stimuli button")
            button.click()
            wait_until_heard(page, button.get_attribute("data-name"))
            page.locator("#stimuli input[type=radio]").first.check()
            page.click("#next")
        until(page, "document.body.dataset.done")
        assert len({vote.rater for vote in read_test(at).votes}) == 1
        page.reload()
        assert page.locator("#start").is_visible(), "a rater who has finished gets no more questions"


@pytest.mark.parametrize("method", ["acr", "ccr", "mushra"])
def test_a_rater_can_finish_with_the_keyboard_only(visit: Callable[..., Any], tmp_path: Path, method: str) -> None:
    with running_test(tmp_path, method, ("000000", "000001")) as (address, at):
        page = visit(address).open(address)
        page.locator("#start").press("Enter")
        questions = 2 if method == "mushra" else 6
        for number in range(questions):
            until(page, f"Listen.number === {number} && document.querySelector('#stimuli button')")
            assert page.locator("#next").is_disabled(), "nothing was heard or rated yet"
            if number == 0:
                assert serious_violations(page) == []
            for button in page.locator("#stimuli button").all():
                button.press("Enter")
                wait_until_heard(page, button.get_attribute("data-name"))
            for slider in page.locator("#stimuli input[type=range]").all():
                slider.press("ArrowRight")
            if method != "mushra":
                page.locator("#stimuli input[type=radio]").nth(number % 5).press("Space")
            until(page, "!document.querySelector('#next').disabled")
            page.locator("#next").press("Enter")
            page.wait_for_timeout(20)
        until(page, "document.body.dataset.done")
        assert "Thank you" in page.inner_text("#say")
    stored = read_test(at)
    assert len(stored.votes) == len(stored.test.clips) * len(stored.test.conditions)


def test_no_answer_is_lost_when_the_server_is_unreachable(
    visit: Callable[..., Any], tmp_path: Path, browser: Browser
) -> None:
    with running_test(tmp_path, "acr") as (address, at):
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
    assert len(read_test(at).votes) == 1
