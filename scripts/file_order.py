"""A plugin of pytest: parallel workers take the files that take longest first, so all end at nearly the same time.

    python -m pytest -p scripts.file_order -n 4 --dist loadfile --no-loadscope-reorder
    RECORD_SECONDS=1 python scripts/run_tests.py

The order comes from scripts/file_seconds.json, which the second command records anew. A file that it does not name
took less than a second or is new; such files come last. Only the order matters, so the seconds may be those of
another machine.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECONDS = Path(__file__).with_name("file_seconds.json")
RECORD = "RECORD_SECONDS"
"""The variable that makes a run write the seconds of its files to SECONDS."""

_taken: dict[str, float] = defaultdict(float)


def file_of(nodeid: str) -> str:
    """The file of a test, relative to the repository."""
    return nodeid.partition("::")[0]


def in_order(files: list[str], seconds: dict[str, float]) -> list[str]:
    """The files, those that take longest first. Files with the same time keep their order."""
    return sorted(files, key=lambda file: -seconds.get(file, 0.0))


def recorded() -> dict[str, float]:
    """The seconds of each file that takes at least one."""
    loaded: dict[str, float] = json.loads(SECONDS.read_text(encoding="utf-8"))
    return loaded


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files in order in each parallel worker. The tests of one file stay together and keep their order."""
    if not hasattr(config, "workerinput"):
        return
    files = in_order(list(dict.fromkeys(file_of(item.nodeid) for item in items)), recorded())
    place = {file: number for number, file in enumerate(files)}
    items.sort(key=lambda item: place[file_of(item.nodeid)])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _taken[file_of(report.nodeid)] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Record the seconds of this run's files, if RECORD is set. Only the run itself writes, not its workers."""
    if os.environ.get(RECORD) and not hasattr(session.config, "workerinput"):
        known = recorded() | {file: round(taken) for file, taken in _taken.items()}
        kept = {file: taken for file, taken in sorted(known.items()) if taken >= 1 and (ROOT / file).is_file()}
        text = json.dumps(kept, indent=1)
        SECONDS.write_text(text + "\n", encoding="utf-8")
