"""Plants every disturbance at every fault point of a system, each in a process of its own, and prints a table."""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from soundsright.testing.disturbing import Disturb, Disturbance, forked


def planted(
    description: str,
    stage: Callable[[Path], None],
    serve: Callable[[Path, Disturb], None],
    disturbances: Sequence[Disturbance],
    differences: Callable[[Path, Path, Disturbance], str],
) -> int:
    """Run the system once in peace, then once for each fault point that the command line chooses.

    `stage` makes the state before the run, `serve` runs the system in a folder. `differences` restarts a disturbed
    folder and compares its end with that of peace; it is empty if both are the same. Returns the exit code.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="use every N-th fault point")
    options = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())  # Logs of planted faults are not shown.
    failures = total = 0
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        root = Path(name)
        template, peace, folder = root / "template", root / "peace", root / "disturbed"
        template.mkdir()
        stage(template)
        shutil.copytree(template, peace)
        calls: list[tuple[str, str]] = []
        serve(peace, lambda moment, method: calls.append((moment, method)))
        print(f"{'disturbance':<38}{'points':>8}{'stopped':>9}{'same result':>13}")
        for offset, disturbance in enumerate(disturbances):
            points = disturbance.points(calls, options.every, 7 * offset)
            stopped = same = 0
            for number in points:
                shutil.copytree(template, folder)
                status = forked(lambda: serve(folder, disturbance.at(number, folder)))  # noqa: B023
                stopped += status != 0
                differs = "an error of the program" if status == 4 else differences(folder, peace, disturbance)
                same += not differs
                if differs:
                    print(f"    {disturbance.name}, point {number}: {differs}")
                shutil.rmtree(folder)
            print(f"{disturbance.name:<38}{len(points):>8}{stopped:>9}{same:>13}", flush=True)
            total += len(points)
            failures += len(points) - same
    print(f"{total} fault points: {total - failures} passed, {failures} failed")
    return 1 if failures else 0
