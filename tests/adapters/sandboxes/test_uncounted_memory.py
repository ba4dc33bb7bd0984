"""Without a control group nothing counts all of a model's memory, so that only trusted models run."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace

import pytest

from soundsright.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from soundsright.core.errors import EngineUnavailable, ModelCrashed, UsageError
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.submission import FetchedModel
from soundsright.library import SandboxChoice
from soundsright.library.sandboxes import opened_sandbox

pytestmark = pytest.mark.bubblewrap
LIMITS = SandboxLimits(memory_bytes=300_000_000, pids=32, load_timeout_s=20.0)


@pytest.fixture(autouse=True)
def no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as a user who may not create a control group."""
    if (obstacle := BubblewrapSandbox(trusted=True).available()) is not None:
        pytest.skip(f"bubblewrap: {obstacle}")
    monkeypatch.setattr("soundsright.adapters.sandboxes.bubblewrap.make_control_group", lambda limits: None)


def test_a_strangers_model_is_refused(make_model: Callable[..., FetchedModel]) -> None:
    sandbox = BubblewrapSandbox()
    assert "may not create a control group" in (sandbox.available() or "")
    with pytest.raises(EngineUnavailable, match=r"Delegate=yes.*--trust"), sandbox.run(make_model(), limits=LIMITS):
        pass


def test_the_command_line_takes_the_next_sandbox_or_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    with pytest.raises(UsageError, match=r"bubblewrap: this user may not create a control group"):
        opened_sandbox(SandboxChoice(), local=False, round_id="r")
    for own in (
        opened_sandbox(SandboxChoice(), local=True, round_id="r"),
        opened_sandbox(SandboxChoice(trust=True), local=False, round_id="r"),
    ):
        assert own.name == "bubblewrap"


def test_a_trusted_model_runs(make_model: Callable[..., FetchedModel], clips: tuple[DegradedClip, ...]) -> None:
    with BubblewrapSandbox(trusted=True).run(make_model(), limits=LIMITS) as running:
        assert [answer.failure for answer in running.enhance(clips)] == [None] * 3


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        # Each of eight processes has 64 MB of page tables and no other memory to speak of.
        ("[mapped(1 << 35) for _ in range(8) if os.fork() == 0]", "it used more than 0.2 GB of memory"),
        ("mapped(1 << 40)", "Cannot allocate memory"),
    ],
)
def test_page_tables_are_bounded_for_trusted_models_too(
    tables: str, says: str, make_model: Callable[..., FetchedModel]
) -> None:
    app = f"""
    import mmap, time

    def mapped(size):
        tables = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
        for at in range(0, size, 1 << 21):
            tables[at]
        time.sleep(600)

    {tables}
    time.sleep(600)
    """
    limits = replace(LIMITS, memory_bytes=200_000_000)
    with (
        pytest.raises(ModelCrashed, match=says),
        BubblewrapSandbox(trusted=True).run(make_model(textwrap.dedent(app)), limits=limits),
    ):
        pass
