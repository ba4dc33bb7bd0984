"""An engine of the tests' own, which a test can kill, and whose disk it can read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import NoEngine, OwnEngine


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    try:
        own = OwnEngine(folder)
        own.start()
    except NoEngine as e:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"no engine of the test's own: {e}")
    try:
        yield own
    finally:
        own.close()
        shutil.rmtree(folder, ignore_errors=True)
