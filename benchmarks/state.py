"""Measures state operations per second, and whether they slow down as the number of rounds grows.

    python benchmarks/state.py [--url postgresql://...]

Every write is committed to the disk before the next one. "clip results" are written in batches of 25, like the
clips of an entry. "single" is one clip in one transaction.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

from soundsright.adapters.state.store import SqlState
from soundsright.core.results import ClipResult

SCORES = {"PESQ_WB": 2.345678901234567, "ESTOI": 0.7654321, "SI_SDR": 12.34567, "SI_SIR": 20.1, "SI_SAR": 13.37}


def clips(start: int, count: int) -> list[ClipResult]:
    return [ClipResult(f"clip-{start + i:06d}", scores=SCORES) for i in range(count)]


def rate(count: int, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="The database to measure. [default: a temporary SQLite file]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        state = SqlState(options.url or Path(folder) / "state.db")
        print(f"opened and created in {time.perf_counter() - started:.3f} s")
        state.begin_round("warm", {})
        print(f"{'rounds':>12}{'clip results/s':>16}{'single/s':>10}{'steps/s':>9}{'read/s':>9}{'peak MB':>9}")
        for number in range(1, 41):
            name = f"round-{number}"
            state.begin_round(name, {})
            tracemalloc.start() if number in (1, 10, 40) else None

            def write_batches(name: str = name) -> None:
                for batch in range(80):
                    state.add_clip_results(name, "entry", clips(batch * 25, 25))

            def write_singly(name: str = name) -> None:
                for i in range(200):
                    state.add_clip_results(name, "single", clips(i, 1))

            def finish_steps(name: str = name) -> None:
                for i in range(200):
                    state.finish_step(name, f"s{i}", {"n": i})

            batched = rate(2_000, write_batches)
            if number not in (1, 10, 40):
                continue
            single = rate(200, write_singly)
            steps = rate(200, finish_steps)
            read = rate(2_000, partial(state.clip_results, name, "entry"))
            peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
            print(f"{number:>12}{batched:>16.0f}{single:>10.0f}{steps:>9.0f}{read:>9.0f}{peak_mb:>9.1f}")
        state.close()


if __name__ == "__main__":
    main()
