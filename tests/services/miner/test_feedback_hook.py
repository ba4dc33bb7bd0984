"""Feedback hooks: a function or a command is called with each feedback, and cannot harm or delay the miner."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.core.errors import UsageError
from soundsright.services.http.state import Health
from soundsright.services.miner.feedback_hook import HookRunner, hook_command
from soundsright.testing import VirtualClock
from tests.services.records.test_feedback import stored


def wait_for(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_a_hook_that_is_a_function_gets_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_hook.py").write_text(
        "import os, pathlib\n"
        "def tune(feedback):\n"
        "    pathlib.Path('got').write_text(f\"{feedback['rank']} {os.environ.get('OPENAI_API_KEY')}\")\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "planted")
    health = Health(VirtualClock())
    HookRunner("my_hook:tune", health)(stored(tmp_path))
    wait_for(lambda: bool(health.events()["success"]))
    assert (tmp_path / "got").read_text() == "1 None"


def test_a_hook_that_is_a_command_gets_the_file(tmp_path: Path) -> None:
    health = Health(VirtualClock())
    path = stored(tmp_path)
    out = tmp_path / "out"
    code = f"import sys, pathlib; pathlib.Path({str(out)!r}).write_text(sys.argv[-1])"
    HookRunner(f'{sys.executable} -c "{code}"', health)(path)
    wait_for(lambda: bool(health.events()["success"]))
    assert out.read_text() == str(path)


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("nosuchmodule:f", "nosuchmodule"),
        ("/no/such/program", "No such file"),
        (f'{sys.executable} -c "import time; time.sleep(60)"', "timed out"),
    ],
)
def test_a_hook_that_fails_or_hangs_is_reported_and_the_next_call_runs(
    tmp_path: Path, hook: str, message: str
) -> None:
    health = Health(VirtualClock())
    runner = HookRunner(hook, health, timeout_s=1 if "sleep" in hook else 60)
    path = stored(tmp_path)
    for _ in range(2):
        runner(path)
    wait_for(lambda: len(health.events()["error"]) == 2)
    assert message in health.events()["error"][0]["message"]


@pytest.mark.parametrize("hook", ["", "   ", "say 'open"])
def test_an_empty_or_unclosed_hook_names_the_setting(hook: str) -> None:
    with pytest.raises(UsageError, match="FEEDBACK_HOOK"):
        hook_command(hook)
