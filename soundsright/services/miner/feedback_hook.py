"""A feedback hook: your own code, called with each feedback. Times are in seconds.

A hook is a function, `package.module:function`, which gets the feedback as a dict. Or it is a command, which gets
the path of the file as its last argument and in SOUNDSRIGHT_FEEDBACK. It runs in another process, so it can fail,
hang or load torch without harming the miner.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import threading
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from soundsright.core.errors import UsageError
from soundsright.services.http import Health

TIMEOUT_S = 3_600.0
MAX_WAITING = 100
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")


def hook_command(hook: str) -> list[str]:
    """The command that runs a hook, without the feedback file.

    Raises:
        UsageError: the hook is empty, or a quote in it is not closed.

    >>> hook_command("notify-send 'new feedback'")
    ['notify-send', 'new feedback']
    """
    if _FUNCTION.fullmatch(hook):
        return [sys.executable, "-m", "soundsright.services.miner.feedback_hook", hook]
    try:
        command = shlex.split(hook)
    except ValueError as error:
        raise UsageError(
            f"FEEDBACK_HOOK {hook[:80]!r} is not a valid command ({error})", "Close the quotes."
        ) from None
    if not command:
        raise UsageError(f"FEEDBACK_HOOK {hook[:80]!r} is empty", "Set it to module:function or to a command.")
    return command


def hook_fault(hook: str) -> str | None:
    """Why every call of the hook would fail, or None. The hook is not run for this.

    Raises:
        UsageError: as `hook_command`.

    >>> hook_fault("json.tool:main"), hook_fault("json.missing:main")
    (None, "there is no module 'json.missing'")
    """
    if not _FUNCTION.fullmatch(hook):
        program = hook_command(hook)[0]
        return None if shutil.which(program) else f"there is no program {program[:80]!r}"
    module = hook.partition(":")[0]
    # Import nothing, not even the package of the module: that would run its code in this process.
    package, *inner = module.split(".")
    spec = PathFinder.find_spec(package, [str(Path.cwd())]) or find_spec(package)
    name = package
    for part in inner:
        if spec is None:
            break
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations or [])
    return f"there is no module {module[:80]!r}" if spec is None or spec.origin is None else None


class HookRunner:
    """Runs the hook for one file after the other, beside the service. At most `MAX_WAITING` files wait."""

    def __init__(self, hook: str, health: Health, *, timeout_s: float = TIMEOUT_S) -> None:
        self._command = hook_command(hook)
        self._health = health
        self._timeout_s = timeout_s
        self._waiting: queue.Queue[Path] = queue.Queue(MAX_WAITING)
        threading.Thread(target=self._work, name="feedback-hook", daemon=True).start()

    def __call__(self, path: Path) -> None:
        try:
            self._waiting.put_nowait(path)
        except queue.Full:
            self._health.event(
                "warning", f"The feedback hook is too slow: {path.name} was skipped", action="hook_full"
            )

    def _work(self) -> None:
        while True:
            path = self._waiting.get()
            # Do not pass the service's secrets to the hook.
            environment = {k: v for k, v in os.environ.items() if not any(part in k for part in _SECRET_NAMES)}
            try:
                done = subprocess.run(
                    [*self._command, str(path)],
                    env=environment | {"SOUNDSRIGHT_FEEDBACK": str(path)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    timeout=self._timeout_s,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                self._health.event("error", f"The feedback hook failed: {error}", action="hook_failed")
                continue
            if done.returncode:
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it wrote no error"]
                problem = f"The feedback hook failed with exit code {done.returncode}: {last[0]}"
                self._health.event("error", problem, action="hook_failed")
            else:
                self._health.event("success", f"The feedback hook processed {path.name}", action="hook_done")


def main() -> None:
    """Import the function and call it. This is the main function of the hook's own process."""
    name, path = sys.argv[1:]
    module, _, function = name.partition(":")
    # Look in the current folder, as `python -m` does: the user's module is beside the `.env` file.
    sys.path.insert(0, str(Path.cwd()))
    envelope = json.loads(Path(path).read_text(encoding="utf-8"))
    getattr(importlib.import_module(module), function)(json.loads(envelope["document"]))


if __name__ == "__main__":
    main()
