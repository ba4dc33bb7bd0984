"""The memory of a process and its descendants."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from soundsright.adapters.machine.memory import MemoryWatch, tree_memory_bytes


def test_a_child_counts_with_its_parent() -> None:
    before = tree_memory_bytes()
    code = "import sys; held = bytearray(60_000_000); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert tree_memory_bytes() > before + 50_000_000
        child.communicate()


def gone(process: psutil.Process) -> None:
    raise psutil.NoSuchProcess(process.pid)


def hidden(process: psutil.Process) -> None:
    raise psutil.AccessDenied(process.pid)


@pytest.mark.parametrize(("full", "plain"), [(gone, gone), (hidden, gone), (hidden, hidden)])
def test_a_process_that_ends_meanwhile_counts_as_zero(
    monkeypatch: pytest.MonkeyPatch, full: object, plain: object
) -> None:
    monkeypatch.setattr(psutil.Process, "memory_full_info", full)
    monkeypatch.setattr(psutil.Process, "memory_info", plain)
    with MemoryWatch() as watch:
        assert tree_memory_bytes() == 0
    assert watch.peak_bytes == 0
