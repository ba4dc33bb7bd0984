"""Measures how many readers per second the leaderboard server serves from one core, and how fast its pages are.

    python benchmarks/leaderboard.py RUN [--readers 50] [--seconds 10] [--browser]

A reader loads the first page with its style sheets, script and icon: five requests. Readers arrive at a constant
rate, even if earlier ones still wait. The server runs on one core, the last one that this process may use. With
`--browser`, headless Chromium opens the static build and the script prints the time to first paint, of two clicks
from the table to a clip that is ready to play, and of sorting 256 rows.
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
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--readers", type=int, default=50, help="readers that arrive per second")
    parser.add_argument("--seconds", type=int, default=10, help="how long readers arrive")
    parser.add_argument("--browser", action="store_true", help="also measure the pages in Chromium")
    arguments = parser.parse_args()
    core = max(os.sched_getaffinity(0))
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", "--run", str(arguments.run), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[1].rstrip("/")
        asyncio.run(load(address, arguments.readers, arguments.seconds, server.pid))
    finally:
        server.terminate()
        server.wait(10)
    if arguments.browser:
        measure_pages(arguments.run)


def processor_s(pid: int) -> float:
    """The processor time that a process used. Other processes on the machine hardly change it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(address: str, readers: int, seconds: int, pid: int) -> None:
    """Send `readers` readers per second and print how long they took."""
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
        f"{len(took_s) / wall_s:.1f} of {readers} readers/s served, {failed} failed; per reader "
        f"median {1000 * median(took_s):.0f} ms, 99 % {1000 * cuts[98]:.0f} ms; {sizes[-1] / 1000:.1f} kB gzipped"
    )
    each_s = used_s / len(took_s)
    print(f"{1000 * each_s:.2f} ms of processor time per reader: one core serves {1 / each_s:.0f} readers/s")


def measure_pages(run: Path) -> None:
    """Print first paint, two clicks to a clip, and the time to sort 256 rows."""
    from playwright.sync_api import sync_playwright

    from soundsright.services.board import build_site
    from soundsright.services.records import find_runs, read_runs

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
        print(f"first page: first paint after {paint:.0f} ms, {size / 1000:.1f} kB uncompressed")
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
        print(f"sorting 256 rows with layout: best {min(sort_ms):.0f} ms, median {median(sort_ms):.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
