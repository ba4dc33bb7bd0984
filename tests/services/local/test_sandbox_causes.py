"""A failure that only a sandbox makes gets the remedy for its own cause."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.core.dockerfile import parse_dockerfile
from soundsright.core.errors import ModelCrashed, ModelFault, ModelTimeout, ProtocolViolation
from soundsright.services.local.sandbox_causes import Cause, cause_in_files, cause_in_log

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345678\n"
UNIX, WINDOWS = "#!/bin/sh\nexec python -m app.server\n", "#!/bin/sh\r\nexec python -m app.server\r\n"


@pytest.fixture
def cause(tmp_path: Path) -> Callable[..., Cause | None]:
    """A function that writes files, with modes as a hub gives them, and looks for a cause."""

    def of(command: str, files: dict[str, str], *, builds_image: bool = True, steps: str = "") -> Cause | None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
            path.chmod(0o444)
        dockerfile = f"FROM python\nWORKDIR /srv/model\nCOPY . .\n{steps}\nCMD {command}\n"
        return cause_in_files(tmp_path, parse_dockerfile(dockerfile), builds_image=builds_image)

    return of


@pytest.mark.parametrize(
    "command",
    ['["./run.sh"]', '["/srv/model/run.sh"]', "./run.sh", "exec ./run.sh --fast", "THREADS=1 ./run.sh"],
)
def test_a_script_that_starts_itself_has_no_execute_bit(command: str, cause: Callable[..., Cause | None]) -> None:
    found = cause(command, {"run.sh": "#!/usr/bin/env bash\nexec python -m app.server\n"})
    assert found is not None
    assert found.reason == "The Dockerfile starts run.sh itself, but published files have no execute bit"
    assert found.remedy == 'Name the program that runs it: CMD ["bash", "run.sh"].'


def test_a_build_step_can_set_the_bit_where_an_image_is_built(cause: Callable[..., Cause | None]) -> None:
    for steps in ("RUN chmod +x run.sh", "COPY --chmod=755 run.sh ."):
        assert cause('["./run.sh"]', {"run.sh": UNIX}, steps=steps) is None
        found = cause('["./run.sh"]', {}, steps=steps, builds_image=False)
        assert found is not None
        assert "--sandbox docker" in found.remedy


def test_a_script_with_the_bit_starts(cause: Callable[..., Cause | None], tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(UNIX)
    (tmp_path / "run.sh").chmod(0o555)
    assert cause('["./run.sh"]', {}) is None
    assert (tmp_path / "run.sh").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("command", ['["sh", "run.sh"]', '["/bin/bash", "/srv/model/run.sh"]', "sh run.sh"])
def test_a_script_in_the_hands_of_a_shell_needs_no_bit(command: str, cause: Callable[..., Cause | None]) -> None:
    assert cause(command, {"run.sh": UNIX}) is None


def test_windows_line_endings(cause: Callable[..., Cause | None]) -> None:
    found = cause('["sh", "run.sh"]', {"run.sh": WINDOWS})
    assert found is not None
    assert found.reason == "run.sh has Windows line endings (CRLF), with which no shell can run it"
    assert "sed -i 's/\\r$//' run.sh" in found.remedy
    assert cause('["sh", "run.sh"]', {}, steps="RUN dos2unix run.sh") is None
    assert cause('["sh", "run.sh"]', {}, steps="RUN dos2unix run.sh", builds_image=False) == found


def test_python_reads_windows_line_endings(cause: Callable[..., Cause | None]) -> None:
    assert cause('["python", "app.py"]', {"app.py": "import os\r\nprint(os)\r\n", "unused.sh": WINDOWS}) is None


def test_pointers_are_named_instead_of_the_weights(cause: Callable[..., Cause | None]) -> None:
    python = '["python", "app.py"]'
    assert cause(python, {"app.py": "", "notes.txt": f"A pointer: {POINTER}"}) is None
    found = cause(python, {"w/a.npz": POINTER, "w/b.npz": POINTER})
    assert found is not None
    assert found.reason == "w/a.npz is a Git LFS pointer, not the file itself, like 1 more"
    assert "git lfs pull" in found.remedy


CRASHED, BROKE = ModelCrashed("ended", 1), ProtocolViolation("POST /prepare/ answered 500")


@pytest.mark.parametrize(
    ("fault", "log", "says"),
    [
        (BROKE, "OSError: [Errno 30] Read-only file system: '/model/cache'", "Write only to the folder in TMPDIR"),
        (CRASHED, "mkdir: cannot create directory 'cache': Read-only file system", "TMPDIR"),
        (CRASHED, "PermissionError: [Errno 13] Permission denied: '/root/.cache'", "TMPDIR"),
        (BROKE, "RuntimeError: cannot cache function 'f': no locator available for file 'x'", "TMPDIR"),
        (BROKE, "URLError: <urlopen error [Errno -3] Temporary failure in name resolution>", "no network"),
        (BROKE, "socket.gaierror: [Errno -2] Name or service not known", "no network"),
        (CRASHED, "OSError: [Errno 101] Network is unreachable", "no network"),
        (ModelTimeout("loading", 120.0), "curl: (6) Could not resolve host: example.org", "no network"),
        (BROKE, "OSError: [Errno 28] No space left on device", "is in memory and has a limit"),
        (CRASHED, "run.sh: 2: python\r: not found", "Unix line endings"),
        (CRASHED, "run.sh: line 3: $'\\r': command not found", "Unix line endings"),
        (CRASHED, "ModuleNotFoundError: No module named 'app.server\\r'", "Unix line endings"),
        (BROKE, "_pickle.UnpicklingError: invalid load key, 'v'.", "git lfs pull"),
        (BROKE, "RuntimeError: Attempting to deserialize object on a CUDA device but", "map_location"),
        (BROKE, "RuntimeError: can't start new thread", "SOUNDSRIGHT_CPUS"),
        (BROKE, "KeyError: 'getpwuid(): uid not found: 2034324'", "USER"),
        (BROKE, "ValueError: enhance returned the shape (2, 9)", "app/enhance.py"),
        (ModelCrashed("ended", 126), "", "no execute bit"),
        (ModelCrashed("ended: cannot start ./x.sh: [Errno 13] Permission denied", 127), "", "no execute bit"),
        (ModelCrashed("ended", 127), "run.sh: 1: gunicorn: not found", "Correct the program"),
        (ModelCrashed("ended: cannot start ./x: [Errno 8] Exec format error", 127), "", "#!/bin/sh"),
    ],
)
def test_a_log_shows_the_cause(fault: ModelFault, log: str, says: str) -> None:
    remedy = cause_in_log(fault, log)
    assert remedy is not None
    assert says in remedy


@pytest.mark.parametrize(
    "log",
    [
        "ZeroDivisionError: division by zero",
        "OSError: [Errno 30] Read-only file system\nModuleNotFoundError: No module named 'x'",
        "loading:  50 %\rloading: 100 %\rready",
    ],
)
def test_a_cause_that_any_start_would_show_is_left_to_the_log(log: str) -> None:
    assert cause_in_log(CRASHED, log) is None


def test_the_last_of_several_signs_counts() -> None:
    log = "warning: [Errno 30] Read-only file system, no cache\nsocket.gaierror: [Errno -2]"
    remedy = cause_in_log(BROKE, log)
    assert remedy is not None
    assert "no network" in remedy
