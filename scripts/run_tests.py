"""Runs all tests: those of containers in one process, and beside it the others in several.

    python scripts/run_tests.py
    python scripts/run_tests.py --coverage

Tests of containers run one after the other, because they count what one engine holds, and they mostly wait for it.
`--coverage` also measures the rooms of scripts/coverage_floor.py, while their tests run, and fails below the floor.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts import coverage_floor  # noqa: E402

PYTEST = (sys.executable, "-m", "pytest")
COMPILE = (sys.executable, "-c", "from soundsright.metrics import warm_up; warm_up()")
"""Compiles the inner loops of the metrics once. Otherwise each process that needs them would compile them."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def tests_of_containers(output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Start the tests of containers, which write to `output`. Ends them if the body fails, with their clean-up."""
    process = subprocess.Popen([*PYTEST, "-m", "docker", "tests"], cwd=ROOT, stdout=output, stderr=output)
    try:
        yield process
    except KeyboardInterrupt:
        process.wait()  # The terminal has interrupted it too.
        raise
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def run(*, coverage: bool) -> int:
    """Run the tests. Returns 0 if all pass, otherwise the exit status of a part that failed."""
    os.environ.update(ONE_THREAD)
    # With this variable, each program that a test starts would compile all modules of this checkout.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile() as output, tests_of_containers(output) as containers:
        subprocess.run(COMPILE, cwd=ROOT, check=False)  # If it fails, the tests of the metrics say why.
        floor = coverage_floor.main() if coverage else 0
        left_out = [f"--ignore={path}" for path in coverage_floor.paths()] if coverage else []
        others = subprocess.run(
            [*PYTEST, *coverage_floor.IN_PARALLEL, "-m", "not docker", *left_out], cwd=ROOT
        ).returncode
        print("The tests of containers:", flush=True)
        in_containers = containers.wait()
        output.seek(0)
        print(output.read().decode(errors="replace"), flush=True)
    return floor or others or in_containers


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--coverage"]):
        sys.exit(f"Unknown arguments: {' '.join(sys.argv[1:])}. Only --coverage can be given.")
    sys.exit(run(coverage=bool(sys.argv[1:])))
