"""Other programs of SoundsRight that a demo starts on this machine, each with its own wallet, state and log.

Times are in seconds. All of them end when the demo ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from soundsright.core.errors import InfrastructureFault

_T = TypeVar("_T")

_POLL_S = 0.1
_STOP_S = 10.0
_SHOWN_LINES = 8
_SHOWN_CHARS = 4_000
_KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "PYTHONPATH",
    "DOCKER_HOST",
    "SSL_CERT_FILE",
    "PIP_CERT",
    "PIP_INDEX_URL",
)
"""The variables that programs inherit. Everything else could change what a demo shows."""


@dataclass(frozen=True)
class _Started:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Programs:
    """The programs of one demo, in subfolders of `folder`. Settings that all of them share are in `settings`.

    Use it in a `with` block, which stops all of them.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._settings = {
            "WALLET_PATH": str(folder / "wallets"),
            "HEALTHCHECK_API_HOST": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **settings,
        }
        self._started: list[_Started] = []

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def address(self, name: str) -> str:
        """The address of a program's hotkey. The key is made at the first call, in the wallet `name`."""
        from soundsright.adapters.peers import Hotkey

        path = self._folder / "wallets" / name / "hotkeys" / "default"
        if not path.exists():
            Hotkey.of_seed(f"{self._folder.absolute()}/{name}").write(path)
        return Hotkey.read(path).address

    def set(self, **settings: str) -> None:
        """Change the settings of programs that are started from now on."""
        self._settings.update(settings)

    def start(self, name: str, words: Sequence[str], *, module: str = "soundsright", **settings: str) -> None:
        """Start `soundsright WORDS` with the wallet and the state of `name`. Its output goes to `NAME.log`.

        `module` is another program for the same words.
        """
        log = self._folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                _command(words, module),
                env=self._environment(name, settings),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(_Started(name, process, log))

    def run(self, name: str, words: Sequence[str], *, timeout_s: float, **settings: str) -> str:
        """Run `soundsright WORDS` to its end, and return its output.

        Raises:
            InfrastructureFault: its exit code is not 0, or it does not end in time.
        """
        try:
            done = subprocess.run(
                _command(words),
                env=self._environment(name, settings),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InfrastructureFault(f"`soundsright {' '.join(words)}` did not end in {timeout_s:g} s") from error
        output = done.stdout.decode(errors="replace")
        if done.returncode:
            raise InfrastructureFault(
                f"`soundsright {' '.join(words)}` of {name} ended with {done.returncode}: {_last_lines(output)}"
            )
        return output

    def wait(
        self, condition: Callable[[], _T | None], awaited: str, *, timeout_s: float, every_s: float = _POLL_S
    ) -> _T:
        """The condition's value, once it has one. `awaited` names it for the error.

        Raises:
            InfrastructureFault: a program ended, or the time is over.
        """
        deadline_s = time.monotonic() + timeout_s
        while (value := condition()) is None:
            for each in self._started:
                if (code := each.process.poll()) is not None:
                    raise InfrastructureFault(
                        f"{each.name} ended with {code}: {_last_lines(_text(each.log))}", f"Read {each.log}."
                    )
            if time.monotonic() > deadline_s:
                logs = ", ".join(str(each.log) for each in self._started)
                raise InfrastructureFault(f"{awaited}: not within {timeout_s:g} s", f"Read {logs}.")
            time.sleep(every_s)
        return value

    def kill(self, name: str) -> None:
        """End a program at once, without a chance to clean up. `wait` no longer expects it to run."""
        self.end(name, signal.SIGKILL, timeout_s=_STOP_S)

    def end(self, name: str, number: signal.Signals, *, timeout_s: float) -> int:
        """Send a signal to a program, and return its exit code. `wait` no longer expects it to run.

        Raises:
            InfrastructureFault: it does not end in time. It still runs.
        """
        each = next(each for each in reversed(self._started) if each.name == name)
        each.process.send_signal(number)
        return self.ended(name, timeout_s=timeout_s)

    def ended(self, name: str, *, timeout_s: float) -> int:
        """The exit code of a program that ends by itself. `wait` no longer expects it to run. Raises as `end`."""
        each = next(each for each in reversed(self._started) if each.name == name)
        try:
            code = each.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise InfrastructureFault(f"{name} did not end in {timeout_s:g} s", f"Read {each.log}.") from error
        self._started.remove(each)
        return code

    def output(self, name: str) -> str:
        """The output so far of the program that was started last under this name."""
        return next(_text(each.log) for each in reversed(self._started) if each.name == name)

    def close(self) -> None:
        """Stop all programs, the last one first."""
        for each in reversed(self._started):
            with contextlib.suppress(ProcessLookupError):
                each.process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + _STOP_S
        for each in reversed(self._started):
            try:
                each.process.wait(max(0.1, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.wait()
        self._started = []

    def _environment(self, name: str, settings: Mapping[str, str]) -> dict[str, str]:
        kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
        own = {
            "WALLET": name,
            "STATE_FOLDER": str(self._folder / name),
            "HEALTHCHECK_API_PORT": str(free_port()),
        }
        return {**kept, **self._settings, **own, **settings}


def free_port() -> int:
    """A port of this machine on which nothing listens now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _command(words: Sequence[str], module: str = "soundsright") -> list[str]:
    return [sys.executable, "-m", module, *words]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _last_lines(output: str) -> str:
    return " / ".join(output.strip().splitlines()[-_SHOWN_LINES:])[-_SHOWN_CHARS:]
