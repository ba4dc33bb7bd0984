"""Takes the pictures of docs/assets/leaderboard/ from a run, in headless Chromium.

python scripts/leaderboard_pictures.py RUN docs/assets/leaderboard
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from playwright.sync_api import sync_playwright

from soundsright.services.board import build_site
from soundsright.services.records import find_runs, read_runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser

COLOURS = 256
MAX_BYTES = 200_000


@dataclass(frozen=True)
class Picture:
    """A part of a page: `{c}` in `path` is the competition, `{first}` and `{second}` are its two best entries.

    The picture starts at the first element that matches `start`, or at the top of the page.
    """

    path: str
    width_px: int
    height_px: int
    scheme: str
    start: str = ""


PICTURES = {
    "table": Picture("index.html", 1280, 760, "light"),
    "decisions": Picture("{c}/index.html", 1280, 455, "light", start="h2"),
    "plots": Picture("{c}/index.html", 1280, 680, "light", start="section h3"),
    "entry": Picture("{c}/e/{second}.html", 1280, 1100, "dark"),
    "ears": Picture("{c}/ears.html#a={first}&b={second}", 1040, 1080, "dark"),
    "telephone": Picture("{c}/ears.html#a={first}&b={second}", 390, 1000, "light"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("out", type=Path, help="folder to write the pictures to")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs = read_runs(find_runs([arguments.run]))
    competition = runs[0].competitions[0]
    names = {
        "c": f"r/{runs[0].key}/{competition.doc.id}",
        "first": competition.entries[0].key,
        "second": competition.entries[1].key,
    }
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        build_site(runs, Path(folder), audio_bytes=64 << 20)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, picture in PICTURES.items():
            image = taken(browser, f"{Path(folder).as_uri()}/{picture.path.format(**names)}", picture)
            path = arguments.out / f"{name}.png"
            image.convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
            if path.stat().st_size > MAX_BYTES:
                raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {MAX_BYTES}. Make it smaller.")
        browser.close()


def taken(browser: Browser, address: str, picture: Picture) -> Image.Image:
    """The picture of a page, once its audio is loaded."""
    size: Any = {"width": picture.width_px, "height": picture.height_px}
    scheme: Any = picture.scheme
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.goto(address)
    if "ears" in address:
        while not page.evaluate("Boolean(document.body.dataset.loaded)"):
            page.wait_for_timeout(20)
        page.wait_for_timeout(200)
    top = page.locator(picture.start).first.bounding_box() if picture.start else None
    area: Any = {"x": 0, "y": max(0, top["y"] - 12) if top else 0, **size}
    image = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=area)))
    page.close()
    return image


if __name__ == "__main__":
    main()
