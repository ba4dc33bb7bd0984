"""A validator that dies or stops anywhere reaches the same result. Only some points of the driver are tested."""

import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("crash_driver.py")
EVERY = 60


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_every_kind_of_disturbance_leaves_the_result_as_it_was() -> None:
    done = subprocess.run(
        [sys.executable, DRIVER, "--every", str(EVERY)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.endswith(" 0 failed")
    assert int(last.split()[0]) > 30
