"""A headless Chromium, a site built from a small run, and the same site served on a free port of this machine."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.core.audio import Audio
from soundsright.services.drawing import flac_bytes
from soundsright.services.replay import Depth, Sample
from soundsright.services.rounds import Difference
from tests.services.board.attestations import attested
from tests.services.board.tiers_world import shown, verified
from tests.services.records.bundles import recorded_run
from tests.services.records.executor_rows import always_valid, write_rounds
from tests.services.records.federation_rows import saved_table
from tests.services.records.runs import USUAL, Entrant, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

HERE = Path(__file__).parent
HOSTILE = "<script>document.title='owned'</script>"
HOSTILE_IMAGE = "\"'><img src=x onerror=document.title='owned'>"
REFUSED: dict[str, Any] = {
    "entry": f"{HOSTILE}/copy",
    "hotkey": HOSTILE,
    "uid": None,
    "code": "same_content_hash",
    "sentence": f"Copies {HOSTILE_IMAGE}",
    "evidence": {},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A headless Chromium. Until it is closed, this thread's event loop runs, so other modules must not see it.

    A module's `FLAGS` are further flags for it.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("Playwright is not installed")
    flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage"]
    flags += getattr(request.module, "FLAGS", [])
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=flags)
        yield chromium
        chromium.close()


def until(page: Page, expression: str) -> None:
    """Wait until the expression is true. Polled from outside: the policy of the pages forbids `eval`."""
    deadline = time.monotonic() + 15
    while not page.evaluate(f"Boolean({expression})"):
        assert time.monotonic() < deadline, f"this did not become true within 15 s: {expression}"
        page.wait_for_timeout(20)


class Visit:
    """A page with its problems: errors, violations of the security policy, and requests to other sites."""

    def __init__(self, context: BrowserContext, allowed: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(10_000)
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("request", lambda r: self._requested(r.url, allowed))

    def _requested(self, url: str, allowed: str) -> None:
        if not url.startswith((allowed, "data:")):
            self.outside.append(url)

    def open(self, address: str) -> Page:
        self.page.goto(address)
        return self.page


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens a new page. The test fails if a page has an error or sends a request to another site."""
    visits: list[Visit] = []
    contexts: list[BrowserContext] = []

    def start(allowed: str, **options: Any) -> Visit:
        contexts.append(browser.new_context(**options))
        visits.append(Visit(contexts[-1], allowed))
        return visits[-1]

    yield start
    for context in contexts:
        context.close()
    # An event stream that ends with its server is not an error of the page.
    errors = [error for one in visits for error in one.errors if "ERR_INCOMPLETE_CHUNKED_ENCODING" not in error]
    assert errors == []
    assert [address for one in visits for address in one.outside] == []


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a hostile miner in it."""
    entrants = [*USUAL, Entrant(f"{HOSTILE}/{HOSTILE_IMAGE}"[:200], 0.2, HOSTILE)]
    return write_run(tmp_path_factory.mktemp("runs") / "first", entrants, refused=[REFUSED])


def replayed_run(folder: Path) -> Path:
    """A signed round that two validators replayed, one with a difference."""
    run = recorded_run(folder, Hotkey.of_seed("vera")).folder
    attested(run, Hotkey.of_seed("wilma"))
    attested(run, Hotkey.of_seed("wilma"), Depth.SCORE, sample=Sample(200, "0xab"))
    difference = Difference("DENOISING_16000HZ", "decide", "shares", HOSTILE, HOSTILE_IMAGE)
    attested(run, Hotkey.of_seed("xenia"), difference=difference)
    attested(run, Hotkey.of_seed("yara"), changes={"bundle": "0" * 64})
    return run


@pytest.fixture(scope="session")
def site(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the static build on disk."""
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.board import ShownFederation, build_site
    from soundsright.services.records import read_executor_rounds
    from soundsright.services.records.runs import find_runs, read_runs

    second = write_run(tmp_path_factory.mktemp("more") / "second", seed=8, clips=4)
    out = tmp_path_factory.mktemp("site")
    executor = read_executor_rounds(write_rounds(tmp_path_factory.mktemp("rounds")), valid_signature=always_valid)
    runs = read_runs(find_runs([second, replayed_run(tmp_path_factory.mktemp("replayed")), run_folder]))
    sound = flac_bytes(Audio(np.zeros(16_000, np.float32), 16_000))
    federation = ShownFederation.read(saved_table(tmp_path_factory.mktemp("federation"), flac=sound))
    tiers = shown(verified(tmp_path_factory.mktemp("tiers")))
    build_site(
        runs,
        out,
        audio_bytes=64 << 20,
        executor=executor,
        federation=federation,
        tiers=tiers,
        valid_signature=valid_signature,
    )
    return out.as_uri() + "/"


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve the application on a free port until the block ends."""
    import uvicorn

    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive(), "the server has ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture(scope="session")
def server(run_folder: Path) -> Iterator[str]:
    from soundsright.services.board.server import LiveSite, board_app

    with served(board_app(LiveSite([run_folder], live=False))) as address:
        yield address
