"""The cost of the executor's parts, as ratios within one run.

    python benchmarks/executor.py unchanged
    python benchmarks/executor.py unchanged --rows 256 --turns 30
    python benchmarks/executor.py all

`unchanged` measures how much cheaper a table is that has not changed: the client of a validator reads the table of
an executor on this machine, over signed HTTP. The times are those of a whole reading, so they include the
signatures of request and answer, and reading the rows.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soundsright.adapters.executors import HttpScoreTable
from soundsright.core.images import ImageMetrics, ImageRow, PublishedTable, SubmittedImage
from soundsright.services.http import HttpService, listening
from tests.services.executor_api.executors import OWNER, VICTOR, MemoryExecutor, app_of, image

SCORING_RUNS, CLIPS_PER_RUN = 5, 6
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR")


def measured_row(number: int) -> ImageRow:
    """A row as an executor publishes it after a round: five scoring runs of six clips with four metrics each."""
    runs = []
    for run in range(SCORING_RUNS):
        clips = [f"{CLIPS_PER_RUN * run + clip:06d}" for clip in range(CLIPS_PER_RUN)]
        scores = {c: {m: (number + k) / 7 for k, m in enumerate(METRICS)} for c in clips}
        runs.append({"run": run, "clip_ids": clips, "time_sec": 12 + number / 7, "scores": scores})
    metrics = ImageMetrics(
        final_score=0.7 - number / 1_000,
        quality_score=0.8,
        efficiency_factor=0.88,
        inference_time_sec=12.0,
        inference_time_sec_worst=14.0,
        real_time_factor=0.5,
        peak_vram_gb=5.0,
        peak_vram_gb_worst=5.5,
        challenge_metrics=tuple(runs),
        updated_s=1.7e9,
    )
    hotkey = VICTOR.address[:-3] + f"{number:03d}".replace("0", "z")
    return ImageRow(SubmittedImage(1_700_000_000 + number, hotkey, image(number)), metrics)


def seconds_of(read: Callable[[], PublishedTable]) -> float:
    """The time of one reading, in seconds of the clock."""
    started_s = time.perf_counter()
    read()
    return time.perf_counter() - started_s


def measure_unchanged(options: argparse.Namespace) -> None:
    """Print the times of a table that is new, one that is sent again, and one that has not changed."""
    rows = tuple(map(measured_row, range(options.rows)))
    took_part = options.rows if options.took_part is None else options.took_part
    rows = (
        *rows[:took_part],
        *(replace(r, metrics=replace(r.metrics, challenge_metrics=())) for r in rows[took_part:]),
    )
    executor = MemoryExecutor(shown=PublishedTable("round-7", rows, "v0"))
    sock = listening("127.0.0.1", 0, host_variable="host", port_variable="port")
    service = HttpService(app_of(executor), sock, name="executor").start()
    url = f"http://127.0.0.1:{service.port}"
    known = HttpScoreTable(url, OWNER.address, VICTOR)
    new_s, again_s, unchanged_s = [], [], []
    try:
        for turn in range(options.turns):
            executor.shown = replace(executor.shown, version=f"v{turn}")
            new_s.append(seconds_of(known.table))
            again_s.append(seconds_of(HttpScoreTable(url, OWNER.address, VICTOR).table))
            unchanged_s += [seconds_of(known.table) for _ in range(3)]
    finally:
        service.close()
    new, again, unchanged = (statistics.median(times) for times in (new_s, again_s, unchanged_s))
    print(f"{options.rows} rows, {took_part} with clips, {options.turns} turns; medians of a whole reading")
    print(f"new table (200, written): {new * 1e3:.2f} ms; sent again (200): {again * 1e3:.2f} ms")
    print(f"not changed (304): {unchanged * 1e3:.2f} ms")
    print(f"a 304 is {new / unchanged:.1f} times cheaper than a new table")
    print(f"a 304 is {again / unchanged:.1f} times cheaper than a table sent again")


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {"unchanged": measure_unchanged}
"""The parts that this program measures, by name. Each prints its own lines."""


def main() -> None:
    """Measure one part, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--rows", type=int, default=256, help="rows of the table (unchanged)")
    parser.add_argument("--took-part", type=int, help="rows with scores of clips (unchanged); all by default")
    parser.add_argument("--turns", type=int, default=30, help="repetitions of each measurement")
    options = parser.parse_args()
    for name, measure in PARTS.items():
        if options.part in (name, "all"):
            measure(options)


if __name__ == "__main__":
    main()
