"""The peak memory of a control group, for one run of a model alone."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from soundsright.adapters.sandboxes.cgroups import make_control_group
from soundsright.adapters.sandboxes.group_peak import GroupPeak
from soundsright.core.ports import Sandbox, SandboxLimits
from tests.conftest import MakeModel, noise_clip

LIMITS = SandboxLimits(memory_bytes=1_000_000_000, load_timeout_s=30)
GREEDY_AT_FIRST = """
import time
class Greedy(Model):
    batches = 0
    def enhance(self, request):
        self.batches += 1
        if self.batches == 1:
            block = b"1" * 200_000_000
            time.sleep(0.6)
            del block
        super().enhance(request)
serve(Greedy())
"""


def test_a_new_peak_begins_with_the_memory_in_use(sandbox: Sandbox, make_model: MakeModel) -> None:
    clip = noise_clip("clip-0")
    with sandbox.run(make_model(GREEDY_AT_FIRST), limits=LIMITS) as running:
        running.enhance([clip])
        first = running.timing.peak_memory_bytes
        assert running.restart_peaks()  # type: ignore[attr-defined]
        running.enhance([clip])
        second = running.timing.peak_memory_bytes
    assert first > 200_000_000 > 150_000_000 > second > 0


def test_the_peak_of_a_group_lasts_after_the_group_has_ended() -> None:
    group = make_control_group(LIMITS)
    if group is None:
        pytest.skip("this process may not create a control group")
    paths = [Path(path) for path in group.paths]
    peak = GroupPeak(Path(group.peak_file))
    try:
        joins = "".join(f"open({str(path / 'cgroup.procs')!r}, 'w').write('0');" for path in paths)
        subprocess.run([sys.executable, "-c", f"{joins} b'1' * 50_000_000"], check=True)
        assert 50_000_000 < peak.bytes() < 150_000_000
    finally:
        for path in paths:
            with contextlib.suppress(OSError):
                path.rmdir()
    peak.close()
    assert 50_000_000 < peak.bytes() < 150_000_000
    assert not peak.restart()


@pytest.mark.parametrize(("name", "restarts"), [("memory.peak", True), ("memory.current", False)])
def test_a_file_that_has_no_peak_cannot_begin_one(tmp_path: Path, name: str, restarts: bool) -> None:
    (tmp_path / name).write_text("700")
    peak = GroupPeak(tmp_path / name)
    assert peak.bytes() == 700
    (tmp_path / name).write_text("300")
    assert peak.bytes() == 700
    assert peak.restart() is restarts
    (tmp_path / name).write_text("200")
    assert peak.bytes() == (200 if restarts else 700)
    peak.close()


def test_without_a_file_the_peak_is_unknown(tmp_path: Path) -> None:
    peak = GroupPeak(tmp_path / "memory.peak")
    assert (peak.bytes(), peak.restart()) == (0, False)
