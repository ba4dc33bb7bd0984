"""Experiment trackers: the calls of `init`, `log` and `finish`, and failures."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soundsright.cli.commands.publish import command
from soundsright.cli.main import run
from tests.services.records.runs import without_intervals, write_run


class FakeTracker(SimpleNamespace):
    """A module like wandb that records its calls."""

    def __init__(self, failing: str = "") -> None:
        super().__init__(calls=[], failing=failing)

    def _called(self, name: str, value: Any) -> None:
        self.calls.append((name, value))
        if name == self.failing:
            raise ConnectionError("no route")

    def init(self, **options: Any) -> None:
        self._called("init", options)

    def log(self, values: dict[str, float]) -> None:
        self._called("log", values)

    def finish(self) -> None:
        self._called("finish", None)


def reported(folder: Path, kind: str, *more: str) -> int:
    return run(command, ["tracker", str(folder), kind, *more])


@pytest.mark.parametrize("kind", ["wandb", "trackio"])
def test_each_entry_becomes_a_separate_tracker_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    fake = FakeTracker()
    monkeypatch.setitem(sys.modules, kind, fake)
    assert reported(write_run(tmp_path / "a"), kind, "--project", "mine") == 0
    assert [name for name, _ in fake.calls] == ["init", "log", "finish"] * 4
    began, logged = fake.calls[0][1], fake.calls[1][1]
    assert began["project"] == "mine"
    assert began["name"] == "a-DENOISING_16000HZ-alpine/clear"
    assert began["config"]["set_digest"] == "ef" * 32
    assert logged["rank"] == 1
    assert logged["PESQ_WB/low"] <= logged["PESQ_WB"] <= logged["PESQ_WB/high"]
    assert "rank" not in fake.calls[-2][1], "the unprocessed input has no rank"


def test_a_tracker_that_fails_gives_a_one_line_error_and_its_run_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeTracker(failing="log")
    monkeypatch.setitem(sys.modules, "wandb", fake)
    assert reported(write_run(tmp_path / "a"), "wandb") == 1
    assert "wandb.log failed (no route)" in capsys.readouterr().err
    assert fake.calls[-1][0] == "finish"


def test_a_tracker_that_is_not_installed_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    assert reported(write_run(tmp_path / "a"), "trackio") == 2
    assert "pip install trackio" in capsys.readouterr().err


def test_tensorboard_gets_event_files_below_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, dict[str, float]] = {}

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            self.values = written.setdefault(folder, {})

        def add_text(self, tag: str, text: str) -> None:
            assert tag == "config"
            assert "set_digest" in text

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            self.values[tag] = value

        def close(self) -> None:
            self.values["closed"] = 1.0

    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=SummaryWriter))
    monkeypatch.setenv("TENSORBOARD_LOGDIR", str(tmp_path / "boards"))
    assert reported(write_run(tmp_path / "a"), "tensorboard", "--project", "../up") == 0
    assert len(written) == 4
    for folder, values in written.items():
        assert Path(folder).resolve().is_relative_to(tmp_path / "boards" / "up")
        assert values["closed"] == 1.0
        assert "ESTOI" in values


def test_a_tracker_gets_no_ends_of_an_interval_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeTracker()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    assert reported(without_intervals(write_run(tmp_path / "a")), "wandb") == 0
    logged = next(values for name, values in fake.calls if name == "log")
    assert "PESQ_WB" in logged
    assert not any(name.endswith(("/low", "/high")) for name in logged)
