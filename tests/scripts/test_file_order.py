"""Parallel workers take the longest files first, and a run can record how long its files take."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scripts import file_order


@pytest.fixture
def seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "seconds.json"
    path.write_text(json.dumps({"b.py": 2, "tests/test_layers.py": 9}))
    monkeypatch.setattr(file_order, "SECONDS", path)
    monkeypatch.setattr(file_order, "_taken", defaultdict(float))
    return path


def order_of(nodeids: list[str], **config: Any) -> list[str]:
    items = [SimpleNamespace(nodeid=nodeid) for nodeid in nodeids]
    file_order.pytest_collection_modifyitems(
        cast(pytest.Config, SimpleNamespace(**config)), cast("list[pytest.Item]", items)
    )
    return [item.nodeid for item in items]


TESTS = ["a.py::second", "a.py::first", "b.py::one", "tests/test_layers.py::x", "c.py::z", "b.py::two"]


@pytest.mark.usefixtures("seconds")
def test_in_a_worker_the_longest_files_come_first_and_the_tests_of_a_file_keep_their_order() -> None:
    ordered = order_of(TESTS, workerinput={})
    assert ordered == [*TESTS[3:4], "b.py::one", "b.py::two", "a.py::second", "a.py::first", "c.py::z"]


@pytest.mark.usefixtures("seconds")
def test_in_one_process_all_tests_keep_their_order() -> None:
    assert order_of(TESTS) == TESTS


def finish(monkeypatch: pytest.MonkeyPatch, *, record: str, **config: Any) -> None:
    monkeypatch.setenv(file_order.RECORD, record)
    for name, duration in (("test_config", 1.2), ("test_config", 1.4), ("conftest", 0.2)):
        report = SimpleNamespace(nodeid=f"tests/{name}.py::test", duration=duration)
        file_order.pytest_runtest_logreport(cast(pytest.TestReport, report))
    file_order.pytest_sessionfinish(cast(pytest.Session, SimpleNamespace(config=SimpleNamespace(**config))))


def test_a_run_records_its_long_files_beside_those_of_other_runs(
    seconds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(monkeypatch, record="1")
    assert json.loads(seconds.read_text()) == {"tests/test_config.py": 3, "tests/test_layers.py": 9}


@pytest.mark.parametrize(("record", "config"), [("", {}), ("1", {"workerinput": {}})])
def test_neither_a_usual_run_nor_a_worker_writes(
    seconds: Path, monkeypatch: pytest.MonkeyPatch, record: str, config: dict[str, Any]
) -> None:
    before = seconds.read_bytes()
    finish(monkeypatch, record=record, **config)
    assert seconds.read_bytes() == before


def test_the_recorded_seconds_are_read() -> None:
    assert all(taken >= 1 for taken in file_order.recorded().values())
