"""A listener at a gateway's page: record or choose a file, hear before and after, see who answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from soundsright.core.audio import Audio, Samples
from soundsright.core.wav import encode_wav
from soundsright.services.gateway import GatewayAccess, GatewayLimits
from soundsright.testing.provers import FunctionStream, RunningProver, reference_model, running_prover
from tests.browser.conftest import until
from tests.browser.test_access import serious_violations
from tests.services.gateway.world import KEY, RunningGateway, running_gateway, serving
from tests.services.prover.callers import noise

if TYPE_CHECKING:
    from playwright.sync_api import Page

FLAGS = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@contextmanager
def running(*, open_demo: bool = True, limits: GatewayLimits | None = None) -> Iterator[tuple[str, RunningProver]]:
    """The address of a gateway with one prover that streams too."""
    with ExitStack() as stack:
        prover = stack.enter_context(running_prover(new_stream=FunctionStream))
        access = GatewayAccess((KEY,), open_demo=open_demo)
        gateway: RunningGateway = stack.enter_context(
            running_gateway([serving(prover)], access=access, limits=limits)
        )
        yield gateway.url + "/", prover


def answered(page: Page, prover: RunningProver) -> None:
    """Check that the page shows an answer of that prover."""
    until(page, "Try.shown")
    assert page.inner_text("#prover") == prover.hotkey
    assert page.inner_text("#tier") == "Gold"
    assert page.inner_text("#verified").startswith("Yes")
    assert " ms for" in page.inner_text("#latency")
    assert page.evaluate("Try.shown.before.length") > 0
    colours = "new Set((c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data)({c})).size"
    for name in ("before", "after"):
        canvas = f"document.getElementById('{name}-view')"
        assert page.evaluate(colours.format(c=canvas)) > 10, "a spectrogram is there"


def samples_of(page: Page, name: str) -> Samples:
    """The samples that the page shows."""
    return np.array(page.evaluate(f"Array.from(Try.shown.{name})"), np.float32)


def test_a_listener_records_sends_and_hears_before_and_after(visit: Callable[..., Any]) -> None:
    with running() as (address, prover):
        page = visit(address).open(address)
        assert page.url == address + "try"
        page.click("#record")
        until(page, "parseFloat(document.querySelector('#clock').textContent) >= 1.5")
        page.click("#record")
        answered(page, prover)
        assert page.evaluate("Try.shown.rate") == 16_000
        sent = Audio(samples_of(page, "before"), 16_000)
        # Browsers divide positive 16-bit samples by 32767.
        assert np.allclose(samples_of(page, "after"), reference_model(sent).samples, rtol=0, atol=4e-5)
        page.click("#play")
        until(page, "Try.player.playing && Try.player.heard === 'after'")
        page.click("#before")
        until(page, "Try.player.heard === 'before' && document.querySelector('#before').ariaPressed === 'true'")
        assert page.get_attribute("#save", "href").startswith("blob:")
        assert prover.hotkey[:8] in page.inner_text("#provers")


def test_a_listener_speaks_live(visit: Callable[..., Any]) -> None:
    with running() as (address, prover):
        page = visit(address).open(address)
        page.click("#live")
        until(page, "parseFloat(document.querySelector('#clock').textContent) >= 2")
        page.click("#live")
        answered(page, prover)
        # The stream of the tests halves each sample and lags by a frame, which the page takes back.
        before, after = samples_of(page, "before"), samples_of(page, "after")
        assert len(after) == len(before) > 16_000
        assert np.abs(before / 2 - after).max() <= 1 / 32_768


def test_a_file_of_another_rate_is_resampled_and_cut_to_the_limit(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "long.wav").write_bytes(encode_wav(noise(3.0, rate_hz=48_000)))
    with running(limits=GatewayLimits(demo_max_audio_s=2.0)) as (address, prover):
        page = visit(address).open(address)
        page.set_input_files("#file", tmp_path / "long.wav")
        answered(page, prover)
        assert page.evaluate("Try.shown.before.length") == 32_000
        assert "Only the first 2 seconds" in page.inner_text("#say")


def test_a_file_that_is_no_audio_is_told(visit: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no audio")
    with running() as (address, _):
        page = visit(address).open(address)
        page.set_input_files("#file", tmp_path / "notes.txt")
        until(page, "!document.querySelector('#say').hidden")
        assert page.inner_text("#say") == "notes.txt cannot be read as audio."


def test_without_the_open_demo_the_page_asks_for_a_key_and_keeps_it_in_this_tab(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "speech.wav").write_bytes(encode_wav(noise()))
    with running(open_demo=False) as (address, prover):
        page = visit(address).open(address)
        page.click("#record")
        assert page.inner_text("#say") == "Type your key first."
        assert page.evaluate("document.activeElement.id") == "key"
        page.locator("#key").fill(KEY)
        page.set_input_files("#file", tmp_path / "speech.wav")
        answered(page, prover)
        page.reload()
        assert page.input_value("#key") == KEY
        assert page.evaluate("localStorage.length") == 0


def test_everything_works_by_keyboard_and_for_screen_readers(visit: Callable[..., Any]) -> None:
    with running() as (address, prover):
        page = visit(address).open(address)
        assert serious_violations(page) == []
        page.locator("#record").press("Enter")
        until(page, "parseFloat(document.querySelector('#clock').textContent) >= 1")
        page.locator("#record").press("Enter")
        answered(page, prover)
        assert page.evaluate("document.activeElement.id") == "result-title"
        page.keyboard.press("1")
        until(page, "Try.player.heard === 'before'")
        page.locator("#play").press("Space")
        until(page, "Try.player.playing")
        assert serious_violations(page) == []


@pytest.mark.parametrize("width", [360, 1_200])
def test_the_page_fits_the_screen(visit: Callable[..., Any], width: int) -> None:
    with running() as (address, _):
        page = visit(address, viewport={"width": width, "height": 740}).open(address)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
