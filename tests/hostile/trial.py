"""One trial of a hostile model in a sandbox."""

from __future__ import annotations

import os
import socket
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from soundsright.core.errors import ModelFault
from soundsright.core.ports import Answer, DegradedClip, RunningModel, Sandbox, SandboxLimits
from soundsright.core.submission import FetchedModel
from tests.conftest import DOCKERFILE
from tests.hostile.cases import Case

LIMITS = SandboxLimits(
    memory_bytes=300_000_000,
    pids=32,
    log_bytes=200_000,
    load_timeout_s=15.0,
    step_timeout_s=5.0,
    enhance_fixed_s=8.0,
    enhance_factor=0.5,
)
SECRET = "correct-horse-battery"
_LOG_S = 10.0


@dataclass(frozen=True)
class Outcome:
    """The entry's result (`answers`, a fault's code, or its clips' codes), its log, and the fault's message."""

    result: str | tuple[str | None, ...]
    log: str
    sentence: str = ""

    @property
    def escaped(self) -> list[str]:
        """The lines of the log that report a successful escape."""
        return [line for line in self.log.splitlines() if line.startswith("ESCAPED")]

    @property
    def prevented(self) -> list[str]:
        """The lines of the log that report an attempt that failed."""
        return [line for line in self.log.splitlines() if line.startswith("prevented")]


@contextmanager
def bait(folder: Path) -> Iterator[dict[str, str]]:
    """Targets that a model could reach without isolation: files, a wallet, a port, a secret in the environment.

    Gives each target by the name that `Case.app` uses.
    """
    wallet = folder / ".bittensor" / "wallets" / "coldkey"
    wallet.parent.mkdir(parents=True, exist_ok=True)
    for path in (wallet, folder / "clean.wav"):
        path.write_text(SECRET)
    os.environ["HARNESS_SECRET"] = SECRET
    abstract = f"harness-{os.getpid()}"
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as hidden:
            hidden.bind(f"\0{abstract}")
            hidden.listen()
            yield {
                "host_port": str(server.getsockname()[1]),
                "abstract": abstract,
                "secret": str(folder / "clean.wav"),
                "wallet": str(wallet),
                "private": str(folder),
                "engine_socket": os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or "/run/docker.sock",
                "harness_pid": str(os.getpid()),
                "secret_value": SECRET,
            }
    finally:
        del os.environ["HARNESS_SECRET"]


def _log_of(running: RunningModel, *, wants_attempt: bool) -> str:
    """The model's output. It comes through a pipe, which a loaded machine may read after the answers."""
    until_s = time.monotonic() + _LOG_S
    while True:
        log: str = running.log()  # type: ignore[attr-defined]
        if log or not wants_attempt or time.monotonic() > until_s:
            return log
        time.sleep(0.05)


def tried(
    case: Case,
    sandbox: Sandbox,
    make_model: Callable[..., FetchedModel],
    clips: tuple[DegradedClip, ...],
    targets: dict[str, str],
) -> Outcome:
    """Run the model on two batches and return the outcome."""
    dockerfile = DOCKERFILE + ('LABEL soundsright.protocol="files"\n' if case.by_files else "")
    app = textwrap.dedent(case.app)
    for name, value in targets.items():
        app = app.replace(f"<{name}>", value)
    model = make_model(app, dockerfile=dockerfile)
    log = ""
    batches: list[tuple[Answer, ...]] = []
    try:
        with sandbox.run(model, limits=replace(LIMITS, **case.limits)) as running:
            try:
                batches.append(running.enhance(clips))
                batches.append(running.enhance(clips))
            finally:
                log = _log_of(running, wants_attempt=case.attempts)
    except ModelFault as e:
        return Outcome(e.code + (" on the second batch" if batches else ""), log or e.log, str(e))
    codes = {tuple(a.failure.code if a.failure else None for a in answers) for answers in batches}
    assert len(codes) == 1, "both batches must have the same outcome"
    (result,) = codes
    return Outcome("answers" if not any(result) else result, log)
