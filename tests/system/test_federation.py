"""`soundsright federation serve` as real programs: stopped in a task, started twice, and killed in a turn."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.system.federation import ANSWERING, LOADING, RUN_S, federation, is_running

STOPS_WITHIN_S = 5.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("waits", "number"), [(LOADING, signal.SIGINT), (ANSWERING, signal.SIGTERM)], ids=["loading", "answering"]
)
def test_a_signal_ends_a_validator_while_its_model_runs(tmp_path: Path, waits: str, number: signal.Signals) -> None:
    with federation(tmp_path / "lab", "one", waits=waits) as lab:
        lab.serve("one")
        lab.begin_turn_of("one")
        model = lab.wait_for_model()
        assert is_running(model)
        started_s = time.monotonic()
        assert lab.programs.end("one", number, timeout_s=60.0) == 0
        assert time.monotonic() - started_s < STOPS_WITHIN_S
        assert not is_running(model)
        assert lab.verdicts() == set()


@pytest.mark.slow
def test_a_signal_ends_a_validator_while_its_clips_are_drawn(tmp_path: Path) -> None:
    with federation(tmp_path / "lab", "one") as lab:
        lab.serve("one")
        task = lab.begin_turn_of("one")
        lab.programs.wait(
            lambda: True if f"task {task} begins" in lab.log("one") else None, "its task", timeout_s=RUN_S
        )
        started_s = time.monotonic()
        assert lab.programs.end("one", signal.SIGTERM, timeout_s=60.0) == 0
        assert time.monotonic() - started_s < STOPS_WITHIN_S


@pytest.mark.slow
def test_a_second_validator_of_one_hotkey_is_refused(tmp_path: Path) -> None:
    with federation(tmp_path / "lab", "one") as lab:
        lab.serve("one")
        lab.begin_turn_of("one")
        lab.wait_for_model()
        for program, settings in (("same-state", {}), ("other-machine", {"STATE_FOLDER": str(tmp_path / "other")})):
            lab.serve("one", program=program, **settings)
        for program, problem in (
            ("same-state", " on this machine"),
            ("other-machine", "Another machine uses the hotkey"),
        ):
            assert lab.programs.ended(program, timeout_s=RUN_S) == 2
            assert problem in lab.log(program)


@pytest.mark.slow
def test_a_validator_killed_in_its_turn_judges_its_task_after_a_restart_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    names = ("one", "two", "three")
    with federation(tmp_path / "lab", *names) as lab:
        for name in names:
            lab.serve(name)
        task = lab.begin_turn_of("one")
        lab.wait_for_model()
        lab.programs.kill("one")
        assert lab.verdicts() == set()
        lab.open_gate()
        lab.serve("one")
        assert lab.judge("one") == (task, "one")
        assert {lab.judge(name)[1] for name in ("two", "three")} == {"two", "three"}
