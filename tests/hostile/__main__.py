"""Print a table with the outcome of every hostile model in every sandbox of this machine.

python -m tests.hostile [WORD …]     only models whose name contains one of the words
"""

from __future__ import annotations

import functools
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from soundsright.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from soundsright.adapters.sandboxes.process import ProcessSandbox
from soundsright.core.ports import DegradedClip, Sandbox
from tests.conftest import docker_sandbox, noise_clip, write_model
from tests.engines import NoEngine, container_engine
from tests.hostile.cases import CASES, Case
from tests.hostile.trial import bait, tried


def main() -> None:
    cases = [case for case in CASES if not sys.argv[1:] or any(word in case.name for word in sys.argv[1:])]
    clips = tuple(noise_clip(f"clip-{i}", seed=i, samples=8_000 - 100 * i) for i in range(3))
    with ExitStack() as stack:
        sandboxes: list[Sandbox] = [ProcessSandbox(trusted=True)]
        bubblewrap = BubblewrapSandbox()
        if bubblewrap.available() is None:
            sandboxes.append(bubblewrap)
        try:
            sandboxes.append(docker_sandbox(stack.enter_context(container_engine())))
        except NoEngine as e:
            print(f"docker: {e}", file=sys.stderr)
        print("| model | " + " | ".join(sandbox.name for sandbox in sandboxes) + " |")
        print("| --- |" + " --- |" * len(sandboxes))
        for case in cases:
            cells = [case.name, *(_row(case, sandbox, clips) for sandbox in sandboxes)]
            print(f"| {' | '.join(cells)} |", flush=True)


def _row(case: Case, sandbox: Sandbox, clips: tuple[DegradedClip, ...]) -> str:
    if case.needs_isolation and not sandbox.isolated:
        return "not tried"
    with tempfile.TemporaryDirectory() as folder, bait(Path(folder, "bait")) as targets:
        Path(folder).chmod(0o755)
        outcome = tried(case, sandbox, functools.partial(write_model, Path(folder)), clips, targets)
    if outcome.escaped:
        return f"ESCAPED: {outcome.escaped[0]}"
    codes = (outcome.result,) if isinstance(outcome.result, str) else tuple(dict.fromkeys(outcome.result))
    result = ", ".join("scored" if code in (None, "answers") else code for code in codes)
    return f"prevented, {result}" if outcome.prevented else result


if __name__ == "__main__":
    main()
