"""Programs that die or stop anywhere reach the same result. Only some points of the drivers are tested."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("driver", "every", "least"),
    [
        ("crash_driver.py", 60, 30),
        ("executor_crash_driver.py", 50, 20),
        ("federation_crash_driver.py", 50, 20),
        ("tiers_crash_driver.py", 40, 15),
    ],
)
def test_every_kind_of_disturbance_leaves_the_result_as_it_was(driver: str, every: int, least: int) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / driver, "--every", str(every)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.endswith(" 0 failed")
    assert int(last.split()[0]) > least
