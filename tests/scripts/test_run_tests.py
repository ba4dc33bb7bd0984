"""`make test` runs every test once, and fails if any part fails."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import coverage_floor, run_tests

FAKE = """
import subprocess
import sys
part = sys.argv[sys.argv.index("-m") + 1]
print(part, "ran")
open(sys.argv[1], "a").write(" ".join(map(repr, sys.argv[2:])) + "\\n")
sys.exit(part == sys.argv[2])
"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


def use_fake(monkeypatch: pytest.MonkeyPatch, calls: Path, *, failing: str = "") -> None:
    """Replace pytest by a program that notes its arguments, and fails for the tests of that marker."""
    monkeypatch.setattr(run_tests, "PYTEST", (sys.executable, "-c", FAKE, str(calls), failing))
    compiles = f"open({str(calls)!r}, 'a').write('compile\\n')"
    monkeypatch.setattr(run_tests, "COMPILE", (sys.executable, "-c", compiles))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def test_every_test_is_in_one_of_the_two_parts(
    monkeypatch: pytest.MonkeyPatch, calls: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    use_fake(monkeypatch, calls)
    assert run_tests.run(coverage=False) == 0
    parts = [shlex.split(line) for line in calls.read_text().splitlines() if line != "compile"]
    assert sorted(words[words.index("-m") + 1] for words in parts) == ["docker", "not docker"]
    assert not any(word.startswith("--ignore") for words in parts for word in words)
    output = capfd.readouterr().out
    assert output.index("not docker ran") < output.index("The tests of containers:") < output.rindex("docker ran")


def test_the_tests_whose_coverage_is_measured_run_once(monkeypatch: pytest.MonkeyPatch, calls: Path) -> None:
    use_fake(monkeypatch, calls)
    monkeypatch.setattr(coverage_floor, "main", lambda: 0)
    assert run_tests.run(coverage=True) == 0
    (others,) = [line for line in calls.read_text().splitlines() if "not docker" in line]
    assert {word for word in shlex.split(others) if word.startswith("--ignore")} == {
        f"--ignore={path}" for path in coverage_floor.paths()
    }


@pytest.mark.parametrize("failing", ["docker", "not docker", "coverage"])
def test_a_part_that_fails_fails_the_run(monkeypatch: pytest.MonkeyPatch, calls: Path, failing: str) -> None:
    use_fake(monkeypatch, calls, failing=failing)
    monkeypatch.setattr(coverage_floor, "main", lambda: int(failing == "coverage"))
    assert run_tests.run(coverage=True) == 1
    assert len(calls.read_text().splitlines()) == 3


def test_the_inner_loops_are_compiled_once_before_several_processes_need_them(
    monkeypatch: pytest.MonkeyPatch, calls: Path
) -> None:
    use_fake(monkeypatch, calls)

    def measure() -> int:
        with calls.open("a") as file:
            file.write("coverage\n")
        return 0

    monkeypatch.setattr(coverage_floor, "main", measure)
    assert run_tests.run(coverage=True) == 0
    lines = [line for line in calls.read_text().splitlines() if "docker" not in line or "not docker" in line]
    assert lines[:2] == ["compile", "coverage"]
    assert len(lines) == 3


def test_a_failing_test_of_a_measured_room_does_not_stop_the_other_tests(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_folder: Path) -> dict[str, float]:
        raise subprocess.CalledProcessError(1, "pytest")

    monkeypatch.setattr(coverage_floor, "measured", fail)
    assert coverage_floor.main() == 1
    assert "not known" in capsys.readouterr().out
