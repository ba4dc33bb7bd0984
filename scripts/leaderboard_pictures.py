"""Takes the pictures of docs/assets/leaderboard/ from a run's static build, in headless Chromium.

python scripts/leaderboard_pictures.py RUN docs/assets/leaderboard
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from soundsright.services.board.build import build_site
from soundsright.services.records.runs import find_runs, read_runs

COLOURS = 256
# name -> page, width, height, colour scheme
PICTURES = {
    "table": ("index.html", 1280, 720, "light"),
    "plots": ("{c}/index.html", 1280, 1900, "light"),
    "entry": ("{c}/e/{first}.html", 1280, 1100, "dark"),
    "ears": ("{c}/ears.html#a={first}&b={second}", 1280, 1180, "dark"),
    "telephone": ("{c}/ears.html#a={first}&b={second}", 390, 1000, "light"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    runs = read_runs(find_runs([given.run]))
    competition = runs[0].competitions[0]
    places = {
        "c": f"r/{runs[0].key}/{competition.doc.id}",
        "first": competition.entries[0].key,
        "second": competition.entries[1].key,
    }
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        build_site(runs, Path(folder), audio_bytes=64 << 20)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (path, width, height, scheme) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(f"{Path(folder).as_uri()}/{path.format(**places)}")
            if "ears" in path:
                while not page.evaluate("Boolean(document.body.dataset.loaded)"):
                    page.wait_for_timeout(20)
                page.wait_for_timeout(200)
            picture = Image.open(io.BytesIO(page.screenshot()))
            picture.convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE).save(
                given.out / f"{name}.png", optimize=True
            )
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
