"""Readers a second that the leaderboard serves from one core, and what a browser makes of its pages.

    python benchmarks/leaderboard.py RUN [--readers 50] [--seconds 10] [--browser]

A reader loads the first page with its style sheets, its script and its mark: five requests. Readers come at an even
pace, whether or not earlier ones were served; the server runs on one core, the last that this process may use. With
`--browser`: first paint, two clicks from the table to the clip that is heard, and the sort of 256 rows, in headless
Chromium on the static build.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import httpx

PATHS = ("/", "/assets/plots.css", "/assets/board.css", "/assets/board.js", "/assets/mark.svg")
SERVE = "from soundsright.cli.commands.leaderboard import command; command()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--browser", action="store_true")
    given = parser.parse_args()
    core = max(os.sched_getaffinity(0))
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", "--run", str(given.run), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[1].rstrip("/")
        asyncio.run(load(address, given.readers, given.seconds, server.pid))
    finally:
        server.terminate()
        server.wait(10)
    if given.browser:
        look(given.run)


def processor_s(pid: int) -> float:
    """What a process has used of the processor, which a busy machine does not change."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(address: str, readers: int, seconds: int, pid: int) -> None:
    took_s: list[float] = []
    sizes: list[int] = []
    failed = 0

    async def reader(client: httpx.AsyncClient) -> None:
        nonlocal failed
        started = time.perf_counter()
        try:
            answers = await asyncio.gather(*(client.get(address + path) for path in PATHS))
        except httpx.HTTPError:
            failed += 1
            return
        failed += any(answer.status_code != 200 for answer in answers)
        took_s.append(time.perf_counter() - started)
        sizes.append(sum(int(answer.headers["content-length"]) for answer in answers))

    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=200)) as client:
        await reader(client)
        took_s.clear()
        used_s = processor_s(pid)
        started = time.perf_counter()
        tasks = []
        for number in range(readers * seconds):
            await asyncio.sleep(max(0.0, started + number / readers - time.perf_counter()))
            tasks.append(asyncio.create_task(reader(client)))
        await asyncio.gather(*tasks)
        wall_s = time.perf_counter() - started
        used_s = processor_s(pid) - used_s
    cuts = quantiles(took_s, n=100)
    print(
        f"{len(took_s) / wall_s:.1f} readers/s of {readers} asked, {failed} failed; per reader "
        f"median {1000 * median(took_s):.0f} ms, 99 % {1000 * cuts[98]:.0f} ms; {sizes[-1] / 1000:.1f} kB packed"
    )
    each_s = used_s / len(took_s)
    print(f"{1000 * each_s:.2f} ms of the processor per reader: {1 / each_s:.0f} readers/s fill one core")


def look(run: Path) -> None:
    from playwright.sync_api import sync_playwright

    from soundsright.services.board.build import build_site
    from soundsright.services.records.runs import find_runs, read_runs

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        runs = read_runs(find_runs([run]))
        build_site(runs, Path(folder), audio_bytes=64 << 20)
        base = Path(folder).as_uri()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page()
        page.goto(f"{base}/index.html")
        page.wait_for_timeout(300)
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN")
        files = ["index.html", "assets/board.css", "assets/plots.css", "assets/board.js", "assets/mark.svg"]
        size = sum((Path(folder) / name).stat().st_size for name in files)
        print(f"first page: painted after {paint:.0f} ms, {size / 1000:.1f} kB unpacked")
        links = page.locator("table.board").first.locator("a.hear")
        started = time.perf_counter()
        links.nth(0).click()
        links.nth(1).click()
        while not page.evaluate("Boolean(document.body?.dataset.loaded)"):
            page.wait_for_timeout(5)
        print(f"two clicks to a clip ready to play: {1000 * (time.perf_counter() - started):.0f} ms")
        page.goto(f"{base}/index.html")
        sort_ms = page.evaluate(
            """() => {
              const table = document.querySelector("table.board"), body = table.tBodies[0];
              while (body.rows.length < 256) body.append(body.rows[body.rows.length % 7].cloneNode(true));
              const sorted = () => {
                const started = performance.now();
                table.querySelectorAll("button.sort")[3].click();
                table.offsetHeight;
                return performance.now() - started;
              };
              return Array.from({ length: 7 }, sorted);
            }"""
        )
        print(f"sort of 256 rows with layout: at best {min(sort_ms):.0f} ms, median {median(sort_ms):.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
