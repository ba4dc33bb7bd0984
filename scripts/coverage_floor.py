"""Runs the tests of the rooms that decide about money, and fails if they leave too much of a room untested.

    python scripts/coverage_floor.py

The rooms are `ranking`, `metrics` and `services/rounds`. The floor is 95 % of the lines and branches of each room.
Functions that numba compiles do not count: their machine code is not traced, and exact tests cover them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOOR_PERCENT = 95.0
IN_PARALLEL = ("-p", "scripts.file_order", "-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
"""More workers than a small machine has processors, because a worker waits for servers, processes and locks most of
its time. The longest files come first, so all workers end at nearly the same time."""
ROOMS = {
    "soundsright/services/rounds": ("tests/testing", "tests/services/validator", "tests/services/rounds"),
    "soundsright/ranking": ("tests/ranking", "tests/rules"),
    "soundsright/metrics": ("tests/metrics",),
}
"""The tests of each room."""


def measured(folder: Path) -> dict[str, float]:
    """Percent of lines and branches that the rooms' tests run, by room.

    Raises:
        CalledProcessError: if a test fails.
    """
    data, report = folder / "coverage", folder / "coverage.json"
    sources = [f"--cov={room}" for room in ROOMS]
    words = ["-m", "pytest", *IN_PARALLEL, "-m", "not docker", "--cov-branch", *sources]
    words += ["--cov-report=", f"--cov-report=json:{report}", *paths()]
    subprocess.run([sys.executable, *words], cwd=ROOT, env=os.environ | {"COVERAGE_FILE": str(data)}, check=True)
    covered: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    for name, file in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        room = next(room for room in ROOMS if name.startswith(f"{room}/"))
        summary = file["summary"]
        covered[room] += summary["covered_lines"] + summary["covered_branches"]
        total[room] += summary["num_statements"] + summary["num_branches"]
    return {room: 100.0 * covered[room] / total[room] for room in total}


def paths() -> list[str]:
    """Everything that the run covers: the folders of the rooms' tests, and the rooms with their doctests."""
    return [*test_folders(), *ROOMS]


def test_folders() -> list[str]:
    """The folders of the rooms' tests, relative to the repository."""
    return [path for paths in ROOMS.values() for path in paths if (ROOT / path).exists()]


def main() -> int:
    try:
        with tempfile.TemporaryDirectory() as folder:
            by_room = measured(Path(folder))
    except subprocess.CalledProcessError:
        print("A test of these rooms failed, so their coverage is not known.")
        return 1
    for room, percent in by_room.items():
        print(f"{room:32} {percent:5.1f} % of lines and branches (floor {FLOOR_PERCENT:g} %)")
    return int(any(percent < FLOOR_PERCENT for percent in by_room.values()))


if __name__ == "__main__":
    sys.exit(main())
